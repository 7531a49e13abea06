// Weight-decomposed adaptation: its operations alone, and a whole map as PEFT computes it. The norms are constants, as
// they are in training: finite differences must not see them move.

import Autograd
import Tensor

extension OpCases {
  static let tapeDropout: [OpCase] = [[1, 1], [3, 17], [2, 3, 5]].map { (shape: Shape) in
    OpCase("dropout \(shape)", [.normal(shape)], operations: ["dropout"]) { tape, x in
      tape.record(Dropout(probability: 0.3, stream: stream), [x[0]])
    } oracle: {
      [
        ReferenceOps.dropoutMask(shape, probability: 0.3, stream).zip($0[0]) { $0 * $1 }
      ]
    }
  }

  static let tapeWeightDecomposed: [OpCase] = {
    var cases: [OpCase] = []
    for hasBias in [false, true] {
      for trainsBias in [false, true] {
        cases.append(magnitudeScaling(hasBias: hasBias, trainsBias: trainsBias))
      }
      for dropout in [nil, 0.3] {
        cases.append(linear(hasBias: hasBias, dropout: dropout))
      }
    }
    return cases
  }()

  private static let stream = RandomStream(seed: 5, purpose: .dropout, index: 2, offset: 1)

  private static func magnitudeScaling(hasBias: Bool, trainsBias: Bool) -> OpCase {
    OpCase(
      "magnitude_scaling\(hasBias ? " with \(trainsBias ? "trained" : "frozen") bias" : "")"
        + (trainsBias ? " [1, 17]" : " [5, 3]"),
      trainsBias
        ? magnitudeInputs(rows: 1, outputs: 17, hasBias: hasBias, .differentiated)
        : magnitudeInputs(rows: 5, outputs: 3, hasBias: hasBias, .constant),
      operations: ["magnitude_scaling"]
    ) { tape, x in
      tape.record(
        MagnitudeScaling(norms: x[2].value, hasBias: hasBias),
        [x[0], x[1]] + (hasBias ? [x[3]] : []))
    } oracle: { x in
      let y = ReferenceOps.multiplyingRow(x[0], x[1].zip(x[2]) { $0 / $1 })
      return [hasBias ? ReferenceOps.addingRow(y, x[3]) : y]
    }
  }

  private static func magnitudeInputs(
    rows: Int, outputs: Int, hasBias: Bool, _ bias: OpInput.Role
  ) -> [OpInput] {
    [
      .normal([rows, outputs]), .uniform([outputs], 0.5..<2),
      .uniform([outputs], 0.5..<2, .constant),
    ] + (hasBias ? [.normal([outputs], bias)] : [])
  }

  private static func linear(hasBias: Bool, dropout: Double?) -> OpCase {
    OpCase(
      "weight-decomposed linear\(hasBias ? " with bias" : "")\(dropout.map { " dropout \($0)" } ?? "")",
      [
        .normal([5, 7]), .normal([9, 7], .constant), .normal([3, 7]), .normal([9, 3]),
        .uniform([9], 0.5..<4), .uniform([9], 1..<4, .constant),
      ] + (hasBias ? [.normal([9])] : []),
      operations: dropout == nil
        ? ["lora_linear", "magnitude_scaling"]
        : ["lora_linear", "magnitude_scaling", "dropout", "linear", "add", "scale"]
    ) { tape, x in
      weightDecomposedMap(
        x[0], magnitude: x[4], norms: x[5].value, bias: hasBias ? x[6] : nil,
        dropout: dropout.map { ($0, stream) }
      ) { u in
        tape.record(
          LoRALinearMap(hasBias: false, scale: 0.5, dropout: nil), [u, x[1], x[2], x[3]])
      } base: { rest in
        tape.record(LinearMap(hasBias: false), [rest, x[1]])
      }
    } oracle: { x in
      let mask = dropout.map { ReferenceOps.dropoutMask(x[0].shape, probability: $0, stream) }
      return [
        ReferenceOps.weightDecomposedLinear(
          x[0], x[1], a: x[2], b: x[3], magnitude: x[4], norms: x[5],
          bias: hasBias ? x[6] : nil, scale: 0.5, mask: mask)
      ]
    }
  }
}
