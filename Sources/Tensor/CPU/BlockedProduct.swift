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
  /// Columns of a tile: several tiles for each thread, but not so few columns that reading the other factor counts.
  private static let (leastColumns, mostColumns) = (64, 512)
  /// Rows of a tile at least, and at most where sums are kept beside a result of another type.
  private static let (leastRows, mostNarrowRows) = (96, 510)
  /// Elements of the first factor that are packed at a time.
  private static let packedElements = 1 << 22
  /// Rows that a thread packs at a time.
  private static let packedRows = 48

  private let m, n, k: Int
  /// Rows that are packed at a time; a multiple of six.
  private let blockRows: Int
  /// Rows and columns of a tile.
  private let height, width: Int
  /// Threads that take part.
  private let workers: Int
  /// Whether the result is rounded to bfloat16.
  private let isNarrow: Bool

  /// The tiles of a product of these extents, on as many threads as a kernel that is called here may use.
  init(m: Int, n: Int, k: Int, result: DType) {
    (self.m, self.n, self.k) = (m, n, k)
    isNarrow = result != .float32
    let threads =
      2 * m * n * k < BlockedProduct.serialProduct ? 1 : ThreadTeam.usableThreadCount
    let wholeRows = (m + 5) / 6 * 6
    blockRows = min(wholeRows, max(96, BlockedProduct.packedElements / k / 6 * 6))
    // Whole registers but for the last tile.
    let share = threads == 1 ? n : (n + 2 * threads - 1) / (2 * threads)
    let columns = min(max(share, BlockedProduct.leastColumns), BlockedProduct.mostColumns)
    width = min(n, (columns + 15) / 16 * 16)
    let across = (n + width - 1) / width
    let most = isNarrow ? min(blockRows, BlockedProduct.mostNarrowRows) : blockRows
    let down =
      across >= threads
      ? 1 : min((threads + across - 1) / across, max(1, most / BlockedProduct.leastRows))
    height = min(most, ((blockRows + down - 1) / down + 5) / 6 * 6)
    workers = min(threads, across * ((blockRows + height - 1) / height))
  }

  /// Bytes that the threads keep from their first product on: panels of the factors.
  static var residentByteCount: Int { isFastest ? Workers.count * ck_gemm_panel_bytes() : 0 }

  /// Float32 elements of the first factor, packed for all threads; one thread packs in its own panels.
  private var packedCount: Int { workers > 1 ? blockRows * k : 0 }

  /// Float32 elements that each thread takes from the pool: the sums of a tile, where the result is narrower.
  private var sumCount: Int { isNarrow ? height * width : 0 }

  /// Bytes that a product of these extents takes from the pool.
  var scratchByteCounts: [Int] { [4 * packedCount, 4 * workers * sumCount] }

  /// c ← α·op(a)·op(b) + β·c, row-major with leading dimensions; sums are float32, and rounded once where c is bfloat16.
  ///
  /// An element's sum is taken in an order that depends on k alone, and not on the number of threads.
  func run(
    _ a: ck_factor, _ b: ck_factor, alpha: Float, beta: Float, into c: Destination, stride: Int,
    pool: BufferPool
  ) {
    let packed = Scratch(Float.self, count: packedCount, pool: pool)
    let sums = Scratch(Float.self, count: workers * sumCount, pool: pool)
    let (panels, sumsStart) = (packed.pointer, sums.pointer)
    for block in Swift.stride(from: 0, to: m, by: blockRows) {
      let rows = min(blockRows, m - block)
      let packedHeight = (rows + 5) / 6 * 6
      let first = a.from(row: block)
      if workers > 1 {
        parallelFor(rows, grain: BlockedProduct.packedRows) { range in
          var first = first
          ck_gemm_pack(&first, range.lowerBound, range.count, k, packedHeight, panels)
        }
      }
      let across = (n + width - 1) / width
      let tileCount = across * ((rows + height - 1) / height)
      parallelTasks(tileCount, workers: workers) { task, worker in
        let (row, column) = (task / across * height, task % across * width)
        let (tileRows, columns) = (min(height, rows - row), min(width, n - column))
        var second = b.from(column: column)
        func multiply(_ beta: Float, _ target: UnsafeMutablePointer<Float>, _ stride: Int) {
          var part = first.from(row: row)
          let isDone =
            workers > 1
            ? ck_gemm_packed(
              panels, row, packedHeight, &second, tileRows, columns, k, alpha, beta, target, stride)
            : ck_gemm(&part, &second, tileRows, columns, k, alpha, beta, target, stride)
          if isDone == 0 { MemoryExhaustion.end(wanting: ck_gemm_panel_bytes()) }
        }
        let offset = (block + row) * stride + column
        guard isNarrow else { return multiply(beta, c.pointer(Float.self) + offset, stride) }
        let target = c.pointer(UInt16.self) + offset
        let sums = sumsStart + worker * sumCount
        if beta != 0 {
          for i in 0..<tileRows { ck_widen(target + i * stride, sums + i * columns, columns) }
        }
        multiply(beta, sums, columns)
        for i in 0..<tileRows { ck_narrow(sums + i * columns, target + i * stride, columns) }
      }
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

  /// Numbers in 4 bits, rounded to bfloat16 beside a factor of that type; `elements` holds for as long as the factor does.
  init(_ elements: UnsafePointer<ck_nf4>, beside dtype: DType, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: dtype == .bfloat16 ? ck_type_nf4_bf16 : ck_type_nf4,
      is_transposed: isTransposed ? 1 : 0, stride: stride,
      first: 0)
  }

  /// The factor from a row of op(a) on.
  fileprivate func from(row: Int) -> ck_factor {
    moved(by: is_transposed != 0 ? row : row * stride)
  }

  /// The factor from a column of op(b) on.
  fileprivate func from(column: Int) -> ck_factor {
    moved(by: is_transposed != 0 ? column * stride : column)
  }

  private func moved(by count: Int) -> ck_factor {
    var copy = self
    switch type {
    case ck_type_nf4, ck_type_nf4_bf16: copy.first += count
    case ck_type_bf16: copy.elements = elements + 2 * count
    default: copy.elements = elements + 4 * count
    }
    return copy
  }
}
