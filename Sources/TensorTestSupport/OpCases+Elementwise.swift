// Elementwise kernels, copies, conversions and reductions.

package import Tensor

extension OpCases {
  /// One element, less and more than eight lanes, several axes, nothing, and more than one task.
  static let elementwiseShapes: [Shape] = [[1], [3], [17], [5, 13], [2, 3, 1], [0, 4], [16_389]]

  static let elementwise: [OpCase] = {
    var cases: [OpCase] = []
    for shape in elementwiseShapes {
      cases += UnaryOp.allCases.map { unary($0, shape) }
      cases += BinaryOp.allCases.map { binary($0, shape) }
      cases += [scale(shape), scaleInPlace(shape), swiGLU(shape), swiGLUBackward(shape)]
      cases += [accumulate(shape), accumulateNarrow(shape), accumulateWide(shape)]
    }
    let matrices: [Shape] = [[1, 1], [3, 17], [5, 8], [2, 3, 9], [0, 4], [40, 1027]]
    for shape in matrices {
      cases += [addingRow(shape), addRow(shape), multiplyRow(shape), dotRows(shape)]
      cases += BinaryOp.allCases.map { binaryRow($0, shape) }
    }
    return cases
  }()

  /// y = f(x).
  package static func unary(_ op: UnaryOp, _ shape: Shape) -> OpCase {
    OpCase(
      "\(op) \(shape)", [op == .squareRoot ? .uniform(shape, 0..<9) : .normal(shape, deviation: 3)],
      elementTraffic: 2 * Double(shape.count),
      kernel: { [$0[0].mapped(op)] }, oracle: { [ReferenceOps.unary(op, $0[0])] })
  }

  /// y = a ∘ b.
  package static func binary(_ op: BinaryOp, _ shape: Shape) -> OpCase {
    OpCase(
      "\(op) \(shape)", [.normal(shape), .uniform(shape, 0.5..<2)],
      elementTraffic: 3 * Double(shape.count), kernel: { [$0[0].combined(op, $0[1])] },
      oracle: { [ReferenceOps.binary(op, $0[0], $0[1])] })
  }

  /// y = α·x.
  package static func scale(_ shape: Shape) -> OpCase {
    OpCase(
      "scale \(shape)", [.normal(shape)], elementTraffic: 2 * Double(shape.count),
      kernel: { [$0[0].scaled(by: -0.375)] }, oracle: { [$0[0].map { -0.375 * $0 }] })
  }

  private static func scaleInPlace(_ shape: Shape) -> OpCase {
    OpCase("scale in place \(shape)", [.normal(shape)]) { x in
      var y = x[0]
      y.scale(by: 2.5)
      return [y]
    } oracle: {
      [$0[0].map { 2.5 * $0 }]
    }
  }

  /// y = y + α·x.
  package static func accumulate(_ shape: Shape) -> OpCase {
    axpy("accumulate \(shape)", [.normal(shape), .normal(shape)], [.float32, .float64, .bfloat16])
  }

  private static func accumulateNarrow(_ shape: Shape) -> OpCase {
    axpy(
      "accumulate into bfloat16 \(shape)", [.normal(shape), .normal(shape, .statistic)],
      [.bfloat16])
  }

  private static func accumulateWide(_ shape: Shape) -> OpCase {
    axpy(
      "accumulate bfloat16 \(shape)", [.normal(shape, .statistic), .normal(shape)], [.bfloat16])
  }

  private static func axpy(_ name: String, _ inputs: [OpInput], _ dtypes: [DType]) -> OpCase {
    OpCase(
      name, inputs, dtypes: dtypes, elementTraffic: 3 * Double(inputs[0].shape.count), changing: [0]
    ) { x in
      let other = x[1]
      x[0].accumulate(other, scale: 0.75)
    } oracle: {
      [$0[0].zip($0[1]) { $0 + 0.75 * $1 }]
    }
  }

  /// y = silu(gate) ⊙ up.
  package static func swiGLU(_ shape: Shape) -> OpCase {
    OpCase(
      "swiglu kernel \(shape)", [.normal(shape, deviation: 3), .normal(shape)],
      elementTraffic: 3 * Double(shape.count),
      kernel: { [Tensor.swiGLU(gate: $0[0], up: $0[1])] },
      oracle: { [ReferenceOps.swiGLU(gate: $0[0], up: $0[1])] })
  }

  /// Gradients of `swiGLU`.
  package static func swiGLUBackward(_ shape: Shape) -> OpCase {
    OpCase(
      "swiglu backward \(shape)", [.normal(shape), .normal(shape, deviation: 3), .normal(shape)],
      elementTraffic: 5 * Double(shape.count), changing: [1, 2]
    ) { x in
      // Taken out of the array, so that each has one holder.
      var up = x.removeLast()
      var gate = x.removeLast()
      Tensor.formSwiGLUGradients(dy: x[0], gate: &gate, up: &up)
      x += [gate, up]
    } oracle: {
      let (dGate, dUp) = ReferenceOps.swiGLUBackward(dy: $0[0], gate: $0[1], up: $0[2])
      return [dGate, dUp]
    }
  }

  private static func addingRow(_ shape: Shape) -> OpCase {
    OpCase(
      "add row \(shape)", [.normal(shape), .normal([shape.columnCount])],
      kernel: { [$0[0].addingRow($0[1])] }, oracle: { [ReferenceOps.addingRow($0[0], $0[1])] })
  }

  /// y[n, c] = x[n, c]·row[c].
  package static func multiplyRow(_ shape: Shape) -> OpCase {
    OpCase(
      "multiply row \(shape)", [.normal(shape), .normal([shape.columnCount])],
      elementTraffic: 2 * Double(shape.count),
      kernel: { [$0[0].multipliedByRow($0[1])] },
      oracle: { [ReferenceOps.multiplyingRow($0[0], $0[1])] })
  }

  /// y[n, c] = x[n, c] ∘ row[c], as the backend's requirement says it.
  private static func binaryRow(_ op: BinaryOp, _ shape: Shape) -> OpCase {
    OpCase(
      "\(op) by row \(shape)", [.normal(shape), .uniform([shape.columnCount], 0.5..<2)],
      kernel: { x in
        let (x, row) = (x[0], x[1])
        let y = Tensor(uninitialized: x.shape, x.dtype, backend: x.backend)
        launch(x, row, y) {
          x.backend.binary(
            op, x.operand, row: row.operand, rows: x.rowCount, columns: x.columnCount,
            into: y.destination)
        }
        return [y]
      },
      oracle: { x in
        let rows = HostArray(
          x[0].shape, x[0].elements.indices.map { x[1].elements[$0 % x[1].elements.count] })
        return [ReferenceOps.binary(op, x[0], rows)]
      })
  }

  /// y[n] = Σ_c a[n, c]·b[n, c].
  package static func dotRows(_ shape: Shape) -> OpCase {
    OpCase(
      "dot rows \(shape)", [.normal(shape), .normal(shape)],
      termSize: Double(shape.columnCount).squareRoot(), elementTraffic: 2 * Double(shape.count),
      kernel: { [$0[0].dotOfRows($0[1])] }, oracle: { [ReferenceOps.dotRows($0[0], $0[1])] })
  }

  /// x ← x + row.
  package static func addRow(_ shape: Shape) -> OpCase {
    OpCase(
      "add row in place \(shape)", [.normal(shape), .normal([shape.columnCount])],
      elementTraffic: 2 * Double(shape.count), changing: [0]
    ) { x in
      let row = x[1]
      x[0].addRow(row)
    } oracle: {
      [ReferenceOps.addingRow($0[0], $0[1])]
    }
  }
}

extension OpCases {
  static let memory: [OpCase] = copies + conversions

  private static let copies: [OpCase] = [
    permuted([3, 5], [1, 0]), permuted([1, 1], [1, 0]), permuted([17, 33], [1, 0]),
    permuted([2, 3, 5], [2, 0, 1]), permuted([3, 1, 4, 7], [0, 2, 1, 3]), permuted([4], [0]),
    permuted([], []), permuted([0, 3], [1, 0]), permuted([130, 257], [1, 0]),
    OpCase("copy [3, 17]", [.normal([3, 17])]) {
      [$0[0].copied()]
    } oracle: {
      [$0[0]]
    },
    OpCase("window of rows [5, 3]", [.normal([5, 3])]) { x in
      [x[0].rows(1..<4).scaled(by: 2), x[0].rows(5..<5), x[0].rows(4..<5).copied()]
    } oracle: { x in
      let rows = { (range: Range<Int>, factor: Double) in
        HostArray(
          [range.count, 3], range.flatMap { n in (0..<3).map { factor * x[0][n, $0] } })
      }
      return [rows(1..<4, 2), rows(5..<5, 1), rows(4..<5, 1)]
    },
    OpCase("concatenate rows", [.normal([1, 5]), .normal([0, 5]), .normal([4, 5])]) {
      [Tensor.concatenatedRows($0)]
    } oracle: {
      [HostArray([5, 5], $0.flatMap(\.elements))]
    },
    OpCase("concatenate rows of one number", [.normal([3]), .normal([5])]) {
      [Tensor.concatenatedRows($0)]
    } oracle: {
      [HostArray([8], $0.flatMap(\.elements))]
    },
    OpCase("full", []) { _ in
      [
        .full([17], -1.5), .zeros([3, 3]), .ones([2], dtype: .float64),
        .full([5], 0.75, dtype: .bfloat16),
      ]
    } oracle: { _ in
      [
        HostArray([17], repeating: -1.5), HostArray([3, 3], repeating: 0),
        HostArray([2], repeating: 1), HostArray([5], repeating: 0.75),
      ]
    },
  ]

  private static let conversions: [OpCase] = [
    convert(1), convert(17), convert(16_389),
    OpCase("cast integers", [.indices([0, 1, 7, 16_777_215, 3, 2, 9, 4, 5])]) {
      [$0[0].cast(to: .float32), $0[0].cast(to: .float64)]
    } oracle: {
      [$0[0], $0[0]]
    },
  ]

  private static func convert(_ count: Int) -> OpCase {
    OpCase("cast [\(count)]", [.normal([count])]) { x in
      [x[0].cast(to: .float32), x[0].cast(to: .float64), x[0].cast(to: .bfloat16)]
    } oracle: {
      [$0[0], $0[0], $0[0]]
    }
  }

  private static func permuted(_ shape: Shape, _ axes: [Int]) -> OpCase {
    OpCase(
      "permute \(shape) by \(axes)", [.normal(shape)], kernel: { [$0[0].permuted(axes)] },
      oracle: { [ReferenceOps.permuted($0[0], axes)] })
  }
}

extension OpCases {
  static let reductions: [OpCase] = {
    var cases: [OpCase] = []
    let matrices: [Shape] = [
      [1, 1], [3, 17], [17, 3], [1, 8], [2, 3, 9], [0, 5], [7, 133], [300, 70],
    ]
    for shape in matrices { cases += [sumOfRows(shape), accumulateRows(shape)] }
    let anything: [Shape] = [[], [1], [17], [3, 5], [0], [4101], [70_001]]
    for shape in anything { cases += [sum(shape), squaredNorm(shape)] }
    let searched: [Shape] = [[1, 1], [3, 17], [5, 8], [33, 1], [0, 3], [20, 1027]]
    for shape in searched { cases.append(argmax(.normal(shape), "\(shape)")) }
    let ties = HostArray([3, 4], [1, 5, 5, 2, 0, 0, 0, 0, -2, -3, -1, -1])
    cases.append(argmax(.given(ties), "of ties"))
    return cases
  }()

  private static func sum(_ shape: Shape) -> OpCase {
    OpCase(
      "sum \(shape)", [.uniform(shape, -0.5..<1)], kernel: { [$0[0].sum()] },
      oracle: { [ReferenceOps.sum($0[0])] })
  }

  private static func argmax(_ input: OpInput, _ name: String) -> OpCase {
    OpCase(
      "argmax \(name)", [input], kernel: { [$0[0].argmaxOfRows()] },
      oracle: { [ReferenceOps.argmaxOfRows($0[0])] })
  }

  /// Σ_n x[n, c].
  package static func sumOfRows(_ shape: Shape) -> OpCase {
    OpCase(
      "sum of rows \(shape)", [.uniform(shape, -0.5..<1)], elementTraffic: Double(shape.count),
      kernel: { [$0[0].sumOfRows()] }, oracle: { [ReferenceOps.sumOfRows($0[0])] })
  }

  private static func accumulateRows(_ shape: Shape) -> OpCase {
    OpCase("accumulate rows \(shape)", [.normal(shape), .normal([shape.columnCount], .statistic)]) {
      x in
      var y = x[1]
      y.accumulateRows(of: x[0])
      return [y]
    } oracle: {
      [ReferenceOps.sumOfRows($0[0]).zip($0[1]) { $0 + $1 }]
    }
  }

  /// Σ x².
  package static func squaredNorm(_ shape: Shape) -> OpCase {
    OpCase(
      "squared norm \(shape)", [.normal(shape)], elementTraffic: Double(shape.count),
      kernel: { [$0[0].squaredNorm()] }, oracle: { [ReferenceOps.squaredNorm($0[0])] })
  }
}
