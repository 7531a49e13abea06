// Holding out rows for evaluation.

import Tensor

/// The split of rows into those that are trained and those that are held out.
public enum ValidationSplit {
  /// Splits `rows`: a share below 1 of them, rounded up, or a number of rows. The choice depends on the seed and the
  /// number of rows alone; both parts keep their order.
  ///
  /// - Throws: ``TrainingError/invalidSetting(name:value:expected:)`` when nothing would be left to train.
  public static func split(_ rows: [EncodedRow], size: Double, seed: UInt64) throws(TrainingError)
    -> (training: [EncodedRow], evaluation: [EncodedRow])
  {
    guard size > 0 else { return (rows, []) }
    let count = size < 1 ? (size * Double(rows.count)).rounded(.up) : size
    guard count < Double(rows.count) else {
      throw .invalidSetting(
        name: "val_size", value: size < 1 ? "\(size)" : "\(Int(size))",
        expected: "fewer than the \(rows.count) rows that there are")
    }
    var random = RandomSequence(RandomStream(seed: seed, purpose: .shuffle, index: 1))
    var order = Array(rows.indices)
    order.shuffle(using: &random)
    let heldOut = Set(order.prefix(Int(count)))
    return (
      rows.indices.filter { !heldOut.contains($0) }.map { rows[$0] },
      heldOut.sorted().map { rows[$0] }
    )
  }
}
