// NF4: from numbers to codes and back. Every sum and rounding is in the order of bitsandbytes' CPU code.

import CKernels

extension CPUBackend: QuantizationKernels {
  package func quantizeNF4(
    _ x: Operand, blockSize: Int, into codes: Destination, absmax: Destination
  ) {
    switch x.dtype {
    case .float32: quantize(Float.self, x, blockSize, codes, absmax)
    case .bfloat16: quantize(BFloat16.self, x, blockSize, codes, absmax)
    default: preconditionFailure("quantizeNF4: no kernel for \(x.dtype.rawValue)")
    }
  }

  private func quantize<T: KernelElement>(
    _ type: T.Type, _ x: Operand, _ blockSize: Int, _ codes: Destination, _ absmax: Destination
  ) where T.Compute == Float {
    guard x.count > 0 else { return }
    let (source, codes, absmax) = (
      x.pointer(T.self), codes.pointer(UInt8.self), absmax.pointer(Float.self)
    )
    let count = x.count
    NF4.decisionPoints.withUnsafeBufferPointer { points in
      parallelFor(
        (count + blockSize - 1) / blockSize, grain: CPUBackend.elementwiseGrain / blockSize
      ) { blocks in
        for block in blocks {
          let start = block * blockSize
          let length = min(blockSize, count - start)
          let (from, to) = (source + start, codes + start / 2)
          absmax[block] =
            length == blockSize
            ? quantizeBlock(from, blockSize, points, to)
            : quantizeShortBlock(from, length, points, to)
        }
      }
    }
  }

  package func quantizeScales(
    _ absmax: Operand, into codes: Destination, scales: Destination
  ) -> Float {
    let (source, count) = (absmax.pointer(Float.self), absmax.count)
    let offset = count == 0 ? 0 : torchSum(source, count) / Float(count)
    let (codes, scales) = (codes.pointer(UInt8.self), scales.pointer(Float.self))
    let (blockSize, map) = (NF4.nestedBlockSize, DynamicMap.signed)
    parallelFor((count + blockSize - 1) / blockSize, grain: 16) { blocks in
      for block in blocks {
        let range = block * blockSize..<min((block + 1) * blockSize, count)
        var largest: Float = 0
        for i in range { largest = max(largest, (source[i] - offset).magnitude) }
        scales[block] = largest
        let factor = 1 / largest
        for i in range {
          codes[i] = largest == 0 ? 0 : map.code(of: (source[i] - offset) * factor)
        }
      }
    }
    return offset
  }

  package func unpack(_ w: PackedOperand, from first: Int, into y: Destination) {
    switch w {
    case .narrow(let w): cast(w.slice(first, y.count), into: y)
    case .nf4(let w): dequantize(w, from: first, into: y)
    case .compressed(let w): decompress(w, from: first, into: y)
    }
  }

  private func dequantize(_ w: NF4Operand, from first: Int, into y: Destination) {
    precondition(
      first >= 0 && first + y.count <= w.count,
      "unpack: \(y.count) elements from \(first) of \(w.count)")
    let decoder = NF4Decoder(w, pool: pool)
    switch y.dtype {
    case .float32: dequantize(decoder, first, y.pointer(Float.self), y.count)
    case .float64: dequantize(decoder, first, y.pointer(Double.self), y.count)
    case .bfloat16: dequantize(decoder, first, y.pointer(BFloat16.self), y.count)
    default: preconditionFailure("unpack: no kernel for \(y.dtype.rawValue)")
    }
  }

  private func dequantize<T: KernelElement>(
    _ decoder: borrowing NF4Decoder, _ first: Int, _ y: UnsafeMutablePointer<T>, _ count: Int
  ) {
    parallelFor(count, grain: CPUBackend.elementwiseGrain) { range in
      decoder.decode(from: first + range.lowerBound, count: range.count, into: y + range.lowerBound)
    }
  }
}

/// The sum of `count` numbers in the order of torch's CPU kernel on one thread (`SumKernel.cpp`: eight lanes, four
/// accumulators, a cascade of four levels).
private func torchSum(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
  typealias Lanes = SIMD8<Float>
  let vectors = count / 8
  let rows = vectors / 4
  // levels[4·level + accumulator]
  var levels = [Lanes](repeating: .zero, count: 16)
  let ceilLog2 = rows <= 2 ? 1 : Int.bitWidth - (rows - 1).leadingZeroBitCount
  let power = max(4, ceilLog2 / 4)
  let step = 1 << power
  func add(row: Int) {
    for k in 0..<4 { levels[k] += Float.load(x + 8 * (4 * row + k)) }
  }
  var row = 0
  while row + step <= rows {
    for _ in 0..<step {
      add(row: row)
      row += 1
    }
    for level in 1..<4 {
      for k in 0..<4 {
        levels[4 * level + k] += levels[4 * level - 4 + k]
        levels[4 * level - 4 + k] = .zero
      }
      if row & ((step - 1) << (level * power)) != 0 { break }
    }
  }
  while row < rows {
    add(row: row)
    row += 1
  }
  for level in 1..<4 { for k in 0..<4 { levels[k] += levels[4 * level + k] } }
  for vector in rows * 4..<vectors { levels[0] += Float.load(x + 8 * vector) }
  for k in 1..<4 { levels[0] += levels[k] }
  var total: Float = 0
  for i in vectors * 8..<count { total += x[i] }
  for lane in 0..<8 { total += levels[0][lane] }
  return total
}

/// The number of decision points below `value`.
@inline(__always)
private func code(of value: Float, _ points: UnsafeBufferPointer<Float>) -> UInt8 {
  var code: UInt8 = 0
  for point in points where value > point { code += 1 }
  return code
}

/// Codes of a whole block, and its scale. A NaN makes the scale one, and so all of the block.
@inline(__always)
private func quantizeBlock<T: KernelElement>(
  _ x: UnsafePointer<T>, _ count: Int, _ points: UnsafeBufferPointer<Float>,
  _ codes: UnsafeMutablePointer<UInt8>
) -> Float where T.Compute == Float {
  // As integers, magnitudes are in the order of the numbers, and NaN is the largest.
  let magnitudeBits = SIMD8<Int32>(repeating: 0x7FFF_FFFF)
  var lanes = SIMD8<Int32>.zero
  for i in stride(from: 0, to: count, by: 8) {
    let bits = unsafeBitCast(T.load(x + i), to: SIMD8<Int32>.self) & magnitudeBits
    // The larger one by arithmetic: comparisons of lanes would become a loop over them.
    let rise = bits &- lanes
    lanes &+= rise & ~(rise &>> SIMD8(repeating: 31))
  }
  var largest: Int32 = 0
  for lane in 0..<8 where lanes[lane] > largest { largest = lanes[lane] }
  let absmax = Float(bitPattern: UInt32(largest))
  let factor = SIMD8<Float>(repeating: 1 / max(absmax, NF4.smallestScale))
  for i in stride(from: 0, to: count, by: 8) {
    // Clamping to ±1 changes no code: all decision points lie within.
    let value = T.load(x + i) * factor
    var code = SIMD8<UInt32>.zero
    for point in points {
      // The sign of the difference, which is 0 where they are equal and never rounds to 0 otherwise.
      let difference = SIMD8(repeating: point) - value
      code &+= unsafeBitCast(difference, to: SIMD8<UInt32>.self) &>> SIMD8(repeating: 31)
    }
    let pairs = unsafeBitCast(code, to: SIMD4<UInt64>.self)
    let bytes = (pairs &<< SIMD4(repeating: 4)) | (pairs &>> SIMD4(repeating: 32))
    for pair in 0..<4 { codes[i / 2 + pair] = UInt8(truncatingIfNeeded: bytes[pair]) }
  }
  return absmax
}

/// Codes of the last block where it is short: it is divided by its scale, which is never below 10⁻³⁸.
private func quantizeShortBlock<T: KernelElement>(
  _ x: UnsafePointer<T>, _ count: Int, _ points: UnsafeBufferPointer<Float>,
  _ codes: UnsafeMutablePointer<UInt8>
) -> Float where T.Compute == Float {
  var largest: UInt32 = 0
  for i in 0..<count { largest = max(largest, x[i].compute.bitPattern & 0x7FFF_FFFF) }
  let scale = max(Float(bitPattern: largest), NF4.smallestScale)
  for i in stride(from: 0, to: count, by: 2) {
    let high = code(of: x[i].compute / scale, points)
    let low = i + 1 < count ? code(of: x[i + 1].compute / scale, points) : NF4.zeroCode
    codes[i / 2] = high << 4 | low
  }
  return Float(bitPattern: largest) > scale || largest > 0x7F80_0000
    ? Float(bitPattern: largest) : scale
}

/// Reads a matrix in NF4: pointers to its parts, and a table of both levels of every byte.
struct NF4Decoder: ~Copyable {
  private let parts: ck_nf4
  private let codes: UnsafePointer<UInt8>
  private let levels: UnsafePointer<Float>
  /// For every byte the two levels it holds.
  private let pairs: Scratch<Float>
  private let blockShift: Int
  private let scales: ScaleReader

  init(_ w: NF4Operand, pool: BufferPool) {
    parts = ck_nf4(w)
    codes = w.codes.pointer(UInt8.self)
    levels = w.codeBook.pointer(Float.self)
    pairs = Scratch(Float.self, count: 512, pool: pool)
    blockShift = w.blockSize.trailingZeroBitCount
    scales = ScaleReader(w.scales)
    let table = pairs.pointer
    for byte in 0..<256 {
      table[2 * byte] = levels[byte >> 4]
      table[2 * byte + 1] = levels[byte & 15]
    }
  }

  /// y[i] ← element first + i, for `count` elements, with the processor's own instructions.
  @inline(__always)
  func decode(from first: Int, count: Int, into y: UnsafeMutablePointer<Float>) {
    withUnsafePointer(to: parts) { ck_nf4_unpack_f32($0, first, y, count) }
  }

  /// The same plainly; the way of float64, against which that of float32 is tested.
  @inline(__always)
  private func decodePlainly(from first: Int, count: Int, into y: UnsafeMutablePointer<Float>) {
    let table = UnsafeRawPointer(pairs.pointer).assumingMemoryBound(to: UInt64.self)
    let target = UnsafeMutableRawPointer(y)
    let end = first + count
    var i = first
    while i < end {
      let block = i >> blockShift
      let stop = min(end, (block + 1) << blockShift)
      let scale = scales[block]
      if i & 1 == 1 {
        y[i - first] = levels[Int(codes[i >> 1] & 15)] * scale
        i += 1
      }
      while i + 8 <= stop {
        let byte = codes + (i >> 1)
        let values = SIMD4(
          table[Int(byte[0])], table[Int(byte[1])], table[Int(byte[2])], table[Int(byte[3])])
        target.storeBytes(
          of: unsafeBitCast(values, to: SIMD8<Float>.self) * SIMD8(repeating: scale),
          toByteOffset: 4 * (i - first), as: SIMD8<Float>.self)
        i += 8
      }
      while i < stop {
        let byte = codes[i >> 1]
        y[i - first] = levels[Int(i & 1 == 0 ? byte >> 4 : byte & 15)] * scale
        i += 1
      }
    }
  }

  /// The same, converted to another type.
  @inline(__always)
  func decode<T: KernelElement>(from first: Int, count: Int, into y: UnsafeMutablePointer<T>) {
    if T.self == Float.self {
      y.withMemoryRebound(to: Float.self, capacity: count) {
        decode(from: first, count: count, into: $0)
      }
      return
    }
    if T.self == BFloat16.self {
      let bits = UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self)
      withUnsafePointer(to: parts) { ck_nf4_unpack_bf16($0, first, bits, count) }
      return
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { piece in
      guard let buffer = piece.baseAddress else { return }
      for start in stride(from: 0, to: count, by: 1024) {
        let length = min(1024, count - start)
        decodePlainly(from: first + start, count: length, into: buffer)
        for i in 0..<length { y[start + i] = T(compute: T.Compute(buffer[i])) }
      }
    }
  }
}

/// The scales of blocks, whether they are kept as they are or in 8 bits.
private struct ScaleReader {
  private let plain: UnsafePointer<Float>?
  private let codes: UnsafePointer<UInt8>?
  private let codeBook: UnsafePointer<Float>
  private let nested: UnsafePointer<Float>
  private let offset: Float

  init(_ scales: NF4Operand.Scales) {
    switch scales {
    case .plain(let values):
      let pointer = values.pointer(Float.self)
      (plain, codes, codeBook, nested, offset) = (pointer, nil, pointer, pointer, 0)
    case .nested(let codes, let codeBook, let scales, let offset):
      plain = nil
      self.codes = codes.pointer(UInt8.self)
      self.codeBook = codeBook.pointer(Float.self)
      nested = scales.pointer(Float.self)
      self.offset = offset
    }
  }

  @inline(__always)
  subscript(block: Int) -> Float {
    if let plain { return plain[block] }
    guard let codes else { return 0 }
    return codeBook[Int(codes[block])] * nested[block / NF4.nestedBlockSize] + offset
  }
}
