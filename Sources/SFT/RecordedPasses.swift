// Micro-batches that are alike but for their numbers: where the device can queue recorded work again, the first of a size is
// recorded, and those after it cost the host one call instead of thousands.

package import Autograd
import NN
package import QwenModel
package import Tensor

/// Runs micro-batches by replaying what was recorded of one of the same size.
///
/// A run begins with a step that is not recorded: whatever is made at first use (kernels, tables of angles) is there then.
package final class RecordedPasses {
  /// What must be equal for one recording to serve two micro-batches.
  private struct Key: Hashable {
    let size: BatchSize
    let positionCount: Int
    let checkpointing: Checkpointing
  }

  private struct Entry {
    let work: any RecordedWork
    /// Read by the recorded kernels: other batches are copied here.
    let batch: TrainingBatch
    let scale: Tensor
    /// Written by them.
    let result: Result
    /// The use of random streams when it was recorded.
    let pass: Int
  }

  /// What a pass leaves, to be read before the next.
  package struct Result {
    /// The scaled sum of the cross-entropy.
    package let loss: Tensor
    /// What the loss saw.
    package let statistics: LossStatistics
  }

  /// Recordings that are kept.
  private static let limit = 24

  private let model: QwenModel
  private let parameters: [Parameter]
  /// Nil once something could not be recorded: its memory is better used by passes that run.
  private var recorder: (any WorkRecorder)?
  /// The gradients, which stay where they are, while parameters do not have them.
  private var gradients: [Tensor] = []
  /// Where the gradients lie, and the values that recordings read.
  private var addresses: [UInt] = []
  private var valueAddresses: [UInt] = []
  private var zeroing: (any RecordedWork)?
  private var entries: [Key: Entry] = [:]
  private var voidCount = 0
  /// Why nothing is recorded any more; nil while it is.
  package private(set) var problem: String?
  /// Recordings that may be made void one after another, for want of memory, before no more are made.
  private static let voidLimit = 4
  /// How many passes were replayed.
  package private(set) var replayCount = 0

  /// Passes of `model` that add to the gradients of `parameters`; nil where the device records nothing, and where passes differ in
  /// what they compute: noise on the embeddings is drawn anew, and DoRA's row norms are computed once a step.
  package init?(_ model: QwenModel, _ parameters: [Parameter], on device: Device) {
    guard model.model.embedTokens.noiseAlpha == nil,
      !model.namedAdapters().contains(where: { $0.adapter.magnitude != nil }),
      let recorder = device.backend.makeRecorder()
    else { return nil }
    self.model = model
    self.parameters = parameters
    self.recorder = recorder
  }

  /// Gives every parameter its gradient, which is 0.
  package func begin() {
    // A step that an error has ended did not take them back.
    end()
    if addresses.isEmpty {
      gradients = parameters.map {
        Tensor.full($0.shape, 0, dtype: $0.value.dtype.accumulation, like: $0.value)
      }
      addresses = gradients.map(\.operand.address)
      // A first step of one micro-batch adds nothing to a gradient, and kernels are better loaded before they are recorded.
      if var sum = gradients.first { sum.accumulate(sum) }
      recordZeroing()
    } else if zeroing?.replay(documents: [], advance: 0) != true {
      zero()
      recordZeroing()
    }
    // A value that was restored, or that somebody else holds, is in another place after the last step.
    let places = parameters.map(\.value.operand.address)
    if places != valueAddresses { entries = [:] }
    valueAddresses = places
    for (parameter, gradient) in zip(parameters, gradients) { parameter.gradient = gradient }
    // From here on parameters alone hold them, so that they grow in place.
    gradients = []
  }

  /// Takes the gradients back, before parameters forget them.
  package func end() {
    guard gradients.isEmpty, !addresses.isEmpty else { return }
    gradients = parameters.compactMap { $0.gradient.take() }
    if gradients.map(\.operand.address) != addresses {
      // Somebody has cleared or replaced them.
      (gradients, addresses, entries, zeroing) = ([], [], [:], nil)
    }
  }

  private func recordZeroing() {
    zeroing = recorder?.record { self.zero() }
    if zeroing == nil { giveUp() }
  }

  /// Records no more: passes that run have the memory then.
  private func giveUp() {
    if let recorder { problem = recorder.problem ?? "there is too little memory" }
    (entries, zeroing, recorder) = ([:], nil, nil)
  }

  private func zero() {
    for tensor in gradients {
      launch(tensor) { tensor.backend.fill(tensor.destination, with: 0) }
    }
  }

  private func requireSamePlaces(_ gradients: [Tensor]) {
    precondition(
      gradients.map(\.operand.address) == addresses, "recorded passes: a gradient has been moved")
  }

  /// Forward and backward of a micro-batch, between `begin` and `end`; nil where it cannot be recorded, and nothing has run.
  package func run(
    _ batch: TrainingBatch, randomness: Randomness?, checkpointing: Checkpointing, scale: Double
  ) -> Result? {
    let key = Key(
      size: batch.size, positionCount: batch.tokens.positionCount, checkpointing: checkpointing)
    let scale = TrainingPass.scale(scale, for: model)
    for _ in 0..<2 {
      guard let entry = entries[key] ?? record(batch, key, randomness, scale) else { return nil }
      let target = entry.batch
      let copies = [
        (batch.tokens.ids, target.tokens.ids), (batch.tokens.positions, target.tokens.positions),
        (batch.rows, target.rows), (batch.targets, target.targets), (scale, entry.scale),
      ]
      for (new, old) in copies where new.operand.address != old.operand.address {
        launch(new, old) { new.backend.cast(new.operand, into: old.destination) }
      }
      let advance = UInt32(truncatingIfNeeded: (randomness?.pass ?? 0) - entry.pass)
      if entry.work.replay(documents: batch.tokens.documents, advance: advance) {
        (replayCount, voidCount) = (replayCount + 1, 0)
        return entry.result
      }
      // It has no room for so many documents, or its memory was wanted; the next one has both.
      entries[key] = nil
      voidCount += 1
      if voidCount > Self.voidLimit { giveUp() }
    }
    return nil
  }

  private func record(
    _ batch: TrainingBatch, _ key: Key, _ randomness: Randomness?, _ scale: Tensor
  ) -> Entry? {
    guard entries.count < Self.limit, let recorder else { return nil }
    // A table that was made while it is recorded would stay, and never be filled.
    model.model.prepareTables(for: batch.tokens, like: model.reference)
    var result: Result?
    let work = recorder.record {
      let pass = TrainingPass(
        model, batch, randomness: randomness, checkpointing: key.checkpointing, scale: scale)
      result = Result(loss: pass.loss.value, statistics: pass.statistics)
      pass.backward()
    }
    requireSamePlaces(parameters.compactMap(\.gradient))
    guard let work, let result else {
      giveUp()
      return nil
    }
    let entry = Entry(
      work: work, batch: batch, scale: scale, result: result, pass: randomness?.pass ?? 0)
    entries[key] = entry
    return entry
  }
}
