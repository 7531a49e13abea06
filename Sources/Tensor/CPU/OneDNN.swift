// Matrix products through oneDNN, where our own kernels are not the fastest (BlockedProduct.isFastest). Compiled in with the package
// trait OneDNN.

#if OneDNN
  import COneDNN
  import Synchronization

  /// The oneDNN library of this process.
  package enum OneDNN {
    /// Version of the library, such as "2.6.3".
    package static var version: String {
      guard let version = dnnl_version()?.pointee else { return "unknown" }
      return "\(version.major).\(version.minor).\(version.patch)"
    }

    /// Name of the best instruction set that it uses here, such as "avx512_core_bf16".
    package static var instructionSet: String {
      let names: [(dnnl_cpu_isa_t, String)] = [
        (dnnl_cpu_isa_sse41, "sse41"), (dnnl_cpu_isa_avx, "avx"), (dnnl_cpu_isa_avx2, "avx2"),
        (dnnl_cpu_isa_avx512_core, "avx512_core"),
        (dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"),
        (dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"),
        (dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"),
      ]
      let best = dnnl_get_effective_cpu_isa().rawValue
      // Sets are nested: each has the bits of those before it.
      return names.last { best & $0.0.rawValue == $0.0.rawValue }?.1 ?? "unknown"
    }

    /// Whether there are instructions that multiply bfloat16; without them float32 kernels on widened factors are faster.
    package static let multipliesBFloat16: Bool = {
      let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
      return dnnl_get_effective_cpu_isa().rawValue & needed == needed
    }()

    /// Whether there are instructions that multiply tiles of bfloat16 of many numbers (AMX).
    package static let multipliesTilesOfBFloat16: Bool = {
      let needed = dnnl_cpu_isa_avx512_core_amx.rawValue
      return dnnl_get_effective_cpu_isa().rawValue & needed == needed
    }()

    /// A factor: row-major with a leading dimension, read as its transpose where the flag says so.
    struct Factor {
      let address: UnsafeRawPointer
      let leadingDimension: Int
      let isTransposed: Bool
      let dtype: DType
    }

    /// Operations below which a product stays on the calling thread: a few tens of microseconds, which a second thread
    /// halves at best, and multiplies where it has to wait for a processor.
    private static let serialProduct = 1 << 22

    /// c ← α·op(a)·op(b) + β·c for float32; c [m, n] has leading dimension `ldc`.
    ///
    /// The general kernel needs no preparation for a shape, and is at the limit but for large products with a
    /// transposed b on several threads.
    static func multiply(
      _ a: Factor, _ b: Factor, m: Int, n: Int, k: Int, alpha: Float, beta: Float,
      into c: UnsafeMutablePointer<Float>, ldc: Int, pool: BufferPool
    ) {
      let threads =
        2 * m * n * k < serialProduct ? 1 : ThreadTeam.usableThreadCount
      if b.isTransposed, threads > 1, min(m, n, k) >= 64, ldc == n,
        multiplyPrepared(
          a, b, m: m, n: n, k: k, alpha: alpha, beta: beta, into: c, .float32, threads, pool)
      {
        return
      }
      ThreadTeam.setThreadCount(threads)
      let status = dnnl_sgemm(
        a.isTransposed ? 0x54 : 0x4E, b.isTransposed ? 0x54 : 0x4E, Int64(m), Int64(n), Int64(k),
        alpha, a.address.assumingMemoryBound(to: Float.self), Int64(a.leadingDimension),
        b.address.assumingMemoryBound(to: Float.self), Int64(b.leadingDimension), beta, c,
        Int64(ldc))
      precondition(status == dnnl_success, "oneDNN: sgemm \(m)x\(n)x\(k) gave \(status.rawValue)")
    }

    /// c ← α·op(a)·op(b) + β·c with a kernel made for these sizes; false where there is none.
    ///
    /// a and b are both float32 or both bfloat16; c is dense, of type `dtype` (float32 or bfloat16).
    static func multiplyPrepared(
      _ a: Factor, _ b: Factor, m: Int, n: Int, k: Int, alpha: Float, beta: Float,
      into c: UnsafeMutableRawPointer, _ dtype: DType, _ threads: Int, _ pool: BufferPool
    ) -> Bool {
      let key = Key(
        m: m, n: n, k: k, a: a, b: b, result: dtype, alpha: alpha, beta: beta, threads: threads)
      guard let product = product(key) else { return false }
      let scratch = Scratch(UInt8.self, count: product.scratchByteCount, pool: pool)
      ThreadTeam.setThreadCount(threads)
      product.run(a.address, b.address, c, scratch.pointer)
      return true
    }

    /// What a prepared product depends on.
    private struct Key: Hashable {
      let m, n, k, lda, ldb: Int
      let transposeA, transposeB: Bool
      let factors, result: DType
      let alpha, beta: Float
      let threads: Int

      init(
        m: Int, n: Int, k: Int, a: Factor, b: Factor, result: DType, alpha: Float, beta: Float,
        threads: Int
      ) {
        (self.m, self.n, self.k) = (m, n, k)
        (lda, ldb) = (a.leadingDimension, b.leadingDimension)
        (transposeA, transposeB) = (a.isTransposed, b.isTransposed)
        (factors, self.result) = (a.dtype, result)
        (self.alpha, self.beta, self.threads) = (alpha, beta, threads)
      }
    }

    /// Products that have been prepared; nil where the library has no fast kernel.
    private static let prepared = Mutex<[Key: Product?]>([:])

    /// Rows of every length come by, so what is kept is bounded: the library's own cache makes a second preparation cheap.
    private static let preparedLimit = 2048

    private static func product(_ key: Key) -> Product? {
      if let known = prepared.withLock({ $0[key] }) { return known }
      // A kernel splits its work among the threads that there are when it is made.
      ThreadTeam.setThreadCount(key.threads)
      let product = Product(key)
      prepared.withLock { prepared in
        if prepared.count >= preparedLimit { prepared.removeAll(keepingCapacity: true) }
        prepared[key] = .some(product)
      }
      return product
    }

    /// A kernel for one key. It keeps no state between runs, so threads may share it.
    private final class Product: Sendable {
      // Safety: written in init alone.
      private nonisolated(unsafe) let product: UnsafeMutablePointer<onednn_product>
      let scratchByteCount: Int

      /// A kernel for `key`, or nil where the library has none but a slow reference.
      init?(_ key: Key) {
        func matrix(
          _ rows: Int, _ columns: Int, _ leading: Int, _ isTransposed: Bool, _ type: DType
        )
          -> onednn_matrix
        {
          onednn_matrix(
            rows: Int64(rows), columns: Int64(columns),
            row_stride: Int64(isTransposed ? 1 : leading),
            column_stride: Int64(isTransposed ? leading : 1),
            type: type == .bfloat16 ? dnnl_bf16 : dnnl_f32)
        }
        guard let engine = OneDNN.engine,
          let product = onednn_product_create(
            engine, matrix(key.m, key.k, key.lda, key.transposeA, key.factors),
            matrix(key.k, key.n, key.ldb, key.transposeB, key.factors),
            matrix(key.m, key.n, key.n, false, key.result), key.alpha, key.beta)
        else { return nil }
        self.product = product
        scratchByteCount = product.pointee.scratch_byte_count
      }

      func run(
        _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ c: UnsafeMutableRawPointer,
        _ scratch: UnsafeMutableRawPointer
      ) {
        let status = onednn_product_run(product, a, b, c, scratch)
        precondition(status == dnnl_success, "oneDNN: a product gave \(status.rawValue)")
      }

      deinit { onednn_product_destroy(product) }
    }

    /// The processor as oneDNN sees it; nil where the library finds none.
    private static nonisolated(unsafe) let engine: dnnl_engine_t? = {
      // Safety: made once, never changed.
      var engine: dnnl_engine_t?
      return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
    }()
  }
#endif
