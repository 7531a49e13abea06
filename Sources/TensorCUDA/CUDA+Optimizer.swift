// AdamW and the norm that clipping needs.

import Synchronization

package import Tensor

/// A moment in 8 bits as the kernel takes it.
private struct Moment8Argument: BitwiseCopyable {
  let codes, scales: UInt64

  init(_ moment: MomentDestination) {
    (codes, scales) = (moment.codes.pointer, moment.scales.pointer)
  }
}

/// The tables of the 8-bit maps in the device's memory, written there when they are first needed.
final class DynamicMapTables: Sendable {
  private let buffer = Mutex<Buffer?>(nil)

  /// The address of the tables: the numbers of the signed and of the unsigned map, then the codes of all points in each. Nil,
  /// and the error kept, where there is no memory for them.
  func address(on backend: CUDABackend) -> UInt64? {
    buffer.withLock { buffer in
      if let buffer { return UInt64(buffer.address) }
      let maps = [DynamicMap.signed, DynamicMap.unsigned]
      var bytes: [UInt8] = []
      for map in maps { map.values.withUnsafeBytes { bytes.append(contentsOf: $0) } }
      for map in maps { bytes.append(contentsOf: map.codeOfPoint) }
      let tables = backend.allocate(byteCount: bytes.count)
      guard tables.address != 0 else { return nil }
      bytes.withUnsafeBytes { backend.copyIn($0, to: tables, byteOffset: 0) }
      buffer = tables
      return UInt64(tables.address)
    }
  }

  /// Forgets the tables and returns their memory.
  func remove() -> Buffer? {
    buffer.withLock { buffer in
      defer { buffer = nil }
      return buffer
    }
  }
}

/// An entry of a list that one kernel works through: as the kernels take it, without what it is a list of.
private protocol ListEntry: BitwiseCopyable {
  /// Elements, and the first block of threads that works on them.
  var count: Int64 { get }
  var firstBlock: Int64 { get set }
}

/// Elements to be scaled or summed.
private struct RunEntry: ListEntry {
  let address: UInt64
  let count: Int64
  var firstBlock: Int64 = 0
  /// Where the sum goes.
  let index: Int64
}

/// A parameter with moments in its accumulation type.
private struct AdamWEntry: ListEntry {
  let parameter, gradient, firstMoment, secondMoment: UInt64
  let count: Int64
  var firstBlock: Int64 = 0
  let factors: AdamWFactors<Double>

  init(_ update: AdamWUpdate, _ first: Destination, _ second: Destination) {
    (parameter, gradient) = (update.parameter.pointer, update.gradient.pointer)
    (firstMoment, secondMoment) = (first.pointer, second.pointer)
    count = Int64(update.parameter.count)
    factors = AdamWFactors(update.step)
  }
}

/// A parameter with moments in 8 bits.
private struct AdamW8BitEntry: ListEntry {
  let parameter, gradient: UInt64
  let firstMoment, secondMoment: Moment8Argument
  let count: Int64
  var firstBlock: Int64 = 0
  let factors: AdamWFactors<Float>

  init(_ update: AdamWUpdate, _ first: MomentDestination, _ second: MomentDestination) {
    (parameter, gradient) = (update.parameter.pointer, update.gradient.pointer)
    (firstMoment, secondMoment) = (Moment8Argument(first), Moment8Argument(second))
    count = Int64(update.parameter.count)
    factors = AdamWFactors(update.step)
  }
}

extension CUDABackend: OptimizerKernels {
  /// Elements for a block of threads, as the kernels have them.
  private static let adamWBlock = 1024
  private static let scaleBlock = 4096
  private static let squareBlock = 16_384

  package func adamW(_ updates: [AdamWUpdate]) {
    var full: [DType: [AdamWEntry]] = [:]
    var in8Bits: [DType: [AdamW8BitEntry]] = [:]
    for update in updates {
      let (parameter, gradient) = (update.parameter.dtype, update.gradient.dtype)
      precondition(
        parameter.isFloatingPoint && gradient == parameter.accumulation,
        "adamW: no kernel for \(gradient.rawValue) into \(parameter.rawValue)")
      switch update.moments {
      case .full(let first, let second):
        full[parameter, default: []].append(AdamWEntry(update, first, second))
      case .in8Bits(let first, let second):
        precondition(
          gradient == .float32, "adamW in 8 bits: no kernel for \(parameter.rawValue)")
        in8Bits[parameter, default: []].append(AdamW8BitEntry(update, first, second))
      }
    }
    for (dtype, entries) in full {
      withList(entries, perBlock: Self.adamWBlock) { list in
        launch(
          Kernel("training", "adamw", dtype, dtype.accumulation), grid: list.grid, list.address,
          list.count)
      }
    }
    for (dtype, entries) in in8Bits {
      guard let maps = dynamicMaps.address(on: self) else { return }
      withList(entries, perBlock: DynamicMap.blockSize) { list in
        launch(
          Kernel("training", "adamw_8bit", dtype), grid: list.grid, list.address, list.count, maps)
      }
    }
  }

  package func squaredNorms(_ xs: [Operand], into y: Destination) {
    precondition(
      y.dtype == .float64 && y.count == xs.count, "squaredNorms: result is \(y.dtype.rawValue)")
    fill(y, with: 0)
    for (dtype, entries) in runs(xs, "squaredNorms") {
      withList(entries, perBlock: Self.squareBlock) { list in
        let parts = scratch(.float64, list.grid.x)
        launch(
          Kernel("reduction", "partial_squares", dtype), grid: list.grid, list.address, list.count,
          parts.destination.pointer)
        launch(
          Kernel("reduction", "add_partial_squares", .none), grid: (x: Int(list.count), y: 1),
          list.address, parts.destination.pointer, y.pointer)
      }
    }
  }

  package func scaleAll(_ xs: [Destination], by alpha: Double) {
    for (dtype, entries) in runs(xs.map(\.operand), "scaleAll") {
      withList(entries, perBlock: Self.scaleBlock) { list in
        launch(
          Kernel("elementwise", "scale_all", dtype), grid: list.grid, list.address, list.count,
          alpha)
      }
    }
  }

  /// Entries of operands, by their type.
  private func runs(_ xs: [Operand], _ operation: StaticString) -> [DType: [RunEntry]] {
    var runs: [DType: [RunEntry]] = [:]
    for (index, x) in xs.enumerated() {
      requireFloat(x.dtype, operation)
      runs[x.dtype, default: []].append(
        RunEntry(address: x.pointer, count: Int64(x.count), index: Int64(index)))
    }
    return runs
  }

  /// A list in the device's memory, without the entries that have no elements.
  private struct List {
    let address: UInt64
    let count: Int32
    /// A block of threads for each run of `perBlock` elements of an entry.
    let grid: (x: Int, y: Int)
  }

  /// Runs `body`, which queues kernels, with a list in the device's memory.
  private func withList<E: ListEntry>(_ entries: [E], perBlock: Int, _ body: (List) -> Void) {
    var entries = entries.filter { $0.count > 0 }
    var blocks = 0
    for index in entries.indices {
      entries[index].firstBlock = Int64(blocks)
      blocks += (Int(entries[index].count) + perBlock - 1) / perBlock
    }
    guard !entries.isEmpty else { return }
    let memory = scratch(.uint8, entries.count * MemoryLayout<E>.stride)
    // What `body` allocates must not be given this memory.
    defer { withExtendedLifetime(memory) {} }
    let target = memory.destination
    guard target.address != 0 else { return }
    entries.withUnsafeBytes {
      copyIn($0, to: Buffer(address: target.address, byteCount: $0.count), byteOffset: 0)
    }
    body(List(address: target.pointer, count: Int32(entries.count), grid: (x: blocks, y: 1)))
  }
}
