// Kernels of loss, optimizer and random numbers.

package import Tensor

extension OpCases {
  static let training: [OpCase] = {
    var cases: [OpCase] = []
    for (rows, vocabulary) in [(1, 1), (1, 8), (3, 17), (5, 33), (2, 5003)] {
      cases += [true, false].map {
        crossEntropy(rows: rows, vocabulary: vocabulary, withGradient: $0)
      }
    }
    // Targets beside which another column, earlier or later, has the same logit.
    let ties = HostArray([4, 5], [1, 2, 2, 0, 0, 2, 1, 2, 0, 1, 0, 0, 0, 0, 0, 3, 3, 1, 3, 3])
    cases.append(
      crossEntropy(.given(ties), "of ties", targets: [2, 0, 4, 1], withGradient: true))
    // Rows that count for nothing.
    for withGradient in [true, false] {
      for (rows, vocabulary) in [(1, 5), (4, 17), (4, 4104)] {
        cases.append(
          crossEntropy(
            .normal([rows, vocabulary], deviation: 4), "[\(rows), \(vocabulary)], some ignored",
            targets: (0..<rows).map { $0 % 2 == 0 ? Int(ignoredTarget) : 3 },
            withGradient: withGradient))
      }
    }
    for (rows, hidden, vocabulary) in [(1, 1, 1), (3, 5, 17), (7, 3, 11), (1030, 2, 3), (0, 2, 3)] {
      cases += [true, false].map {
        linearCrossEntropy(rows: rows, hidden: hidden, vocabulary: vocabulary, needsWeight: $0)
      }
      cases.append(roundedCrossEntropy(rows: rows, hidden: hidden, vocabulary: vocabulary))
    }
    let shapes: [Shape] = [[1], [17], [3, 5], [0], [8195]]
    for shape in shapes {
      cases += [adamW(shape, step: 1), adamW(shape, step: 10)]
      cases += [0, 0.05, 0.25, 0.999_999].map { dropout(shape, probability: $0) }
      cases += random(shape)
    }
    return cases
  }()

  /// Cross-entropy of logits with the gradient written over them.
  package static func crossEntropy(rows: Int, vocabulary: Int, withGradient: Bool) -> OpCase {
    crossEntropy(
      .normal([rows, vocabulary], deviation: 4), "[\(rows), \(vocabulary)]",
      targets: (0..<rows).map { (7 * $0 + 3) % vocabulary }, withGradient: withGradient)
  }

  private static func crossEntropy(
    _ logits: OpInput, _ name: String, targets: [Int], withGradient: Bool
  ) -> OpCase {
    let (rows, vocabulary) = (logits.shape[0], logits.shape[1])
    return OpCase(
      "cross-entropy kernel \(name)\(withGradient ? " with gradient" : "")",
      [logits, .indices(targets)],
      elementTraffic: (withGradient ? 2 : 1) * Double(rows * vocabulary), changing: [2, 3, 0]
    ) { x in
      let backend = x[0].backend
      // Logits are changed in place by the kernel itself; `makeUnique` is what a mutating method would do.
      x[0].makeUnique()
      let (logits, targets) = (x[0], x[1])
      let nll = Tensor(uninitialized: [rows], logits.dtype.accumulation, backend: backend)
      let isCorrect = Tensor(uninitialized: [rows], .uint8, backend: backend)
      let scale = Tensor.full([1], 0.125, dtype: logits.dtype.accumulation, like: logits)
      launch(logits, targets, scale, nll, isCorrect) {
        backend.crossEntropy(
          logits: logits.destination, targets: targets.operand, rows: rows, columns: vocabulary,
          gradientScale: withGradient ? scale.operand : nil, nll: nll.destination,
          isCorrect: isCorrect.destination)
      }
      x = [logits, targets, nll, isCorrect]
    } oracle: { x in
      let (nll, isCorrect, dLogits) = ReferenceOps.crossEntropy(
        x[0], x[1].indices, scale: 0.125)
      return [nll, isCorrect, withGradient ? dLogits : x[0]]
    }
  }

  /// Head and loss with the gradient of hidden and, where asked for, of the weight.
  package static func linearCrossEntropy(
    rows: Int, hidden: Int, vocabulary: Int, needsWeight: Bool
  ) -> OpCase {
    let products = needsWeight ? 6.0 : 4.0
    return OpCase(
      "linear cross-entropy kernel [\(rows), \(hidden)] of \(vocabulary)",
      crossEntropyInputs(rows: rows, hidden: hidden, vocabulary: vocabulary),
      dtypes: [.float32, .float64],
      flops: products * Double(rows) * Double(hidden) * Double(vocabulary)
    ) { x in
      let result = Tensor.linearCrossEntropy(
        hidden: x[0], weight: x[1], targets: x[2], scale: lossScale(x[0]), needsHidden: true,
        needsWeight: needsWeight)
      return [result.nll] + [result.dHidden, result.dWeight].compactMap { $0 }
    } oracle: { x in
      let result = ReferenceOps.linearCrossEntropy(
        hidden: x[0], weight: x[1], targets: x[2].indices, scale: 0.125)
      return [result.nll, result.dHidden] + (needsWeight ? [result.dWeight] : [])
    }
  }

  /// The same in bfloat16, where logits and their gradients are rounded: nothing that follows is more exact.
  private static func roundedCrossEntropy(rows: Int, hidden: Int, vocabulary: Int) -> OpCase {
    OpCase(
      "linear cross-entropy kernel [\(rows), \(hidden)] of \(vocabulary)",
      crossEntropyInputs(rows: rows, hidden: hidden, vocabulary: vocabulary), dtypes: [.bfloat16],
      termSize: 0.25
    ) { x in
      let result = Tensor.linearCrossEntropy(
        hidden: x[0], weight: x[1], targets: x[2], scale: lossScale(x[0]), needsHidden: true,
        needsWeight: true)
      return [result.nll, result.dHidden, result.dWeight].compactMap { $0?.cast(to: .bfloat16) }
    } oracle: { x in
      let result = ReferenceOps.linearCrossEntropy(
        hidden: x[0], weight: x[1], targets: x[2].indices, scale: 0.125
      ) { Double(BFloat16(Float($0)).float) }
      return [result.nll, result.dHidden, result.dWeight]
    }
  }

  private static func lossScale(_ hidden: Tensor) -> Tensor {
    Tensor.full([1], 0.125, dtype: hidden.dtype.accumulation, like: hidden)
  }

  private static func crossEntropyInputs(rows: Int, hidden: Int, vocabulary: Int) -> [OpInput] {
    [
      .normal([rows, hidden]), .uniform([vocabulary, hidden]),
      .indices((0..<rows).map { (7 * $0 + 3) % vocabulary }),
    ]
  }

  /// One AdamW step with weight decay.
  package static func adamW(_ shape: Shape, step: Int) -> OpCase {
    let coefficients = AdamWStep(
      learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, step: step)
    return OpCase(
      "adamw \(shape) step \(step)",
      [
        .normal(shape, .constant), .normal(shape, .statistic), .normal(shape, .statistic),
        .uniform(shape, 0..<1, .statistic),
      ], elementTraffic: 7 * Double(shape.count), changing: [0, 2, 3]
    ) { x in
      // Taken out of the array one by one, so that each has one holder.
      var second = Moment(x.removeLast())
      var first = Moment(x.removeLast())
      let gradient = x.removeLast()
      x[0].applyAdamW(
        gradient: gradient, firstMoment: &first, secondMoment: &second, step: coefficients)
      x += [gradient, first.values, second.values]
    } oracle: { x in
      ReferenceOps.adamW(
        x[0], gradient: x[1], firstMoment: x[2], secondMoment: x[3], coefficients)
    }
  }

  /// x·mask/(1 − p).
  package static func dropout(_ shape: Shape, probability: Double) -> OpCase {
    let stream = RandomStream(seed: 7, purpose: .dropout, index: 3, offset: 2)
    return OpCase(
      "dropout \(shape) p \(probability)", [.normal(shape)],
      elementTraffic: 2 * Double(shape.count),
      kernel: { [$0[0].droppedOut(probability: probability, stream: stream)] },
      oracle: {
        let mask = ReferenceOps.dropoutMask($0[0].shape, probability: probability, stream)
        return [$0[0].zip(mask) { $0 * $1 }]
      })
  }

  private static func random(_ shape: Shape) -> [OpCase] {
    let stream = RandomStream(seed: 0x1_2345_6789_abcd, purpose: .test, index: 77, offset: 5)
    return [DType.float32, .float64, .bfloat16].flatMap { dtype in
      [
        OpCase("uniform \(shape)", [], dtypes: [dtype]) { _ in
          [.uniform(shape, low: -2, high: 3, dtype: dtype, stream: stream)]
        } oracle: { _ in
          [ReferenceOps.uniform(shape, -2..<3, stream)]
        },
        OpCase("normal \(shape)", [], dtypes: [dtype]) { _ in
          [.normal(shape, mean: 1, standardDeviation: 2, dtype: dtype, stream: stream)]
        } oracle: { _ in
          [ReferenceOps.normal(shape, mean: 1, standardDeviation: 2, stream)]
        },
      ]
    }
  }
}
