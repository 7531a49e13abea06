// Products of float32 sums with kernels of our own (gemm.inc), which pack the factors in the form in which they are kept: a
// weight in bfloat16 or NF4 is widened on its way into the cache, and no part of it exists in float32 elsewhere.

import CKernels

/// A product split into tiles of its result, one a task.
struct BlockedProduct {
  /// Whether these kernels are the fastest here: on processors with AVX2 and without AVX-512.
  ///
  /// Not with Dispatch's threads, of which none can tell that it already runs a part of a kernel.
  static var isFastest: Bool {
    #if OneDNN
      ck_gemm_is_fastest() != 0
    #else
      false
    #endif
  }

  /// Operations below which a product stays on the calling thread.
  private static let serialProduct = 1 << 22
  /// Columns of a tile where there are that many: the first factor is packed anew for each tile.
  private static let mostColumns = Int(CK_GEMM_COLUMNS)
  /// Rows of a tile at least, and at most where sums are kept beside a result of another type.
  private static let (leastRows, mostNarrowRows) = (96, 510)

  private let m, n, k: Int
  /// Rows and columns of a tile.
  private let height, width: Int
  /// Threads that take part.
  private let workers: Int
  /// Whether the result is rounded to bfloat16.
  private let isNarrow: Bool

  /// The tiles of a product of these extents, on as many threads as a kernel that is called here may use.
  init(m: Int, n: Int, k: Int, result: DType, threads: Int = ThreadTeam.usableThreadCount) {
    (self.m, self.n, self.k) = (m, n, k)
    isNarrow = result != .float32
    let threads = 2 * m * n * k < BlockedProduct.serialProduct ? 1 : threads
    // Whole registers but for the last tile.
    let share = (n + threads - 1) / threads
    width = min(n, min(max((share + 15) / 16 * 16, 64), BlockedProduct.mostColumns))
    let across = (n + width - 1) / width
    var down =
      across >= threads ? 1 : min((threads + across - 1) / across, max(1, m / BlockedProduct.leastRows))
    if isNarrow {
      down = max(down, (m + BlockedProduct.mostNarrowRows - 1) / BlockedProduct.mostNarrowRows)
    }
    height = min(m, ((m + down - 1) / down + 5) / 6 * 6)
    workers = min(threads, across * ((m + height - 1) / height))
  }

  /// Bytes that the threads keep from their first product on: panels of the factors.
  static var residentByteCount: Int { isFastest ? Workers.count * ck_gemm_panel_bytes() : 0 }

  /// Float32 elements that each thread takes from the pool: the sums of a tile, where the result is narrower.
  private var sumCount: Int { isNarrow ? height * width : 0 }

  /// Bytes that a product of these extents takes from the pool.
  var scratchByteCount: Int { 4 * workers * sumCount }

  /// c ← α·op(a)·op(b) + β·c, row-major with leading dimensions; sums are float32, and rounded once where c is bfloat16.
  ///
  /// An element's sum is taken in an order that depends on k alone, and not on the number of threads.
  func run(
    _ a: ck_factor, _ b: ck_factor, alpha: Float, beta: Float, into c: Destination, stride: Int,
    pool: BufferPool
  ) {
    let across = (n + width - 1) / width
    let tileCount = across * ((m + height - 1) / height)
    guard isNarrow else {
      parallelTasks(tileCount, workers: workers) { task, _ in
        let (row, column) = (task / across * height, task % across * width)
        var (a, b) = (a.from(row: row), b.from(column: column))
        ck_gemm(
          &a, &b, min(height, m - row), min(width, n - column), k, alpha, beta,
          c.pointer(Float.self) + row * stride + column, stride)
      }
      return
    }
    let scratch = Scratch(Float.self, count: workers * sumCount, pool: pool)
    let start = scratch.pointer
    parallelTasks(tileCount, workers: workers) { task, worker in
      let (row, column) = (task / across * height, task % across * width)
      let (rows, columns) = (min(height, m - row), min(width, n - column))
      var (a, b) = (a.from(row: row), b.from(column: column))
      let target = c.pointer(UInt16.self) + row * stride + column
      let sums = start + worker * sumCount
      if beta != 0 {
        for i in 0..<rows { ck_widen(target + i * stride, sums + i * columns, columns) }
      }
      ck_gemm(&a, &b, rows, columns, k, alpha, beta, sums, columns)
      for i in 0..<rows { ck_narrow(sums + i * columns, target + i * stride, columns) }
    }
  }
}

extension ck_factor {
  /// Elements of float32 or bfloat16 in rows of `stride`, read as their transpose where the flag says so.
  init(_ elements: UnsafeRawPointer, _ dtype: DType, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: dtype == .float32 ? ck_type_f32 : ck_type_bf16,
      is_transposed: isTransposed ? 1 : 0, stride: stride, first: 0)
  }

  /// Numbers in 4 bits; `elements` holds for as long as the factor does.
  init(_ elements: UnsafePointer<ck_nf4>, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: ck_type_nf4, is_transposed: isTransposed ? 1 : 0, stride: stride,
      first: 0)
  }

  /// The factor from a row of op(a) on.
  fileprivate func from(row: Int) -> ck_factor { moved(by: is_transposed != 0 ? row : row * stride) }

  /// The factor from a column of op(b) on.
  fileprivate func from(column: Int) -> ck_factor {
    moved(by: is_transposed != 0 ? column * stride : column)
  }

  private func moved(by count: Int) -> ck_factor {
    var copy = self
    switch type {
    case ck_type_nf4: copy.first += count
    case ck_type_bf16: copy.elements = elements + 2 * count
    default: copy.elements = elements + 4 * count
    }
    return copy
  }
}
