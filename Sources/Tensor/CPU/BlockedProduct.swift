// Products of float32 sums with kernels of our own (gemm.inc), which pack the factors in the form in which they are kept: a
// weight in bfloat16 or NF4 is unpacked on its way into the cache, widened where the processor does not multiply bfloat16, and no part of it
// exists in another form elsewhere.

import CKernels

/// What of a product need not be computed, by a diagonal d. Whoever does not know a band computes everything.
enum ProductBand {
  /// Everything is computed.
  case whole
  /// Results in columns beyond row + d are not looked at.
  case results(diagonal: Int)
  /// op(a) is zero in terms beyond row + d.
  case termsAfter(diagonal: Int)
  /// op(a) is zero in terms before row − d.
  case termsBefore(diagonal: Int)
}

/// A product split into tiles of its result, one a task.
struct BlockedProduct {
  /// Whether these kernels are the fastest here for a first factor of this type: on processors with AVX2 or AVX-512, but for bfloat16 where
  /// oneDNN multiplies whole tiles of it by an instruction (AMX).
  ///
  /// Not with Dispatch's threads, of which none can tell that it already runs a part of a kernel.
  static func isFastest(for dtype: DType) -> Bool {
    #if OneDNN
      switch dtype {
      case .float32: return ck_gemm_is_fastest(ck_panels_f32) != 0
      case .bfloat16:
        if ck_gemm_is_fastest(ck_panels_bf16) != 0 { return !OneDNN.multipliesTilesOfBFloat16 }
        return ck_gemm_is_fastest(ck_panels_f32) != 0 && !OneDNN.multipliesBFloat16
      default: return false
      }
    #else
      return false
    #endif
  }

  /// How panels hold factors of these types.
  static func panels(_ a: DType, _ b: DType) -> ck_panels {
    ck_gemm_panels(ck_type(dtype: a), ck_type(dtype: b))
  }

  /// Operations below which a product stays on the calling thread.
  private static let serialProduct = 1 << 22
  /// Columns of a tile: several tiles for each thread, but not so few columns that reading the other factor counts.
  private static let (leastColumns, mostColumns) = (64, 512)
  /// Rows of a tile at least, and at most where sums are kept beside a result of another type.
  private static let (leastRows, mostNarrowRows) = (96, 768)
  /// Words of the first factor that are packed at a time, and rows of it before its terms are taken in several runs: each
  /// block of rows packs the second factor anew.
  private static let (packedWords, fullRows) = (1 << 22, 516)
  /// The same where terms are taken in several runs: sums that are read again after so many terms cost nothing.
  private static let packedWordsOfRun = 1 << 20
  /// Rows that a thread packs at a time.
  private static let packedRows = 48

  private let m, n, k: Int
  private let panels: ck_panels
  /// Rows and terms of the first factor that are packed at a time; a multiple of a panel's rows, and of the terms of a run.
  private let blockRows, blockTerms: Int
  /// Rows and columns of a tile.
  private let height, width: Int
  /// Threads that take part.
  private let workers: Int
  /// Whether the result is rounded to bfloat16.
  private let isNarrow: Bool

  /// The tiles of a product of these extents, on as many threads as a kernel that is called here may use.
  init(m: Int, n: Int, k: Int, result: DType, panels: ck_panels) {
    (self.m, self.n, self.k, self.panels) = (m, n, k, panels)
    isNarrow = result != .float32
    let threads =
      2 * m * n * k < BlockedProduct.serialProduct ? 1 : ThreadTeam.usableThreadCount
    let share = threads == 1 ? n : (n + 2 * threads - 1) / (2 * threads)
    let columns = min(max(share, BlockedProduct.leastColumns), BlockedProduct.mostColumns)
    let columnUnit = ck_gemm_panel_columns()
    let isPacked = threads > 1 && (columns + columnUnit - 1) / columnUnit * columnUnit < n
    let (rowUnit, words) = (ck_gemm_panel_rows(), ck_gemm_words(panels, k))
    let mostRows = max(
      BlockedProduct.fullRows, BlockedProduct.packedWords / max(words, 1) / rowUnit * rowUnit)
    blockRows = BlockedProduct.part(of: m, atMost: isPacked ? mostRows : m, multipleOf: rowUnit)
    blockTerms =
      !isPacked || blockRows * words <= BlockedProduct.packedWords
      ? k
      : BlockedProduct.part(
        of: k, atMost: max(1, BlockedProduct.packedWordsOfRun / blockRows * k / words),
        multipleOf: ck_gemm_run_terms(panels))
    (height, width) = BlockedProduct.tile(
      rows: blockRows, atMost: isNarrow ? BlockedProduct.mostNarrowRows : blockRows, of: n,
      atMost: columns, threads: threads)
    workers = min(threads, (n + width - 1) / width * ((blockRows + height - 1) / height))
  }

  /// Rows and columns of tiles that keep `threads` threads busy to the end: those for which the largest share of a thread is least.
  ///
  /// A tile costs as many rows and columns more as packing its columns and reading its rows take.
  private static func tile(
    rows: Int, atMost mostRows: Int, of n: Int, atMost mostColumns: Int, threads: Int
  ) -> (height: Int, width: Int) {
    let fewest = (n + mostColumns - 1) / mostColumns
    let most = max(fewest, min(fewest + 2 * threads, n / leastColumns))
    let (rowUnit, columnUnit) = (ck_gemm_panel_rows(), ck_gemm_panel_columns())
    var best = (height: 0, width: 0, cost: Int.max)
    for parts in fewest...most {
      // Whole panels but for the last tile.
      let width = min(n, ((n + parts - 1) / parts + columnUnit - 1) / columnUnit * columnUnit)
      let across = (n + width - 1) / width
      let mostDown = min((threads + across - 1) / across + 3, max(1, rows / leastRows))
      for down in 1...mostDown {
        let height = part(
          of: rows, atMost: min(mostRows, (rows + down - 1) / down),
          multipleOf: rowUnit)
        let tiles = across * ((rows + height - 1) / height)
        let cost = (tiles + threads - 1) / threads * (width + 8) * (height + 12)
        if cost < best.cost { best = (height, width, cost) }
      }
    }
    return (best.height, best.width)
  }

  /// The extent of the parts where `extent` is cut into as few of nearly the same size as hold at most `most`: up to a
  /// multiple of `unit`.
  private static func part(of extent: Int, atMost most: Int, multipleOf unit: Int) -> Int {
    let count = (extent + most - 1) / most
    return ((extent + count - 1) / count + unit - 1) / unit * unit
  }

  /// Bytes that the threads keep from their first product on: panels of the factors.
  static var residentByteCount: Int {
    isFastest(for: .float32) ? Workers.count * ck_gemm_panel_bytes() : 0
  }

  /// Whether the first factor is packed once for several tiles; else each task packs its rows in its own panels.
  private var isPackedBefore: Bool { workers > 1 && width < n }

  /// Words of the first factor that are packed before. A factor that another one continues ends with a whole word.
  private var packedCount: Int {
    isPackedBefore ? blockRows * (ck_gemm_words(panels, min(blockTerms + lastTerms, k)) + 1) : 0
  }

  /// Terms that the last run takes beyond those of a run: too few for one of their own.
  private var lastTerms: Int { ck_gemm_last_run_terms(panels) - ck_gemm_run_terms(panels) }

  /// Terms from `term` on that are taken together.
  private func blockTerms(from term: Int) -> Int {
    k - term <= blockTerms + lastTerms ? k - term : blockTerms
  }

  /// Whether sums are left for another run of the terms.
  private var isInRuns: Bool { blockTerms(from: 0) < k }

  /// Float32 elements of sums that are not complete, where the result is narrower: of a tile for each thread, or of all tiles.
  private var sumCount: Int {
    if !isNarrow || k <= ck_gemm_last_run_terms(panels) { return 0 }
    return isInRuns ? blockRows * n : workers * height * width
  }

  /// Bytes that a product of these extents takes from the pool.
  var scratchByteCounts: [Int] { [4 * packedCount, 4 * sumCount] }

  /// c ← α·op(a)·op(b) + β·c, row-major with leading dimensions; sums are float32, and rounded once where c is bfloat16.
  ///
  /// An element's sum is taken in an order that depends on k alone, and not on the number of threads.
  func run(
    _ a: ck_factor, _ b: ck_factor, alpha: Float, beta: Float, band: ProductBand = .whole,
    into c: Destination, stride: Int, pool: BufferPool
  ) {
    let packed = Scratch(Float.self, count: packedCount, pool: pool)
    let sums = Scratch(Float.self, count: sumCount, pool: pool)
    let (packedStart, sumsStart) = (packed.pointer, sums.pointer)
    let elementSize = isNarrow ? 2 : 4
    let rowUnit = ck_gemm_panel_rows()
    for row in Swift.stride(from: 0, to: m, by: blockRows) {
      var term = 0
      while term < k {
        var block = ck_part(band, panels)
        (block.row, block.rows) = (row, min(blockRows, m - row))
        (block.columns, block.term, block.terms) = (n, term, blockTerms(from: term))
        let packedHeight = (block.rows + rowUnit - 1) / rowUnit * rowUnit
        if isPackedBefore {
          parallelFor(block.rows, grain: BlockedProduct.packedRows) { range in
            var (a, part) = (a, block)
            (part.row, part.rows) = (row + range.lowerBound, range.count)
            ck_gemm_pack(&a, &part, range.lowerBound, packedHeight, packedStart)
          }
        }
        let across = (n + width - 1) / width
        let tileCount = across * ((block.rows + height - 1) / height)
        parallelTasks(tileCount, workers: workers) { task, worker in
          let (tileRow, column) = (task / across * height, task % across * width)
          var (a, b, part) = (a, b, block)
          (part.row, part.rows) = (row + tileRow, min(height, block.rows - tileRow))
          (part.column, part.columns) = (column, min(width, n - column))
          var result = ck_result()
          let offset = (row + tileRow) * stride + column
          result.elements = UnsafeMutableRawPointer(c.pointer(UInt8.self) + offset * elementSize)
          result.type = isNarrow ? ck_type_bf16 : ck_type_f32
          result.stride = stride
          result.sums = sumsStart + (isInRuns ? tileRow * n + column : worker * height * width)
          result.sums_stride = isInRuns ? n : width
          result.is_continued = term > 0 ? 1 : 0
          result.is_continuing = term + block.terms < k ? 1 : 0
          let isDone =
            isPackedBefore
            ? ck_gemm_packed(packedStart, tileRow, packedHeight, &b, &part, alpha, beta, &result)
            : ck_gemm(&a, &b, &part, alpha, beta, &result)
          if isDone == 0 { MemoryExhaustion.end(wanting: ck_gemm_panel_bytes()) }
        }
        term += block.terms
      }
    }
  }
}

extension ck_part {
  /// An empty part of a product with a band.
  fileprivate init(_ band: ProductBand, _ panels: ck_panels) {
    self.init()
    self.panels = panels
    switch band {
    case .whole: self.band = ck_band_whole
    case .results(let diagonal): (self.band, self.diagonal) = (ck_band_results, diagonal)
    case .termsAfter(let diagonal): (self.band, self.diagonal) = (ck_band_terms_after, diagonal)
    case .termsBefore(let diagonal): (self.band, self.diagonal) = (ck_band_terms_before, diagonal)
    }
  }
}

extension ck_type {
  /// The type of elements in float32 or bfloat16.
  init(dtype: DType) { self = dtype == .float32 ? ck_type_f32 : ck_type_bf16 }
}

extension ck_factor {
  /// Elements of float32 or bfloat16 in rows of `stride`, read as their transpose where the flag says so.
  init(_ elements: UnsafeRawPointer, _ dtype: DType, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: ck_type(dtype: dtype),
      is_transposed: isTransposed ? 1 : 0, stride: stride, terms: 0, next: nil, next_scale: 1)
  }

  /// Numbers in 4 bits, rounded to bfloat16 beside a factor of that type; `elements` holds for as long as the factor does.
  init(_ elements: UnsafePointer<ck_nf4>, beside dtype: DType, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: dtype == .bfloat16 ? ck_type_nf4_bf16 : ck_type_nf4,
      is_transposed: isTransposed ? 1 : 0, stride: stride, terms: 0, next: nil, next_scale: 1)
  }

  /// A compressed matrix; `elements` holds for as long as the factor does.
  init(_ elements: UnsafePointer<ck_compressed>, stride: Int, isTransposed: Bool) {
    self.init(
      elements: elements, type: ck_type_compressed, is_transposed: isTransposed ? 1 : 0,
      stride: stride, terms: 0, next: nil, next_scale: 1)
  }
}
