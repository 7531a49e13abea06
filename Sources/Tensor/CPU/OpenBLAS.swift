// Starting OpenBLAS with the right kernels and thread count, and the typed entry points.

import CKernels
import COpenBLAS
import Glibc
import Synchronization

/// The BLAS library of this process.
package enum OpenBLAS {
  /// Runs once, before the first BLAS call (`CPUBackend` does it).
  ///
  /// OpenBLAS chooses its kernels when it is loaded, from a list of processors that it knows; on a newer one with
  /// AVX-512 it falls back to AVX2 kernels at half the speed. Where that has happened the choice is made again with
  /// the kernel set named. A choice the user made (`OPENBLAS_CORETYPE`) is left alone.
  static func configure() {
    if getenv("OPENBLAS_CORETYPE") == nil, hasAVX512, !usesAVX512Kernels,
      let handle = dlopen(nil, RTLD_LAZY),
      let table = dlsym(handle, "gotoblas"), let initialize = dlsym(handle, "gotoblas_dynamic_init")
    {
      setenv("OPENBLAS_CORETYPE", "SkylakeX", 1)
      table.assumingMemoryBound(to: UnsafeMutableRawPointer?.self).pointee = nil
      unsafeBitCast(initialize, to: (@convention(c) () -> Void).self)()
      unsetenv("OPENBLAS_CORETYPE")
    }
    setThreadCount(Workers.count)
  }

  /// Name of the kernel set in use, such as "SkylakeX".
  package static var kernelName: String { String(cString: openblas_get_corename()) }

  /// Version and build options as the library reports them.
  package static var configuration: String { String(cString: openblas_get_config()) }

  /// Processors that this process may use, as OpenBLAS counts them (it asks for the affinity mask).
  static var processorCount: Int { Int(openblas_get_num_procs()) }

  /// Threads that one BLAS call uses.
  package static func setThreadCount(_ count: Int) { openblas_set_num_threads(Int32(count)) }

  /// Runs `body`, in which BLAS calls made by several threads at once stay on the calling thread.
  ///
  /// The setting is one for the process: it comes back when the last body that runs at the same time has ended.
  @inline(__always)
  static func onCallingThread(_ body: () -> Void) {
    bodies.withLock { running in
      if running == 0 { setThreadCount(1) }
      running += 1
    }
    body()
    bodies.withLock { running in
      running -= 1
      if running == 0 { setThreadCount(Workers.count) }
    }
  }

  private static let bodies = Mutex(0)

  private static var usesAVX512Kernels: Bool {
    ["skylakex", "cooperlake", "sapphirerapids"].contains(kernelName.lowercased())
  }

  private static let hasAVX512: Bool = {
    guard let file = fopen("/proc/cpuinfo", "r") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 16_384)
    while fgets(&line, Int32(line.count), file) != nil {
      guard strncmp(line, "flags", 5) == 0 else { continue }
      return [" avx512f", " avx512dq", " avx512bw", " avx512vl", " avx512cd"].allSatisfy {
        containsWord(line, $0)
      }
    }
    return false
  }()
}

/// Whether the zero-terminated `line` contains `word`.
private func containsWord(_ line: [CChar], _ word: String) -> Bool { strstr(line, word) != nil }

/// An element type that BLAS multiplies.
protocol BLASElement: KernelCompute, TensorScalar {
  /// c ← α·op(a)·op(b) + β·c, row-major with leading dimensions.
  static func gemm(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Self,
    _ a: UnsafePointer<Self>, _ lda: Int, _ b: UnsafePointer<Self>, _ ldb: Int, _ beta: Self,
    _ c: UnsafeMutablePointer<Self>, _ ldc: Int)
  /// y ← α·op(a)·x + β·y for a row-major a [rows, columns].
  static func gemv(
    _ transpose: Bool, _ rows: Int, _ columns: Int, _ alpha: Self, _ a: UnsafePointer<Self>,
    _ lda: Int, _ x: UnsafePointer<Self>, _ beta: Self, _ y: UnsafeMutablePointer<Self>)
}

extension Float: BLASElement {
  @inline(__always)
  static func gemm(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float,
    _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ beta: Float,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    #if OneDNN
      if BlockedProduct.isFastest(for: .float32) {
        BlockedProduct(m: m, n: n, k: k, result: .float32, panels: ck_panels_f32).run(
          ck_factor(a, .float32, stride: lda, isTransposed: transposeA),
          ck_factor(b, .float32, stride: ldb, isTransposed: transposeB), alpha: alpha, beta: beta,
          into: Destination(address: UInt(bitPattern: c), dtype: .float32, count: m * ldc),
          stride: ldc, pool: CPUBackend.shared.pool)
        return
      }
      OneDNN.multiply(
        OneDNN.Factor(address: a, leadingDimension: lda, isTransposed: transposeA, dtype: .float32),
        OneDNN.Factor(address: b, leadingDimension: ldb, isTransposed: transposeB, dtype: .float32),
        m: m, n: n, k: k, alpha: alpha, beta: beta, into: c, ldc: ldc, pool: CPUBackend.shared.pool)
    #else
      cblas_sgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
        transposeB ? CblasTrans : CblasNoTrans,
        blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c,
        blasint(ldc))
    #endif
  }
  @inline(__always)
  static func gemv(
    _ transpose: Bool, _ rows: Int, _ columns: Int, _ alpha: Float, _ a: UnsafePointer<Float>,
    _ lda: Int, _ x: UnsafePointer<Float>, _ beta: Float, _ y: UnsafeMutablePointer<Float>
  ) {
    cblas_sgemv(
      CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, blasint(rows), blasint(columns), alpha,
      a, blasint(lda), x, 1, beta, y, 1)
  }
}

extension Double: BLASElement {
  @inline(__always)
  static func gemm(
    _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Double,
    _ a: UnsafePointer<Double>, _ lda: Int, _ b: UnsafePointer<Double>, _ ldb: Int, _ beta: Double,
    _ c: UnsafeMutablePointer<Double>, _ ldc: Int
  ) {
    cblas_dgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
      blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c,
      blasint(ldc))
  }
  @inline(__always)
  static func gemv(
    _ transpose: Bool, _ rows: Int, _ columns: Int, _ alpha: Double, _ a: UnsafePointer<Double>,
    _ lda: Int, _ x: UnsafePointer<Double>, _ beta: Double, _ y: UnsafeMutablePointer<Double>
  ) {
    cblas_dgemv(
      CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, blasint(rows), blasint(columns), alpha,
      a, blasint(lda), x, 1, beta, y, 1)
  }
}
