// Copies, conversions and fills.

import CKernels
import Glibc

extension CPUBackend: MemoryKernels {
  package func allocate(byteCount: Int) -> Buffer { pool.allocate(byteCount: byteCount) }

  package func release(_ buffer: Buffer) { pool.release(buffer) }

  package func borrow(_ bytes: UnsafeRawBufferPointer) -> Buffer? {
    Buffer(address: UInt(bitPattern: bytes.baseAddress), byteCount: bytes.count)
  }

  package func copyIn(_ bytes: UnsafeRawBufferPointer, to buffer: Buffer, byteOffset: Int) {
    precondition(
      byteOffset >= 0 && byteOffset + bytes.count <= buffer.byteCount, "copyIn: out of bounds")
    guard let source = bytes.baseAddress, bytes.count > 0,
      let target = UnsafeMutableRawPointer(bitPattern: buffer.address + UInt(byteOffset))
    else { return }
    memcpy(target, source, bytes.count)
  }

  package func copyOut(
    _ buffer: Buffer, byteOffset: Int, into bytes: UnsafeMutableRawBufferPointer
  ) throws(DeviceError) {
    precondition(
      byteOffset >= 0 && byteOffset + bytes.count <= buffer.byteCount, "copyOut: out of bounds")
    guard let target = bytes.baseAddress, bytes.count > 0,
      let source = UnsafeRawPointer(bitPattern: buffer.address + UInt(byteOffset))
    else { return }
    memcpy(target, source, bytes.count)
  }

  package func copyStrided(_ x: Operand, extents: [Int], strides: [Int], into y: Destination) {
    switch x.dtype.byteWidth {
    case 1: copyStrided(UInt8.self, x, extents, strides, y)
    case 2: copyStrided(UInt16.self, x, extents, strides, y)
    case 4: copyStrided(UInt32.self, x, extents, strides, y)
    default: copyStrided(UInt64.self, x, extents, strides, y)
    }
  }

  private func copyStrided<T>(
    _ type: T.Type, _ x: Operand, _ extents: [Int], _ strides: [Int], _ y: Destination
  ) {
    guard y.count > 0 else { return }
    let (source, target) = (x.pointer(T.self), y.pointer(T.self))
    guard let inner = extents.last, let innerStride = strides.last else {
      target[0] = source[0]
      return
    }
    parallelFor(y.count / inner, grain: CPUBackend.rowGrain(columns: inner)) { range in
      for row in range {
        var (rest, offset) = (row, 0)
        for axis in stride(from: extents.count - 2, through: 0, by: -1) {
          offset += rest % extents[axis] * strides[axis]
          rest /= extents[axis]
        }
        let (from, to) = (source + offset, target + row * inner)
        for i in 0..<inner { to[i] = from[i * innerStride] }
      }
    }
  }

  package func cast(_ x: Operand, into y: Destination) {
    precondition(x.count == y.count, "cast: \(x.count) elements into \(y.count)")
    guard x.count > 0 else { return }
    if x.dtype == y.dtype {
      let (source, target, width) = (
        x.pointer(UInt8.self), y.pointer(UInt8.self), x.dtype.byteWidth
      )
      parallelFor(x.count, grain: 1 << 18) { range in
        memcpy(
          target + range.lowerBound * width, source + range.lowerBound * width, range.count * width)
      }
      return
    }
    switch (x.dtype, y.dtype) {
    case (.bfloat16, .float32):
      let (source, target) = (x.pointer(UInt16.self), y.pointer(Float.self))
      parallelFor(x.count, grain: CPUBackend.elementwiseGrain) { range in
        ck_widen(source + range.lowerBound, target + range.lowerBound, range.count)
      }
    case (.float32, .bfloat16):
      let (source, target) = (x.pointer(Float.self), y.pointer(UInt16.self))
      parallelFor(x.count, grain: CPUBackend.elementwiseGrain) { range in
        ck_narrow(source + range.lowerBound, target + range.lowerBound, range.count)
      }
    case (.float32, .float64): convertScalars(Float.self, Double.self, x, y) { Double($0) }
    case (.float64, .float32): convertScalars(Double.self, Float.self, x, y) { Float($0) }
    case (.bfloat16, .float64):
      convertScalars(BFloat16.self, Double.self, x, y) { Double($0.float) }
    case (.float64, .bfloat16):
      convertScalars(Double.self, BFloat16.self, x, y) { BFloat16(Float($0)) }
    case (.float16, .float32): convertScalars(Half.self, Float.self, x, y) { $0.float }
    case (.float16, .float64): convertScalars(Half.self, Double.self, x, y) { Double($0.float) }
    case (.float16, .bfloat16):
      convertScalars(Half.self, BFloat16.self, x, y) { BFloat16($0.float) }
    case (.int32, .float32): convertScalars(Int32.self, Float.self, x, y) { Float($0) }
    case (.int32, .float64): convertScalars(Int32.self, Double.self, x, y) { Double($0) }
    case (.uint8, .float32): convertScalars(UInt8.self, Float.self, x, y) { Float($0) }
    case (.uint8, .float64): convertScalars(UInt8.self, Double.self, x, y) { Double($0) }
    case (.uint8, .int32): convertScalars(UInt8.self, Int32.self, x, y) { Int32($0) }
    default:
      preconditionFailure("cast: no conversion from \(x.dtype.rawValue) to \(y.dtype.rawValue)")
    }
  }

  @inline(__always)
  private func convertScalars<A, B>(
    _ a: A.Type, _ b: B.Type, _ x: Operand, _ y: Destination, _ body: (A) -> B
  ) {
    let (source, target) = (x.pointer(A.self), y.pointer(B.self))
    parallelFor(x.count, grain: CPUBackend.elementwiseGrain) { range in
      for i in range { target[i] = body(source[i]) }
    }
  }

  package func fill(_ y: Destination, with value: Double) {
    func fill<T>(_ value: T) {
      let target = y.pointer(T.self)
      parallelFor(y.count, grain: 1 << 18) { range in
        (target + range.lowerBound).update(repeating: value, count: range.count)
      }
    }
    switch y.dtype {
    case .float32: fill(Float(value))
    case .float64: fill(value)
    case .bfloat16: fill(BFloat16(Float(value)))
    case .float16:
      precondition(value == 0, "fill: \(value) in float16")
      fill(Half(bitPattern: 0))
    case .int32: fill(Int32(value))
    case .uint8: fill(UInt8(value))
    }
  }

  package func synchronize() throws(DeviceError) {}

  package var memory: MemoryStatistics { pool.statistics }

  package var freeByteCount: Int? { nil }

  package func resetPeakMemory() { pool.resetPeak() }

  package func limitMemory(to byteCount: Int?) { pool.limit(to: byteCount) }
}
