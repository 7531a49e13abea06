// The rows of a matrix that can have the largest products with a vector, from a copy of the matrix in 8 bits: half of what bfloat16 has
// to be read, and a few rows of the matrix itself. What the copy leaves out of a product is bounded by Cauchy and Schwarz, so no row is missed.

import CKernels

extension CPUBackend: ScreeningKernels {
  package var screenedRowLimit: Int { Int(CK_COARSE_ROWS) }

  package func makeScreen(_ w: Operand, rows: Int, columns: Int) -> (any RowScreen)? {
    guard rows * columns >= CPURowScreen.smallestCount else { return nil }
    // Where there is no memory for it the products are computed as ever.
    guard let room = pool.buffer(byteCount: rows * columns) else { return nil }
    pool.release(room)
    return CPURowScreen(w, rows: rows, columns: columns, backend: self)
  }
}

/// A matrix in 8 bits, and how far its products may be from those of the matrix.
final class CPURowScreen: RowScreen {
  /// Elements of matrices whose products take so little time that nothing is gained.
  static let smallestCount = 1 << 23

  private let rows, columns: Int
  /// uint8 [V, C], in two's complement.
  private let codes: Tensor
  /// float32 [V].
  private let scales, errors: Tensor
  /// The length of the longest row.
  private let longest: Float
  /// Rows that a thread takes at a time: some microseconds of reading.
  private let chunk: Int
  private let backend: CPUBackend

  private var chunks: Int { (rows + chunk - 1) / chunk }

  /// A screen of `w` [rows, columns]; nil where it is of a type without products of few rows, or not all of it is finite.
  init?(_ w: Operand, rows: Int, columns: Int, backend: CPUBackend) {
    guard rows > 0, columns > 0, w.dtype == .float32 || w.dtype == .bfloat16 else { return nil }
    (self.rows, self.columns, self.backend) = (rows, columns, backend)
    let chunk = max(16, (1 << 17) / columns)
    self.chunk = chunk
    codes = Tensor(uninitialized: [rows, columns], .uint8, backend: backend)
    scales = Tensor(uninitialized: [rows], .float32, backend: backend)
    errors = Tensor(uninitialized: [rows], .float32, backend: backend)
    let coarse = ck_coarse(codes: codes, scales: scales, errors: errors)
    let chunks = (rows + chunk - 1) / chunk
    let lengths = Scratch(Float.self, count: chunks, pool: backend.pool)
    let lengthOf = lengths.pointer
    parallelStreams(chunks, grain: 1) { range in
      for index in range {
        let first = index * chunk
        let count = min(chunk, rows - first)
        lengthOf[index] = withUnsafePointer(to: coarse) {
          w.dtype == .float32
            ? ck_coarse_rows_f32(
              w.pointer(Float.self) + first * columns, $0, first, count, columns)
            : ck_coarse_rows_bf16(
              w.pointer(UInt16.self) + first * columns, $0, first, count, columns)
        }
      }
    }
    var longest: Float = 0
    for index in 0..<chunks {
      guard lengths.pointer[index].isFinite else { return nil }
      longest = max(longest, lengths.pointer[index])
    }
    self.longest = longest
  }

  func answers(rows m: Int, count: Int) -> Bool {
    // Of each chunk it is known what its largest product is at least: the fewer are asked for, the more that says.
    (1...Int(CK_COARSE_ROWS)).contains(m) && (1...max(1, chunks / 2)).contains(count)
  }

  func candidates(_ x: Operand, rows m: Int, count: Int) -> [[Int32]]? {
    precondition(answers(rows: m, count: count), "candidates: \(count) for \(m) rows")
    let chunks = chunks
    // 1. Lengths.
    let wide = Scratch(Float.self, count: m * columns, pool: backend.pool)
    backend.cast(x, into: wide.destination)
    var lengths: [Float] = []
    for row in 0..<m {
      let x = wide.pointer + row * columns
      lengths.append(
        ck_dot_f32(x, x, columns).squareRoot() * 1.001
          + CK_COARSE_LEAST * Float(columns).squareRoot())
    }
    // Also false where a length is not finite. Squares of all products can be summed up.
    guard lengths.allSatisfy({ $0 * longest < 1e16 }) else { return nil }
    // 2. Bounds of all products.
    let upper = Scratch(Float.self, count: m * rows, pool: backend.pool)
    let largest = Scratch(Float.self, count: 2 * m * chunks, pool: backend.pool)
    screen(wide.pointer, lengths, m, into: upper.pointer, largest: largest.pointer)
    // 3. What can be among the largest.
    var candidates: [[Int32]] = []
    for row in 0..<m {
      let lower = (0..<chunks).map { largest.pointer[2 * m * $0 + row] }
      let bound = threshold(lower, count)
      var ids: [Int32] = []
      for index in 0..<chunks where largest.pointer[2 * m * index + m + row] >= bound {
        for r in index * chunk..<min(rows, (index + 1) * chunk)
        where upper.pointer[row * rows + r] >= bound { ids.append(Int32(r)) }
        guard ids.count <= max(rows / 32, 4 * count) else { return nil }
      }
      candidates.append(ids)
    }
    return candidates
  }

  /// upper [m, V] ← what products are at most; largest [chunks, 2, m] ← the largest of what they are at least, and at most.
  private func screen(
    _ x: UnsafePointer<Float>, _ lengths: [Float], _ m: Int,
    into upper: UnsafeMutablePointer<Float>, largest: UnsafeMutablePointer<Float>
  ) {
    let coarse = ck_coarse(codes: codes, scales: scales, errors: errors)
    let (rows, columns, chunk) = (rows, columns, chunk)
    lengths.withUnsafeBufferPointer { lengths in
      parallelStreams(chunks, grain: 1) { range in
        for index in range {
          let (first, bounds) = (index * chunk, largest + index * 2 * m)
          withUnsafePointer(to: coarse) {
            ck_coarse_bounds(
              $0, first, x, columns, lengths.baseAddress, m, upper + first, rows, bounds,
              bounds + m, min(chunk, rows - first), columns)
          }
        }
      }
    }
    withExtendedLifetime((codes, scales, errors)) {}
  }

  /// What a product must be able to reach: `count` products are no less than the `count` largest of `lower`, each of another row. Products that
  /// bfloat16 rounds to one number are less than 2⁻⁷ of it apart.
  private func threshold(_ lower: [Float], _ count: Int) -> Float {
    let least = count == 1 ? lower.max() ?? 0 : lower.sorted(by: >)[count - 1]
    return least - least.magnitude / 100 - .leastNormalMagnitude
  }
}

extension ck_coarse {
  /// The parts of a coarse matrix as the kernels in C read them; it holds for as long as they do.
  fileprivate init(codes: Tensor, scales: Tensor, errors: Tensor) {
    self.init()
    self.codes = codes.destination.pointer(Int8.self)
    self.scales = scales.destination.pointer(Float.self)
    self.errors = errors.destination.pointer(Float.self)
  }
}
