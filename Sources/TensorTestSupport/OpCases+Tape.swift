// Differentiable operations: the table that gradient checks run over, and that coverage is measured against.

import Autograd
import Tensor

extension OpCases {
  static let tapeElementwise: [OpCase] = [
    OpCase("add", [.normal([3, 5]), .normal([3, 5])], operations: ["add"]) { _, x in
      x[0] + x[1]
    } oracle: {
      [$0[0].zip($0[1]) { $0 + $1 }]
    },
    OpCase("add a value to itself", [.normal([17])], operations: ["add"]) { _, x in
      x[0] + x[0]
    } oracle: {
      [$0[0].map { 2 * $0 }]
    },
    OpCase("multiply", [.normal([3, 5]), .normal([3, 5])], operations: ["multiply"]) { _, x in
      x[0] * x[1]
    } oracle: {
      [$0[0].zip($0[1]) { $0 * $1 }]
    },
    OpCase("multiply a value by itself", [.normal([17])], operations: ["multiply"]) { _, x in
      x[0] * x[0]
    } oracle: {
      [$0[0].map { $0 * $0 }]
    },
    OpCase("scale", [.normal([1, 9])], operations: ["scale"]) { _, x in
      x[0].scaled(by: -1.25)
    } oracle: {
      [$0[0].map { -1.25 * $0 }]
    },
    OpCase("reshape", [.normal([3, 4])], operations: ["reshape"]) { _, x in
      x[0].reshaped([2, 1, 6])
    } oracle: {
      [$0[0].reshaped([2, 1, 6])]
    },
    OpCase(
      "a value used three times", [.normal([5]), .normal([5])],
      operations: ["add", "multiply", "scale"]
    ) { _, x in
      (x[0] * x[1] + x[0].scaled(by: 3)) * x[0]
    } oracle: {
      [$0[0].zip($0[1]) { ($0 * $1 + 3 * $0) * $0 }]
    },
  ]

  static let tapeLinear: [OpCase] = {
    var cases = linearMaps
    for hasBias in [false, true] {
      for (n, c, f) in [(1, 1, 1), (3, 17, 5), (5, 4, 9)] {
        cases.append(linear(rows: n, columns: c, outputs: f, hasBias: hasBias))
      }
      for trainsWeight in [false, true] {
        cases.append(loraLinear(hasBias: hasBias, dropout: nil, trainsWeight: trainsWeight))
        cases.append(loraLinear(hasBias: hasBias, dropout: 0.3, trainsWeight: trainsWeight))
      }
    }
    return cases + quantizedLinears + compressedLinears + narrowLinears
  }()

  /// Linear maps by weights in 4 bits. The oracle multiplies by what the codes stand for, so that only the product is
  /// checked here; that the codes are right is checked against bitsandbytes.
  private static let quantizedLinears: [OpCase] = {
    var cases: [OpCase] = []
    for (n, c, f) in [(1, 1, 1), (3, 17, 5), (7, 66, 9), (2, 130, 3), (6, 3, 70)] {
      for isDoubleQuantized in [false, true] {
        cases.append(
          quantizedLinear(
            rows: n, columns: c, outputs: f, hasBias: isDoubleQuantized, hasAdapter: false,
            dropout: nil, format: .init(blockSize: 32, isDoubleQuantized: isDoubleQuantized)))
      }
    }
    // Columns of which the kernel for few rows takes the codes as they are.
    for (n, c, f) in [(1, 128, 5), (2, 64, 3), (8, 64, 6), (9, 64, 5), (5, 328, 11)] {
      for blockSize in [32, 64] {
        cases.append(
          quantizedLinear(
            rows: n, columns: c, outputs: f, hasBias: false, hasAdapter: false, dropout: nil,
            format: .init(blockSize: blockSize, isDoubleQuantized: blockSize == 64)))
      }
    }
    for (hasBias, dropout) in [(false, nil), (true, 0.3)] as [(Bool, Double?)] {
      cases.append(
        quantizedLinear(
          rows: 5, columns: 7, outputs: 9, hasBias: hasBias, hasAdapter: true, dropout: dropout,
          format: .init()))
    }
    // A low-rank part that a GPU joins to the product, where it does so for as little, forward and backward.
    for (n, c, f) in [(9, 16, 40), (11, 40, 8)] {
      cases.append(
        quantizedLinear(
          rows: n, columns: c, outputs: f, hasBias: false, hasAdapter: true, rank: 8, dropout: nil,
          format: .init()))
    }
    return cases
  }()

  /// Linear maps by weights in bfloat16 that are compressed where the backend does so.
  private static let compressedLinears: [OpCase] = [(3, false), (9, true)].map { rows, hasBias in
    let weight = Tensor.normal([6, 256], stream: RandomStream(seed: 5, purpose: .test))
      .cast(to: .bfloat16)
    return packedLinear(
      "compressed", rows: rows, columns: 256, outputs: 6, hasBias: hasBias, hasAdapter: hasBias,
      dropout: nil, numbers: { try weight.doubles() }
    ) { backend in
      let moved = weight.moved(to: backend)
      return CompressedTensor(moved).map { .compressed($0) } ?? .narrow(moved)
    }
  }

  /// Linear maps by weights in bfloat16 and float16, whatever is computed in.
  private static let narrowLinears: [OpCase] = [(1, 5, 3), (4, 17, 9), (6, 17, 9)].flatMap {
    size in [DType.bfloat16, .float16].map { narrowLinear(size.0, size.1, size.2, $0) }
  }

  private static func narrowLinear(_ rows: Int, _ columns: Int, _ outputs: Int, _ dtype: DType)
    -> OpCase
  {
    // Numbers that both types hold exactly.
    let numbers = (0..<outputs * columns).map { Double(($0 * 7) % 17 - 8) / 8 }
    return OpCase(
      "linear [\(rows), \(columns)] → \(outputs) by a \(dtype.rawValue) weight",
      [
        .normal([rows, columns]), .given(HostArray([outputs, columns], numbers)),
      ], operations: ["linear"]
    ) { tape, x in
      var narrow = x[1].value.cast(to: .bfloat16)
      if dtype == .float16 {
        let numbers = (try? x[1].value.doubles()) ?? []
        narrow = Tensor(
          numbers.map { Half(bitPattern: Float16($0).bitPattern) }, shape: narrow.shape,
          on: Device(backend: narrow.backend, preferredComputeDType: .float32))
      }
      let weight = tape.constant(narrow)
      return tape.record(LinearMap(hasBias: false), [x[0], weight])
    } oracle: {
      [ReferenceOps.linear($0[0], $0[1])]
    }
  }

  /// A map by a random weight [outputs, columns] in 4 bits.
  private static func quantizedLinear(
    rows: Int, columns: Int, outputs: Int, hasBias: Bool, hasAdapter: Bool, rank: Int = 3,
    dropout: Double?, format: QuantizedTensor.Format
  ) -> OpCase {
    let weight = QuantizedTensor(
      quantizing: Tensor.normal(
        [outputs, columns], stream: RandomStream(seed: 5, purpose: .test)), as: format)
    let kind =
      "blocks of \(format.blockSize)" + (format.isDoubleQuantized ? " of nested scales" : "")
    return packedLinear(
      "in \(kind)", rows: rows, columns: columns, outputs: outputs, hasBias: hasBias,
      hasAdapter: hasAdapter, rank: rank, dropout: dropout,
      numbers: { try weight.dequantized().doubles() }
    ) { .nf4(weight.copied(to: $0)) }
  }

  /// A map by a weight [outputs, columns] of `numbers` in fewer bits.
  private static func packedLinear(
    _ kind: String, rows: Int, columns: Int, outputs: Int, hasBias: Bool, hasAdapter: Bool,
    rank: Int = 3, dropout: Double?, numbers: @escaping @Sendable () throws -> [Double],
    weight: @escaping @Sendable (any Backend) -> PackedWeight
  ) -> OpCase {
    let stream = RandomStream(seed: 3, purpose: .dropout, index: 9, offset: 4)
    let low: [OpInput] = hasAdapter ? [.normal([rank, columns]), .normal([outputs, rank])] : []
    let bias: [OpInput] = hasBias ? [.normal([outputs])] : []
    var opCase = OpCase(
      "packed_linear [\(rows), \(columns)] → \(outputs) \(kind)" + (hasBias ? " with bias" : "")
        + (hasAdapter ? " with adapter" : "") + (dropout.map { " dropout \($0)" } ?? ""),
      [.normal([rows, columns])] + low + bias, operations: ["packed_linear"],
      dtypes: hasAdapter ? [.float32, .float64] : [.float32, .float64, .bfloat16],
      flops: 2 * Double(rows * columns * outputs)
    ) { tape, x in
      tape.record(
        PackedLinearMap(
          weight: weight(x[0].value.backend), hasBias: hasBias,
          adapter: hasAdapter
            ? LowRankPart(scale: 0.5, dropout: dropout.map { ($0, stream) }) : nil), x)
    } oracle: { x in
      let dense = HostArray([outputs, columns], (try? numbers()) ?? [])
      let b = hasBias ? x[x.count - 1] : nil
      guard hasAdapter else { return [ReferenceOps.linear(x[0], dense, bias: b)] }
      let mask = dropout.map { ReferenceOps.dropoutMask(x[0].shape, probability: $0, stream) }
      return [
        ReferenceOps.loraLinear(
          x[0], dense, a: x[1], b: x[2], bias: b, scale: 0.5, mask: mask)
      ]
    }
    // The unpacked weight, the product, and the sum with the bias.
    opCase.roundings = hasBias ? 3 : 2
    return opCase
  }

  private static let linearMaps: [OpCase] = [
    OpCase(
      "linear with frozen weight", [.normal([3, 5]), .normal([4, 5], .constant)],
      operations: ["linear"]
    ) { tape, x in
      tape.record(LinearMap(hasBias: false), x)
    } oracle: {
      [ReferenceOps.linear($0[0], $0[1])]
    },
    OpCase(
      "linear of a constant",
      [.normal([3, 5], .constant), .normal([4, 5]), .normal([4])], operations: ["linear"]
    ) { tape, x in
      tape.record(LinearMap(hasBias: true), x)
    } oracle: {
      [ReferenceOps.linear($0[0], $0[1], bias: $0[2])]
    },
    OpCase(
      "three linear maps of one value",
      [.normal([3, 5]), .normal([4, 5]), .normal([4, 5]), .normal([4, 5])],
      operations: ["linear", "add", "multiply"]
    ) { tape, x in
      let y = x[1...].map { tape.record(LinearMap(hasBias: false), [x[0], $0]) }
      return y[0] * y[1] + y[2]
    } oracle: { x in
      let y = x[1...].map { ReferenceOps.linear(x[0], $0) }
      return [y[0].zip(y[1]) { $0 * $1 }.zip(y[2]) { $0 + $1 }]
    },
  ]

  private static func linear(rows: Int, columns: Int, outputs: Int, hasBias: Bool) -> OpCase {
    OpCase(
      "linear [\(rows), \(columns)] → \(outputs)\(hasBias ? " with bias" : "")",
      [.normal([rows, columns]), .normal([outputs, columns])]
        + (hasBias ? [.normal([outputs])] : []),
      operations: ["linear"]
    ) { tape, x in
      tape.record(LinearMap(hasBias: hasBias), x)
    } oracle: {
      [ReferenceOps.linear($0[0], $0[1], bias: hasBias ? $0[2] : nil)]
    }
  }

  private static func loraLinear(hasBias: Bool, dropout: Double?, trainsWeight: Bool) -> OpCase {
    let stream = RandomStream(seed: 3, purpose: .dropout, index: 9, offset: 4)
    let role: OpInput.Role = trainsWeight ? .differentiated : .constant
    return OpCase(
      "lora_linear\(hasBias ? " with bias" : "")\(dropout.map { " dropout \($0)" } ?? "")"
        + (trainsWeight ? "" : " on a frozen weight"),
      [.normal([5, 7]), .normal([9, 7], role), .normal([3, 7]), .normal([9, 3])]
        + (hasBias ? [.normal([9], role)] : []), operations: ["lora_linear"]
    ) { tape, x in
      tape.record(
        LoRALinearMap(
          hasBias: hasBias,
          adapter: LowRankPart(scale: 0.5, dropout: dropout.map { ($0, stream) })), x)
    } oracle: { x in
      let mask = dropout.map { ReferenceOps.dropoutMask(x[0].shape, probability: $0, stream) }
      return [
        ReferenceOps.loraLinear(
          x[0], x[1], a: x[2], b: x[3], bias: hasBias ? x[4] : nil, scale: 0.5, mask: mask)
      ]
    }
  }

  static let tapeTransformer: [OpCase] = [
    normalization([1, 1]), normalization([3, 17]), normalization([2, 3, 8]),
    OpCase(
      "rms_norm with frozen weight", [.normal([3, 5]), .uniform([5], 0.5..<1.5, .constant)],
      operations: ["rms_norm"]
    ) { tape, x in
      tape.record(RMSNormalize(epsilon: 1e-6), x)
    } oracle: {
      [ReferenceOps.rmsNorm($0[0], $0[1], epsilon: 1e-6).y]
    },
    rotary(headDim: 6, half: 3), rotary(headDim: 17, half: 4), rotary(headDim: 18, half: 9),
    normalizedRotary(headDim: 6, half: 3, role: .differentiated),
    normalizedRotary(headDim: 18, half: 8, role: .constant),
    OpCase(
      "swiglu", [.normal([3, 11], deviation: 2), .normal([3, 11])], operations: ["swiglu"]
    ) { _, x in
      Autograd.swiGLU(gate: x[0], up: x[1])
    } oracle: {
      [ReferenceOps.swiGLU(gate: $0[0], up: $0[1])]
    },
    attention(tokens: 1, heads: 2, keyValueHeads: 1, headDim: 3, documents: nil),
    attention(tokens: 5, heads: 2, keyValueHeads: 2, headDim: 3, documents: nil),
    attention(tokens: 7, heads: 4, keyValueHeads: 2, headDim: 3, documents: nil),
    attention(tokens: 9, heads: 4, keyValueHeads: 2, headDim: 5, documents: [0, 1, 4, 4, 9]),
    attention(tokens: 133, heads: 2, keyValueHeads: 1, headDim: 4, documents: [0, 131, 133]),
    OpCase(
      "embedding", [.normal([5, 3]), .indices([4, 0, 4, 2])], operations: ["embedding"]
    ) { tape, x in
      tape.record(EmbeddingLookup(ids: x[1].value), [x[0]])
    } oracle: {
      [ReferenceOps.embedding($0[0], $0[1].indices)]
    },
  ]

  private static func normalization(_ shape: Shape) -> OpCase {
    OpCase(
      "rms_norm \(shape)", [.normal(shape), .uniform([shape.columnCount], 0.5..<1.5)],
      operations: ["rms_norm"]
    ) { tape, x in
      tape.record(RMSNormalize(epsilon: 1e-3), x)
    } oracle: {
      [ReferenceOps.rmsNorm($0[0], $0[1], epsilon: 1e-3).y]
    }
  }

  private static func rotary(headDim: Int, half: Int) -> OpCase {
    OpCase(
      "rotary of \(2 * half) in \(headDim) dims",
      [
        .normal([3, 2, headDim]), .uniform([5, half], -1..<1, .statistic),
        .uniform([5, half], -1..<1, .statistic), .indices([4, 0, 2]),
      ], operations: ["rotary"]
    ) { tape, x in
      tape.record(Rotate(cos: x[1].value, sin: x[2].value, positions: x[3].value), [x[0]])
    } oracle: {
      [ReferenceOps.rotated($0[0], cos: $0[1], sin: $0[2], positions: $0[3].indices)]
    }
  }

  /// With a trained weight or a frozen one.
  private static func normalizedRotary(headDim: Int, half: Int, role: OpInput.Role) -> OpCase {
    OpCase(
      "rms_norm of \(headDim) dims and rotary of \(2 * half)",
      [
        .normal([3, 2, headDim]), .uniform([headDim], 0.5..<1.5, role),
        .uniform([5, half], -1..<1, .statistic), .uniform([5, half], -1..<1, .statistic),
        .indices([4, 0, 2]),
      ], operations: ["rms_norm_rotary"]
    ) { tape, x in
      let rotation = Rotate(cos: x[2].value, sin: x[3].value, positions: x[4].value)
      return tape.record(NormalizeAndRotate(epsilon: 1e-3, rotation: rotation), [x[0], x[1]])
    } oracle: {
      let y = ReferenceOps.rmsNorm($0[0], $0[1], epsilon: 1e-3).y
      return [ReferenceOps.rotated(y, cos: $0[2], sin: $0[3], positions: $0[4].indices)]
    }
  }

  private static func attention(
    tokens: Int, heads: Int, keyValueHeads: Int, headDim: Int, documents: [Int]?
  ) -> OpCase {
    OpCase(
      "attention [\(tokens), \(heads)/\(keyValueHeads), \(headDim)] \(documents ?? [])",
      [
        .normal([tokens, heads, headDim]), .normal([tokens, keyValueHeads, headDim]),
        .normal([tokens, keyValueHeads, headDim]),
      ], operations: ["attention"]
    ) { _, x in
      Autograd.attention(x[0], x[1], x[2], scale: 0.6, documents: documents)
    } oracle: {
      [
        ReferenceOps.attention(
          $0[0], $0[1], $0[2], ReferenceOps.Attention(scale: 0.6, documents: documents)
        ).out
      ]
    }
  }

  static let tapeLoss: [OpCase] = [
    crossEntropy(.differentiated, .differentiated), crossEntropy(.differentiated, .constant),
    crossEntropy(.constant, .differentiated),
  ]

  private static func crossEntropy(_ hiddenRole: OpInput.Role, _ weightRole: OpInput.Role)
    -> OpCase
  {
    OpCase(
      "linear_cross_entropy by hidden \(hiddenRole), weight \(weightRole)",
      [
        .normal([7, 5], hiddenRole), .normal([11, 5], weightRole), .indices([1, 3, 6, 3]),
        .indices([0, 10, 4, 4]),
      ], operations: ["linear_cross_entropy"]
    ) { _, x in
      Autograd.linearCrossEntropy(
        hidden: x[0], weight: x[1], rows: x[2].value, targets: x[3].value, scale: 0.25
      ).loss
    } oracle: { x in
      let selected = ReferenceOps.embedding(x[0], x[2].indices)
      let nll = ReferenceOps.linearCrossEntropy(
        hidden: selected, weight: x[1], targets: x[3].indices, scale: 0.25
      ).nll
      return [HostArray([], [0.25 * nll.elements.reduce(0, +)])]
    }
  }

  static let tapeCheckpoint: [OpCase] = [
    OpCase(
      "checkpoint", [.normal([3, 5]), .normal([5, 5], .constant)], operations: ["checkpoint"]
    ) { _, x in
      let weight = x[1].value
      return checkpoint(x[0]) { x in
        let y = x.tape.record(LinearMap(hasBias: false), [x, x.tape.constant(weight)])
        return y * x + x
      }
    } oracle: { x in
      let y = ReferenceOps.linear(x[0], x[1])
      return [y.zip(x[0]) { $0 * $1 + $1 }]
    },
    OpCase(
      "checkpoint of a block with dropout",
      [
        .normal([3, 5]), .normal([5, 5], .constant), .normal([2, 5], .constant),
        .normal([5, 2], .constant),
      ], operations: ["checkpoint", "add"]
    ) { _, x in
      let (weight, a, b) = (x[1].value, x[2].value, x[3].value)
      let dropout = (probability: 0.4, stream: checkpointStream)
      let block = { (x: Variable) in
        let tape = x.tape
        let y = tape.record(
          LoRALinearMap(hasBias: false, adapter: LowRankPart(scale: 2, dropout: dropout)),
          [x, tape.constant(weight), tape.constant(a), tape.constant(b)])
        return y * y
      }
      return checkpoint(checkpoint(x[0], block) + x[0], block)
    } oracle: { x in
      let block = { (input: HostArray) in
        let mask = ReferenceOps.dropoutMask(input.shape, probability: 0.4, checkpointStream)
        return ReferenceOps.loraLinear(
          input, x[1], a: x[2], b: x[3], scale: 2, mask: mask
        ).map { $0 * $0 }
      }
      return [block(block(x[0]).zip(x[0]) { $0 + $1 })]
    },
  ]

  private static let checkpointStream = RandomStream(seed: 11, purpose: .dropout, index: 1)
}

extension Tensor {
  /// The same numbers where `backend` reads them.
  fileprivate func moved(to backend: any Backend) -> Tensor {
    do { return try moved(to: Device(backend: backend, preferredComputeDType: .float32)) } catch {
      preconditionFailure("\(error)")
    }
  }
}

extension QuantizedTensor {
  /// The same codes and scales where `backend` reads them.
  fileprivate func copied(to backend: any Backend) -> QuantizedTensor {
    let moved = { (tensor: Tensor) -> Tensor in tensor.moved(to: backend) }
    let scales: Scales =
      switch self.scales {
      case .plain(let values): .plain(moved(values))
      case .nested(let codes, let codeBook, let values, let offset):
        .nested(
          codes: moved(codes), codeBook: moved(codeBook), scales: moved(values), offset: offset)
      }
    return QuantizedTensor(
      shape: shape, blockSize: blockSize, source: source, codes: moved(codes),
      codeBook: moved(codeBook), scales: scales)
  }
}
