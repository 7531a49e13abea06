// Linear maps by weights that are kept in fewer bits than are computed with: few rows, as in decoding, and many with a low-rank
// part, as in training. The weights are made on the device that is measured.

import Autograd
import Tensor

/// The forms in which a weight is kept.
enum WeightForm: String, CaseIterable {
  case bfloat16, compressed, nf4

  /// Of NF4 codes, and the scales in 8 bits.
  var bytesPerWeight: Double {
    switch self {
    case .bfloat16: 2
    case .compressed: 1.5
    case .nf4: 0.516
    }
  }

  /// A random weight [outputs, columns] in this form; in bfloat16 where it cannot be compressed.
  func weight(outputs: Int, columns: Int, on device: Device) -> PackedWeight {
    let numbers = Tensor.normal(
      [outputs, columns], stream: RandomStream(seed: 1, purpose: .test, index: 0), on: device)
    switch self {
    case .bfloat16: return .narrow(numbers.cast(to: .bfloat16))
    case .compressed:
      let narrow = numbers.cast(to: .bfloat16)
      return CompressedTensor(narrow).map { .compressed($0) } ?? .narrow(narrow)
    case .nf4: return .nf4(QuantizedTensor(quantizing: numbers))
    }
  }
}

extension Benchmark {
  /// x·Wᵀ for few rows, which reads the weight once.  x [rows, columns], W [outputs, columns]
  static func fewRows(_ rows: Int, outputs: Int, columns: Int, _ form: WeightForm) -> Benchmark {
    Benchmark(
      name: "\(rows) rows · \(form.rawValue) [\(outputs), \(columns)]ᵀ",
      dtypes: [.float32, .bfloat16],
      weightByteCount: Double(outputs * columns) * form.bytesPerWeight
    ) { dtype, device in
      let weight = form.weight(outputs: outputs, columns: columns, on: device)
      let x = input([rows, columns], 1, dtype, device)
      return {
        withExtendedLifetime(Tensor.matmul(x, packed: weight, transposeWeight: true)) {}
      }
    }
  }

  /// x·Wᵀ + s·(x·Aᵀ)·Bᵀ with a frozen W and trained A and B, as LoRA and QLoRA have it.
  ///
  /// x [tokens, columns], W [outputs, columns], A [rank, columns], B [outputs, rank]. With `hasBackward` the gradients of x, A and B as well.
  static func lowRank(
    tokens: Int, outputs: Int, columns: Int, rank: Int, _ form: WeightForm, hasBackward: Bool
  ) -> Benchmark {
    let (product, part) = (outputs * columns, rank * (outputs + columns))
    // Forward x·Wᵀ, x·Aᵀ and h·Bᵀ; backward dy·W, and two products for each of A and B.
    let products = hasBackward ? 2 * product + 3 * part : product + part
    return Benchmark(
      name:
        "lora \(form.rawValue) [\(tokens), \(columns)] → \(outputs) \(hasBackward ? "and backward" : "forward")",
      dtypes: [.float32, .bfloat16], flops: 2 * Double(tokens) * Double(products)
    ) { dtype, device in
      let weight = form.weight(outputs: outputs, columns: columns, on: device)
      let (x, dy) = (
        input([tokens, columns], 1, dtype, device), input([tokens, outputs], 2, dtype, device)
      )
      // Factors are trained in float32.
      let (a, b) = (
        input([rank, columns], 3, .float32, device), input([outputs, rank], 4, .float32, device)
      )
      return {
        let tape = Tape(mode: hasBackward ? .recording : .inference)
        let (x, factors) = (tape.input(x), [tape.input(a), tape.input(b)])
        let adapter = LowRankPart(scale: 2, dropout: nil)
        let y =
          if case .narrow(let dense) = weight {
            tape.record(
              LoRALinearMap(hasBias: false, adapter: adapter), [x, tape.constant(dense)] + factors)
          } else {
            tape.record(
              PackedLinearMap(weight: weight, hasBias: false, adapter: adapter), [x] + factors)
          }
        if hasBackward { tape.backward(from: y, seed: dy) }
      }
    }
  }

  /// Random numbers; `index` tells inputs apart.
  private static func input(_ shape: Shape, _ index: Int, _ dtype: DType, _ device: Device)
    -> Tensor
  {
    .normal(
      shape, dtype: dtype, stream: RandomStream(seed: 1, purpose: .test, index: index), on: device)
  }
}
