// Matrices of bfloat16 in 12 bits an element. Decoding waits for the bytes of the weights: three quarters of them are read in three quarters
// of the time, and unpacking takes less than the reading.

import CKernels

extension CPUBackend {
  /// Elements for one without a code, in each chunk of rows: at four bytes each these take an eighth of what is saved.
  private static let elementsOfException = 64

  /// Whether a matrix is compressed, if its numbers allow it. Products of many rows unpack as they pack, which libraries' kernels do not.
  static func compresses(_ dtype: DType, rows: Int, columns: Int, forManyRows: Bool) -> Bool {
    ck_decompresses_fast() != 0 && dtype == .bfloat16 && rows > 0 && columns > 0
      && columns % Int(CK_COMPRESSED_GROUP) == 0 && columns <= Int(CK_COMPRESSED_COLUMNS)
      && (!forManyRows || BlockedProduct.isFastest(for: .bfloat16))
  }

  package func compress(_ w: Operand, rows: Int, columns: Int, forManyRows: Bool)
    -> CompressedTensor?
  {
    guard Self.compresses(w.dtype, rows: rows, columns: columns, forManyRows: forManyRows) else {
      return nil
    }
    let source = w.pointer(UInt16.self)
    // 1. The exponents that get a code.
    let base = commonExponents(source, rows: rows, columns: columns)
    // 2. Groups, and what has no code, by chunks of rows.
    let chunk = max(1, (1 << 16) / columns)
    let chunks = (rows + chunk - 1) / chunk
    let groups = Tensor(uninitialized: [rows, columns / 2 * 3], .uint8, backend: self)
    let starts = Tensor(uninitialized: [rows + 1], .int32, backend: self)
    let most = chunk * columns / Self.elementsOfException
    let found = Scratch(Int32.self, count: chunks * most, pool: pool)
    var counts = [Int](repeating: 0, count: chunks)
    let (to, rowCounts) = (
      groups.destination.pointer(UInt8.self), starts.destination.pointer(UInt32.self)
    )
    let exceptionsOf = found.destination.pointer(UInt32.self)
    counts.withUnsafeMutableBufferPointer { counts in
      let countOf = counts.baseAddress
      parallelStreams(chunks, grain: 1) { range in
        for index in range {
          let first = index * chunk
          countOf?[index] = ck_compress_rows(
            source + first * columns, min(chunk, rows - first), columns, UInt32(base),
            to + first * columns / 2 * 3, rowCounts + first + 1, exceptionsOf + index * most, most)
        }
      }
    }
    guard counts.allSatisfy({ $0 >= 0 }) else { return nil }
    let total = counts.reduce(0, +)
    guard groups.byteCount + starts.byteCount + 4 * total < 2 * w.count else { return nil }
    // 3. The numbers without a code behind one another.
    let exceptions = Tensor(uninitialized: [total], .int32, backend: self)
    let list = exceptions.destination.pointer(UInt32.self)
    var place = 0
    for index in 0..<chunks {
      (list + place).update(from: exceptionsOf + index * most, count: counts[index])
      place += counts[index]
    }
    rowCounts[0] = 0
    for row in 0..<rows { rowCounts[row + 1] += rowCounts[row] }
    var upper = SIMD16<UInt8>.zero
    for code in 1..<8 {
      upper[code] = UInt8(base + code)
      upper[code + 8] = UInt8(base + code) | 0x80
    }
    upper[8] = 0x80
    return CompressedTensor(
      shape: [rows, columns], groups: groups, starts: starts, exceptions: exceptions, upper: upper)
  }

  /// The number b for which the most elements of some rows have upper seven bits of the exponent from b + 1 to b + 7.
  private func commonExponents(_ w: UnsafePointer<UInt16>, rows: Int, columns: Int) -> Int {
    var counts = [Int](repeating: 0, count: 128)
    let sampled = min(rows, max(1, (1 << 16) / columns))
    for index in 0..<sampled {
      let row = w + index * rows / sampled * columns
      for column in 0..<columns { counts[Int(row[column] >> 8 & 127)] += 1 }
    }
    func covered(_ base: Int) -> Int { counts[base + 1...base + 7].reduce(0, +) }
    return (0...120).max { covered($0) < covered($1) } ?? 0
  }

  /// y ← the elements of w from `first` on.
  func decompress(_ w: CompressedOperand, from first: Int, into y: Destination) {
    precondition(
      first >= 0 && first + y.count <= w.count,
      "unpack: \(y.count) elements from \(first) of \(w.count)")
    let (matrix, count) = (ck_compressed(w), y.count)
    func run<T>(
      _ y: UnsafeMutablePointer<T>,
      _ unpack: (UnsafePointer<ck_compressed>, Int, Int, UnsafeMutablePointer<T>) -> Void
    ) {
      parallelFor(count, grain: CPUBackend.elementwiseGrain) { range in
        withUnsafePointer(to: matrix) {
          unpack($0, first + range.lowerBound, range.count, y + range.lowerBound)
        }
      }
    }
    switch y.dtype {
    case .float32: run(y.pointer(Float.self)) { $0.unpack(from: $1, count: $2, into: $3) }
    case .float64: run(y.pointer(Double.self)) { $0.unpack(from: $1, count: $2, into: $3) }
    case .bfloat16: run(y.pointer(UInt16.self)) { ck_decompress($0, $1, $3, $2) }
    default: preconditionFailure("unpack: no kernel for \(y.dtype.rawValue)")
    }
  }
}

extension UnsafePointer<ck_compressed> {
  /// y ← `count` elements from `first` on.
  func unpack<T: BinaryFloatingPoint>(
    from first: Int, count: Int, into y: UnsafeMutablePointer<T>
  ) {
    let size = 1024
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: size) { piece in
      guard let bits = piece.baseAddress else { return }
      for start in stride(from: 0, to: count, by: size) {
        let length = Swift.min(size, count - start)
        ck_decompress(self, first + start, bits, length)
        for i in 0..<length { y[start + i] = T(BFloat16(bitPattern: bits[i]).float) }
      }
    }
  }
}

extension ck_compressed {
  /// A compressed matrix as the kernels in C read it; it holds for as long as its operands do.
  init(_ w: CompressedOperand) {
    self.init()
    groups = w.groups.pointer(UInt8.self)
    starts = w.starts.pointer(UInt32.self)
    exceptions = w.exceptions.pointer(UInt32.self)
    columns = w.columns
    withUnsafeMutableBytes(of: &upper) { upper in
      withUnsafeBytes(of: w.upper) { upper.copyMemory(from: $0) }
    }
  }
}
