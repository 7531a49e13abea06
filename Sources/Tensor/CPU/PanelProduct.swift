// Large float32 products by OpenBLAS's kernels on the threads of everything else. Without AVX-512 they are faster than
// oneDNN's, up to twice where the second factor is not transposed and the first has fewer than some 350 rows: there oneDNN
// multiplies without packing. OpenBLAS's own threads stay out of it: each panel of the result is a product of its own.

#if OneDNN
  import COpenBLAS

  /// A product split into panels of its result.
  enum PanelProduct {
    /// Rows and columns of a panel at least; narrower ones pack more than they multiply.
    private static let leastRows = 128
    private static let leastColumns = 256

    /// Whether these kernels are the faster ones on this processor.
    ///
    /// Measured on Zen 3 at the shapes of Qwen3-0.6B; the products of adapters and of attention are narrower, and faster
    /// with oneDNN.
    static func isFaster(m: Int, n: Int, k: Int, transposeA: Bool, transposeB: Bool) -> Bool {
      OneDNN.lacksAVX512 && !transposeA && min(n, k) >= 256 && m >= (transposeB ? 128 : 16)
    }

    /// c ← α·a·op(b) + β·c, row-major with leading dimensions; a is not transposed.
    static func multiply(
      _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float,
      _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int,
      _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
    ) {
      let threads = ThreadTeam.usableThreadCount
      let across = max(1, min(threads, n / leastColumns))
      let down = max(1, min(threads / across, m / leastRows))
      // Whole registers but for the last panel.
      let width = ((n + across - 1) / across + 15) / 16 * 16
      let height = ((m + down - 1) / down + 15) / 16 * 16
      OpenBLAS.onCallingThread {
        parallelTasks(across * down) { task, _ in
          let (row, column) = (task / across * height, task % across * width)
          guard row < m, column < n else { return }
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
            blasint(min(height, m - row)), blasint(min(width, n - column)), blasint(k), alpha,
            a + row * lda, blasint(lda), b + column * (transposeB ? ldb : 1), blasint(ldb), beta,
            c + row * ldc + column, blasint(ldc))
        }
      }
    }
  }
#endif
