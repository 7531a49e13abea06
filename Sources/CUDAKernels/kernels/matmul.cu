// Matrix products without cuBLASLt: bfloat16 on tensor cores, float32 and float64 in plain tiles. cuBLASLt is faster; this
// is for machines that lack it and for shapes that it has no algorithm for.
#include "prelude.cuh"

/// Sizes of c [m, n] ← α·op(a)·op(b) + β·c, row-major, with the distances of rows.
struct Product {
  int m, n, k, transpose_a, transpose_b;
  int64_t lda, ldb, ldc;
  double alpha, beta;
};

/// 32×32 of c a block of 256, 16 of k at a time. A thread has four rows; it adds up 512 products by themselves, so that the error of
/// a long sum does not grow with its length.
template <class T, class O> DEV void matmul(const T *a, const T *b, O *c, Product p) {
  using C = Compute<T>;
  __shared__ C sa[32][17], sb[16][33];
  const int tx = threadIdx.x & 31, ty = threadIdx.x >> 5, row0 = blockIdx.y * 32, column0 = blockIdx.x * 32;
  C acc[4] = {}, part[4] = {};
  for (int k0 = 0; k0 < p.k; k0 += 16) {
    for (int i = threadIdx.x; i < 512; i += 256) {
      // Neighbouring threads read neighbours, whichever way a matrix lies.
      const int ra = p.transpose_a ? i & 31 : i >> 4, ka = p.transpose_a ? i >> 5 : i & 15;
      const int cb = p.transpose_b ? i >> 4 : i & 31, kb = p.transpose_b ? i & 15 : i >> 5;
      const int m = row0 + ra, n = column0 + cb;
      sa[ra][ka] = m < p.m && k0 + ka < p.k
                       ? up(p.transpose_a ? a[int64_t(k0 + ka) * p.lda + m] : a[int64_t(m) * p.lda + k0 + ka])
                       : C(0);
      sb[kb][cb] = n < p.n && k0 + kb < p.k
                       ? up(p.transpose_b ? b[int64_t(n) * p.ldb + k0 + kb] : b[int64_t(k0 + kb) * p.ldb + n])
                       : C(0);
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < 16; ++k)
#pragma unroll
      for (int j = 0; j < 4; ++j) part[j] += sa[ty * 4 + j][k] * sb[k][tx];
    if ((k0 + 16) % 512 == 0 || k0 + 16 >= p.k)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        acc[j] += part[j];
        part[j] = 0;
      }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int m = row0 + ty * 4 + j, n = column0 + tx;
    if (m >= p.m || n >= p.n) continue;
    O *to = c + int64_t(m) * p.ldc + n;
    const C v = C(p.alpha) * acc[j];
    *to = down<O>(p.beta == 0 ? v : v + C(p.beta) * up(*to));
  }
}
#define MATMUL(T, ST, O, SO)                                                            \
  KERNEL(256, matmul_##ST##_##SO)(const T *a, const T *b, O *c, Product p) { matmul(a, b, c, p); } \
  EXPORT(matmul_##ST##_##SO)
MATMUL(float, f32, float, f32)
MATMUL(double, f64, double, f64)
MATMUL(bf16, bf16, bf16, bf16)
MATMUL(bf16, bf16, float, f32)

/// c [m, n] ← α·a·bᵀ + β·c on tensor cores: 64×64 a block of four warps, 32 of k at a time, two stages.
/// a [m, k], b [n, k]; k and both row distances are multiples of 8 and both matrices aligned to 16 bytes.
template <class O> DEV void matmul_nt(const bf16 *a, const bf16 *b, O *c, Product p) {
  constexpr int T = 64, KS = 32, P = KS + 8;  // 80 bytes a row: no bank conflicts in ldmatrix
  __shared__ __align__(16) bf16 sa[2][T * P], sb[2][T * P];
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, m0 = blockIdx.y * T, n0 = blockIdx.x * T;
  auto fetch = [&](int stage, int k0) {
    for (int i = tid; i < T * KS / 8; i += 128) {
      const int r = i >> 2, k = (i & 3) * 8;
      const bool in = k0 + k < p.k;
      const int m = m0 + r, n = n0 + r;
      cp_async_16(shared_address(&sa[stage][r * P + k]), a + (in && m < p.m ? int64_t(m) * p.lda + k0 + k : 0), in && m < p.m);
      cp_async_16(shared_address(&sb[stage][r * P + k]), b + (in && n < p.n ? int64_t(n) * p.ldb + k0 + k : 0), in && n < p.n);
    }
    cp_async_commit();
  };
  float acc[8][4] = {};
  const int steps = (p.k + KS - 1) / KS;
  fetch(0, 0);
  for (int s = 0; s < steps; ++s) {
    if (s + 1 < steps) {
      fetch((s + 1) & 1, (s + 1) * KS);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    const bf16 *ta = sa[s & 1], *tb = sb[s & 1];
#pragma unroll
    for (int k = 0; k < KS; k += 16) {
      uint32_t fa[4];
      ldmatrix_x4(fa, shared_address(ta + (warp * 16 + (lane & 15)) * P + k + (lane >> 4) * 8));
#pragma unroll
      for (int n = 0; n < 8; n += 2) {
        uint32_t fb[4];
        ldmatrix_x4(fb, shared_address(tb + (n * 8 + (lane & 7) + (lane >> 4) * 8) * P + k + ((lane >> 3) & 1) * 8));
        mma_16x8x16(acc[n], fa, fb[0], fb[1]);
        mma_16x8x16(acc[n + 1], fa, fb[2], fb[3]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int n = 0; n < 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = m0 + warp * 16 + (lane >> 2) + (i >> 1) * 8, col = n0 + n * 8 + (lane & 3) * 2 + (i & 1);
      if (r >= p.m || col >= p.n) continue;
      O *to = c + int64_t(r) * p.ldc + col;
      const float v = float(p.alpha) * acc[n][i];
      *to = down<O>(p.beta == 0 ? v : v + float(p.beta) * up(*to));
    }
}
#define MATMUL_NT(O, SO)                                                                          \
  KERNEL(128, matmul_nt_##SO)(const bf16 *a, const bf16 *b, O *c, Product p) { matmul_nt(a, b, c, p); } \
  EXPORT(matmul_nt_##SO)
MATMUL_NT(bf16, bf16)
MATMUL_NT(float, f32)
