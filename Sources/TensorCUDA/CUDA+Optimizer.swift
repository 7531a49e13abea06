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

extension CUDABackend: OptimizerKernels {
  package func adamW(
    parameter: Destination, gradient: Operand, firstMoment: Destination, secondMoment: Destination,
    step: AdamWStep
  ) {
    precondition(
      parameter.dtype.isFloatingPoint && gradient.dtype == parameter.dtype.accumulation,
      "adamW: no kernel for \(gradient.dtype.rawValue) into \(parameter.dtype.rawValue)")
    launch(
      Kernel("training", "adamw", parameter.dtype, gradient.dtype), grid: blocks(parameter.count),
      parameter.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer,
      Int64(parameter.count), AdamWFactors<Double>(step))
  }

  package func adamW8Bit(
    parameter: Destination, gradient: Operand, firstMoment: MomentDestination,
    secondMoment: MomentDestination, step: AdamWStep
  ) {
    precondition(
      parameter.dtype == .float32 || parameter.dtype == .bfloat16,
      "adamW8Bit: no kernel for \(parameter.dtype.rawValue)")
    precondition(
      gradient.dtype == .float32,
      "adamW8Bit: no kernel for a gradient in \(gradient.dtype.rawValue)")
    guard parameter.count > 0, let maps = dynamicMaps.address(on: self) else { return }
    launch(
      Kernel("training", "adamw_8bit", parameter.dtype),
      grid: (x: Moment.blockCount(parameter.count), y: 1), parameter.pointer, gradient.pointer,
      Moment8Argument(firstMoment), Moment8Argument(secondMoment), maps, Int64(parameter.count),
      AdamWFactors<Float>(step))
  }

  package func squaredNorm(_ x: Operand, into y: Destination) {
    precondition(y.dtype == .float64, "squaredNorm: result is \(y.dtype.rawValue)")
    total(x, squared: true, into: y)
  }
}
