// Which blocks keep their insides. Candidates are run on a model without numbers, and what they would take is counted:
// there are no formulas here that could grow apart from the code.

import Autograd
import NN
package import QwenModel
package import Tensor

/// Chooses what the blocks keep, micro-batch by micro-batch.
package final class ActivationPlanner {
  /// What libraries take beside the pool while they multiply, in bytes; measured (Docs/Memory.md).
  package static var libraryByteCount: Int { (24 << 20) + CPUBackend.threadByteCount }

  /// The part of a budget that micro-batches may count on: where the pool must keep to a limit it hands out buffers that
  /// are larger than asked for, rather than take new ones.
  package static func usable(_ budget: Int) -> Int { budget / 20 * 19 }

  private let backend: SizingBackend
  private let model: QwenModel
  private let blockCount: Int
  /// Bytes that a micro-batch may take beyond what is always there; nil: no more than with ``Checkpointing/full``.
  private let budget: Int?
  private var footprints: [Candidate: Int] = [:]
  private var choices: [BatchSize: Checkpointing] = [:]
  /// Tokens of the longest pass so far: tables of rotary angles grow with it and stay.
  private var longestPass = 2

  private struct Candidate: Hashable {
    let size: BatchSize
    let checkpointing: Checkpointing
  }

  /// Gradients of all trained parameters, in bytes.
  package let gradientByteCount: Int

  /// A planner for `model`, whose numbers are not read, with `budget` bytes for each micro-batch.
  package init(_ model: QwenModel, budget: Int?) {
    let backend = SizingBackend(for: model.model.norm.weight.value.backend)
    let outline = model.outline(on: backend)
    // The first micro-batch makes the gradients, which stay.
    let before = backend.memory.liveByteCount
    Self.run(outline, BatchSize(tokens: 2, trained: 1), .off, on: backend.device)
    gradientByteCount = backend.memory.liveByteCount - before
    (self.backend, self.model, self.budget) = (backend, outline, budget)
    blockCount = model.config.numHiddenLayers
  }

  /// The planner of a run whose largest micro-batch is `largest`, beside what this process holds now; nil where blocks keep
  /// everything. With a budget the pool is limited to it too, and compressed matrices of the model are put back as they were where there is room.
  ///
  /// - Throws: ``TrainingError/invalidSetting(name:value:expected:)`` where even full checkpointing takes more than the budget.
  package convenience init?(
    _ model: QwenModel, largest: @autoclosure () -> BatchSize, mode: GradientCheckpointing,
    on device: Device
  ) throws(TrainingError) {
    switch mode {
    case .off: return nil
    case .full: self.init(model, budget: nil)
    case .auto(let total):
      let largest = largest()
      var (sizes, outside, fixed) = (ActivationPlanner(model, budget: nil), 0, 0)
      func count() {
        // Memory that waits is none of what the run holds.
        device.limitMemory(to: Int.max)
        outside = Self.byteCountOutsidePool(model, on: device)
        fixed = outside + device.memory.reservedByteCount + sizes.gradientByteCount
      }
      count()
      if sizes.decompress(model, largest, room: Self.usable(total - fixed)) {
        sizes = ActivationPlanner(model, budget: nil)
        count()
      }
      let least = sizes.footprint(of: largest, .full)
      guard least <= Self.usable(total - fixed) else {
        throw Self.budgetTooSmall(total, least: fixed + least / 19 * 20)
      }
      device.limitMemory(to: total - outside)
      self.init(model, budget: Self.usable(total - fixed))
    }
  }

  /// Puts compressed matrices of `model` back as they were where there is room for them beside all that blocks would keep: products with
  /// them take a little longer. False where nothing is changed; after a change this planner still counts the compressed model, and another one has to be
  /// made.
  package func decompress(_ model: QwenModel, _ largest: BatchSize, room: Int) -> Bool {
    let saving = model.compressionSaving
    guard saving > 0, footprint(of: largest, .off) + saving <= room else { return false }
    model.decompress()
    return true
  }

  /// Bytes of a budget that tensors cannot have: where the device has memory of its own what kernels take, in the memory of the
  /// machine everything that the process has there beside the pool.
  private static func byteCountOutsidePool(_ model: QwenModel, on device: Device) -> Int {
    if device.freeByteCount != nil { return device.memory.kernelByteCount }
    let unread = max(0, model.mappedByteCount - ProcessMemory.residentFileByteCount)
    return ProcessMemory.residentByteCount - device.memory.reservedByteCount + unread
      + libraryByteCount
  }

  /// The error of a budget below `least`.
  package static func budgetTooSmall(_ budget: Int, least: Int) -> TrainingError {
    .invalidSetting(
      name: "memory_budget", value: "\(budget / 1_000_000)MB",
      expected:
        "at least \(megabytes(least)), which this run takes when every block is run again "
        + "(--max_seq_length, the batch size and --use_qlora lower it)")
  }

  private static func megabytes(_ byteCount: Int) -> String {
    "\((byteCount + 999_999) / 1_000_000)MB"
  }

  /// What the blocks keep for a micro-batch.
  package func checkpointing(for batch: TrainingBatch) -> Checkpointing {
    checkpointing(for: batch.size)
  }

  /// What the blocks keep for a micro-batch of `size`.
  package func checkpointing(for size: BatchSize) -> Checkpointing {
    let size = size.rounded
    if let known = choices[size] { return known }
    let choice = choose(size)
    choices[size] = choice
    return choice
  }

  /// The most that a micro-batch of `size` takes at a time beyond weights, gradients and the optimizer's state, in bytes.
  package func footprint(of size: BatchSize, _ checkpointing: Checkpointing) -> Int {
    let candidate = Candidate(size: size, checkpointing: checkpointing)
    if let known = footprints[candidate] { return known }
    if size.tokens > longestPass {
      longestPass = size.tokens
      Self.run(model, size, .full, on: backend.device)
    }
    let before = backend.memory.liveByteCount
    backend.resetPeakMemory()
    Self.run(model, size, checkpointing, on: backend.device)
    let footprint = backend.memory.peakByteCount - before
    footprints[candidate] = footprint
    return footprint
  }

  private func choose(_ size: BatchSize) -> Checkpointing {
    let limit = budget ?? footprint(of: size, .full)
    if footprint(of: size, .off) <= limit { return .off }
    let choices = [false, true].compactMap { mostKept(size, keepsHalves: $0, limit) }
    return choices.max { worth($0) < worth($1) } ?? .full
  }

  /// What of running blocks again a choice saves, in blocks. What lies between products is an eighth of a block's work; keeping the middle saves two
  /// of its seven products in place of one.
  private func worth(_ choice: Checkpointing) -> Double {
    let rest = blockCount - choice.wholeBlockCount - choice.productBlockCount
    return Double(choice.wholeBlockCount) + 0.87 * Double(choice.productBlockCount)
      + (choice.keepsHalves ? 0.2 * Double(rest) : 0)
  }

  /// The choice that keeps most: as many blocks as possible keep their products, which is worth more for each byte than keeping everything, and of
  /// them as many as possible keep everything. Nil where not even none can.
  private func mostKept(_ size: BatchSize, keepsHalves: Bool, _ limit: Int) -> Checkpointing? {
    func choice(_ whole: Int, _ products: Int) -> Checkpointing {
      Checkpointing(
        wholeBlockCount: whole, productBlockCount: products, keepsHalves: keepsHalves)
    }
    func fits(_ choice: Checkpointing) -> Bool { footprint(of: size, choice) <= limit }
    guard fits(choice(0, 0)) else { return nil }
    let kept = Self.largest(upTo: blockCount) { fits(choice(0, $0)) }
    let whole = Self.largest(upTo: kept) { fits(choice($0, kept - $0)) }
    return choice(whole, kept - whole)
  }

  /// The largest number up to `most` for which `fits` holds, as it does for 0 and all below one for which it does.
  private static func largest(upTo most: Int, _ fits: (Int) -> Bool) -> Int {
    var (low, high) = (0, most)
    while low < high {
      let middle = (low + high + 1) / 2
      if fits(middle) { low = middle } else { high = middle - 1 }
    }
    return low
  }

  /// Forward and backward of one row of `size`, which is no less than several rows of the same size take.
  private static func run(
    _ model: QwenModel, _ size: BatchSize, _ checkpointing: Checkpointing, on device: Device
  ) {
    let tokens = max(size.tokens, size.trained + 1)
    let labels = (0..<tokens).map { $0 < tokens - size.trained ? EncodedRow.ignoredLabel : 0 }
    let row = EncodedRow(
      inputIDs: [Int32](repeating: 0, count: tokens), labels: labels, file: "", line: 0)
    guard let batch = TrainingBatch([row], on: device) else { return }
    TrainingPass(
      model, batch, randomness: Randomness(seed: 0, pass: 0), checkpointing: checkpointing,
      scale: 1
    ).backward()
  }
}
