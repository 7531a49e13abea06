// NF4. Products unpack the weight beside the stream, while the one before is computed, and multiply by that. With few rows, as in
// decoding, the weight is multiplied as it is read.

package import Tensor

/// The scales of blocks as kernels take them.
private struct ScalesArgument: BitwiseCopyable {
  let plain, codes, book, nested: UInt64
  let offset: Float
  private let padding: UInt32 = 0

  init(_ scales: NF4Operand.Scales) {
    switch scales {
    case .plain(let values):
      plain = values.pointer
      (codes, book, nested, offset) = (0, 0, 0, 0)
    case .nested(let codes, let codeBook, let scales, let offset):
      plain = 0
      self.codes = codes.pointer
      book = codeBook.pointer
      nested = scales.pointer
      self.offset = offset
    }
  }
}

extension CUDABackend: QuantizationKernels {
  /// Elements of a weight that are unpacked at a time: all of every map of a 4B model.
  static let tileElementCount = 1 << 25
  /// Rows of the other factor up to which a weight is multiplied as it is read.
  private static let fewRows = 8

  package func quantizeNF4(
    _ x: Operand, blockSize: Int, into codes: Destination, absmax: Destination
  ) {
    precondition(
      x.dtype == .float32 || x.dtype == .bfloat16,
      "quantizeNF4: no kernel for \(x.dtype.rawValue)")
    let blocks = (x.count + blockSize - 1) / blockSize
    countWrite()
    launch(
      Kernel("quantization", "quantize_nf4", x.dtype), grid: (x: (blocks + 7) / 8, y: 1),
      block: (32, 8), x.pointer, codes.pointer, absmax.pointer, Int64(x.count), Int32(blockSize))
  }

  package func quantizeScales(
    _ absmax: Operand, into codes: Destination, scales: Destination
  ) -> Float {
    // Once a weight, few numbers, and a sum whose order counts to the bit: the CPU's kernel does it.
    let host = CPUBackend.shared
    let values = host.allocate(byteCount: absmax.count * 4)
    let hostCodes = host.allocate(byteCount: codes.count)
    let hostScales = host.allocate(byteCount: scales.count * 4)
    defer { for buffer in [values, hostCodes, hostScales] { host.release(buffer) } }
    do throws(DeviceError) {
      try copyOut(
        Buffer(address: absmax.address, byteCount: absmax.count * 4), byteOffset: 0,
        into: UnsafeMutableRawBufferPointer(
          start: UnsafeMutableRawPointer(bitPattern: values.address), count: absmax.count * 4))
    } catch {
      return .nan  // The failure is kept, and thrown where the result is read.
    }
    let offset = host.quantizeScales(
      Operand(address: values.address, dtype: .float32, count: absmax.count),
      into: Destination(address: hostCodes.address, dtype: .uint8, count: codes.count),
      scales: Destination(address: hostScales.address, dtype: .float32, count: scales.count))
    for (source, target, byteCount) in [
      (hostCodes, codes.address, codes.count), (hostScales, scales.address, scales.count * 4),
    ] {
      copyIn(
        UnsafeRawBufferPointer(
          start: UnsafeRawPointer(bitPattern: source.address), count: byteCount),
        to: Buffer(address: target, byteCount: byteCount), byteOffset: 0)
    }
    return offset
  }

  /// A GPU reads its memory faster than it would unpack.
  package func compress(_ w: Operand, rows: Int, columns: Int, forManyRows: Bool)
    -> CompressedTensor?
  { nil }

  package func unpack(_ w: PackedOperand, from first: Int, into y: Destination) {
    unpack(w, from: first, into: y, on: context.stream)
  }

  /// Unpacks on a stream.
  func unpack(
    _ w: PackedOperand, from first: Int, into y: Destination, on stream: Driver.Handle?
  ) {
    switch w {
    case .narrow(let w): cast(w.slice(first, y.count), into: y, on: stream)
    case .nf4(let w):
      dequantizeNF4(w, from: first, count: y.count, into: y, columns: 0, gap: 0, on: stream)
    case .compressed: preconditionFailure("unpack: nothing is compressed here")
    }
  }

  /// Unpacks all rows of a weight, of a multiple of 8 columns, into rows that are `stride` apart, on a stream.
  func unpackRows(
    _ w: PackedOperand, columns: Int, into y: Destination, _ stride: Int,
    on stream: Driver.Handle?
  ) {
    precondition(columns > 0 && columns % 8 == 0, "unpackRows: \(columns) columns")
    switch w {
    case .narrow(let w):
      precondition(w.dtype == y.dtype, "unpackRows: \(w.dtype.rawValue) into \(y.dtype.rawValue)")
      join(w, nil, rows: w.count / columns, rank: 0, by: 1, into: y, stride, on: stream)
    case .nf4(let w):
      dequantizeNF4(
        w, from: 0, count: w.count, into: y, columns: columns, gap: stride - columns, on: stream)
    case .compressed: preconditionFailure("unpack: nothing is compressed here")
    }
  }

  /// Unpacks `count` elements, with a gap after each row where there is one.
  private func dequantizeNF4(
    _ w: NF4Operand, from first: Int, count: Int, into y: Destination, columns: Int, gap: Int,
    on stream: Driver.Handle?
  ) {
    precondition(
      first >= 0 && first + count <= w.count,
      "unpack: \(count) elements from \(first) of \(w.count)")
    requireFloat(y.dtype, "unpack")
    launch(
      Kernel("quantization", "dequantize_nf4", y.dtype), grid: blocks(count, perThread: 8),
      on: stream, w.codes.pointer, w.codeBook.pointer, ScalesArgument(w.scales),
      Int32(w.blockSize.trailingZeroBitCount), Int64(first), Int64(count), y.pointer,
      Int32(columns), Int32(gap))
  }

  package func matmul(
    _ a: Operand, packed w: PackedOperand, transposeWeight: Bool, m: Int, rows: Int, columns: Int,
    beta: Double, plus lowRank: LowRankOperand?, into c: Destination
  ) {
    precondition(
      a.dtype == c.dtype && a.dtype.isFloatingPoint,
      "matmul: no packed kernel for \(a.dtype.rawValue) into \(c.dtype.rawValue)")
    guard c.count > 0 else { return }
    let (n, k) = transposeWeight ? (rows, columns) : (columns, rows)
    if let lowRank, m > Self.fewRows, joins(lowRank, to: w, a.dtype, m: m, n: n, k: k) {
      multiplyJoined(
        a, w, transposeWeight: transposeWeight, m: m, n: n, k: k, beta: beta, lowRank, into: c)
      return
    }
    if let lowRank {
      // First, since the product with the weight has so much to compute that reading its result costs nothing.
      matmul(
        lowRank.h, transposeA: false, lowRank.b, transposeB: transposeWeight, m: m, n: n,
        k: lowRank.rank, alpha: lowRank.scale, beta: beta, into: c)
    }
    let beta = lowRank == nil ? beta : 1
    if case .narrow(let w) = w, w.dtype == a.dtype {
      matmul(
        a, transposeA: false, w, transposeB: transposeWeight, m: m, n: n, k: k, alpha: 1,
        beta: beta, into: c)
      return
    }
    guard rows > 0, columns > 0 else {
      if beta == 0 { fill(c, with: 0) } else { scale(c.operand, by: beta, into: c) }
      return
    }
    if case .nf4(let w) = w, transposeWeight, m <= Self.fewRows, columns % 8 == 0,
      w.codes.address % 4 == 0
    {
      launch(
        Kernel("quantization", "nf4_rows", a.dtype), grid: (x: (rows + 7) / 8, y: (m + 3) / 4),
        block: (32, 8), a.pointer, w.codes.pointer, w.codeBook.pointer, ScalesArgument(w.scales),
        Int32(w.blockSize.trailingZeroBitCount), c.pointer, Int32(m), Int32(rows), Int32(columns),
        beta)
      return
    }
    multiplyUnpacked(
      a, w, transposeWeight: transposeWeight, m: m, rows: rows, columns: columns, beta: beta,
      into: c)
  }

  package func matmul(_ a: Operand, packed products: [PackedProduct], m: Int, columns: Int) {
    for product in products {
      matmul(
        a, packed: product.weight, transposeWeight: true, m: m, rows: product.rows,
        columns: columns, beta: 0, plus: product.lowRank, into: product.result)
    }
  }

  /// c ← a·op(w) + β·c, of the weight so many rows at a time, each unpacked for the type of a.
  private func multiplyUnpacked(
    _ a: Operand, _ w: PackedOperand, transposeWeight: Bool, m: Int, rows: Int, columns: Int,
    beta: Double, into c: Destination
  ) {
    let tileRows = max(1, min(rows, Self.tileElementCount / columns))
    for first in stride(from: 0, to: rows, by: tileRows) {
      let count = min(tileRows, rows - first)
      let fill = { (tile: Destination, stream: Driver.Handle?) in
        self.unpack(w, from: first * columns, into: tile, on: stream)
      }
      let multiply = { (tile: Operand) in
        var product = MatrixProduct(
          a.dtype, into: c.dtype, m: m, n: transposeWeight ? count : columns,
          k: transposeWeight ? columns : count, transposeA: false, transposeB: transposeWeight)
        if transposeWeight {
          // c[:, tile] = a · tileᵀ
          product.strideC = rows
          self.multiply(product, a, tile, into: c.slice(first, c.count - first), beta: beta)
        } else {
          // c += a[:, tile] · tile
          product.strideA = rows
          self.multiply(
            product, a.slice(first, a.count - first), tile, into: c, beta: first == 0 ? beta : 1)
        }
      }
      if let unpacking = weightUnpacking {
        unpacking.unpack(
          a.dtype, count * columns, codes: w.codesAddress, by: self, fill: fill, multiply: multiply)
      } else {
        let tile = scratch(a.dtype, count * columns)
        fill(tile.destination, context.stream)
        multiply(tile.destination.operand)
        withExtendedLifetime(tile) {}
      }
    }
  }
}

extension PackedOperand {
  /// Where the codes of a weight in 4 bits lie; nil for others.
  fileprivate var codesAddress: UInt? {
    guard case .nf4(let w) = self else { return nil }
    return w.codes.address
  }
}
