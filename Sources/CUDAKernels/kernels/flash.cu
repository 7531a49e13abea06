// Causal attention in bfloat16 on tensor cores, forward and backward, for head dims 64, 128 and 256 (Dao 2023). Scores live
// in registers; tiles of keys and values come by asynchronous copies while the tile before is worked on. Sums are float32
// and each has one order.
#include "prelude.cuh"

/// Sizes of a call, as in attention.cu.
struct FlashSizes {
  int heads, kv_heads, dim, queries, key_offset;
  double scale;
};

constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;
/// Stands for −∞ and, negated, for a logSumExp that makes all weights 0; differences of it stay finite.
constexpr float FAR = 1e30f;
/// Rows that a block owns: sixteen for each of four warps.
constexpr int TILE = 64;
/// Elements from one row of a tile in shared memory to the next: ldmatrix then meets every bank once.
template <int D> constexpr int PITCH = D + 8;

/// Starts the copy of rows begin ..< begin + ROWS (zeros from `end` on) of one head into a tile.
template <int D, int ROWS, int THREADS>
DEV void fetch(bf16 *tile, const bf16 *x, int heads, int head, int begin, int end) {
#pragma unroll 4
  for (int i = threadIdx.x; i < ROWS * D / 8; i += THREADS) {
    const int r = i / (D / 8), c = i % (D / 8) * 8, row = begin + r;
    const bool in = row < end;
    cp_async_16(tile + r * PITCH<D> + c, x + (int64_t(in ? row : 0) * heads + head) * D + c, in);
  }
}

/// c [16, 8·N] ← a·bᵀ for a warp: a [16, D] and b [8·N, D] are rows in shared memory.
template <int D, int N> DEV void product_nt(float (&c)[N][4], const bf16 *a, const bf16 *b) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) c[n][i] = 0.f;
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t fa[4];
    ldmatrix_x4(fa, a + (lane & 15) * PITCH<D> + k + (lane >> 4) * 8);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      uint32_t fb[4];
      ldmatrix_x4(fb, b + (n * 8 + (lane & 7) + (lane >> 4) * 8) * PITCH<D> + k + ((lane >> 3) & 1) * 8);
      mma_16x8x16(c[n], fa, fb[0], fb[1]);
      mma_16x8x16(c[n + 1], fa, fb[2], fb[3]);
    }
  }
}

/// acc [16, 8·W] += p·b for a warp: p [16, 8·N] in registers, rounded to bfloat16, b [8·N, ≥ 8·W] in shared memory.
template <int D, int N, int W> DEV void product_pn(float (&acc)[W][4], const float (&p)[N][4], const bf16 *b) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    const uint32_t fp[4] = {pack_bf16(p[2 * i][0], p[2 * i][1]), pack_bf16(p[2 * i][2], p[2 * i][3]),
                            pack_bf16(p[2 * i + 1][0], p[2 * i + 1][1]), pack_bf16(p[2 * i + 1][2], p[2 * i + 1][3])};
#pragma unroll
    for (int n = 0; n < W; n += 2) {
      uint32_t fb[4];
      ldmatrix_x4_trans(fb, b + (i * 16 + (lane & 15)) * PITCH<D> + n * 8 + (lane >> 4) * 8);
      mma_16x8x16(acc[n], fp, fb[0], fb[1]);
      mma_16x8x16(acc[n + 1], fp, fb[2], fb[3]);
    }
  }
}

/// The rows of a warp's sums to global memory, times `factor` of the upper and the lower eight rows.
template <int W>
DEV void store_sums(bf16 *y, const float (&acc)[W][4], float upper, float lower, int heads, int head, int dim, int column,
                    int row, int end) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int r = row + (lane >> 2) + 8 * j;
    if (r >= end) continue;
    const float factor = j ? lower : upper;
    uint32_t *to = reinterpret_cast<uint32_t *>(y + (int64_t(r) * heads + head) * dim + column) + (lane & 3);
#pragma unroll
    for (int n = 0; n < W; ++n) to[n * 4] = pack_bf16(acc[n][2 * j] * factor, acc[n][2 * j + 1] * factor);
  }
}

/// out and logSumExp. tiles [·, 3]: first row, last row + 1 (at most 64 further), first key. Grid: (tiles, heads), 128
/// threads; KEYS keys at a time.
template <int D, int KEYS>
DEV void flash(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *lse, const int32_t *tiles, FlashSizes a) {
  DYNAMIC_SHARED(bf16, sq);
  bf16 *sk = sq + TILE * PITCH<D>, *sv = sk + KEYS * PITCH<D>;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  if (begin >= end) return;  // an empty tile, as lists of a constant length have
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), keys = end + a.key_offset;
  fetch<D, TILE, 128>(sq, q, a.heads, head, begin, end);
  fetch<D, KEYS, 128>(sk, k, a.kv_heads, kv_head, first_key, keys);
  cp_async_commit();
  float acc[D / 8][4] = {}, top[2] = {-FAR, -FAR}, sum[2] = {0.f, 0.f};
  const float scale = float(a.scale) * LOG2_E;
  const int row = begin + warp * 16 + (lane >> 2);
  for (int k0 = first_key; k0 < keys; k0 += KEYS) {
    cp_async_wait<0>();
    __syncthreads();  // these keys are in, and the values before them have been read
    fetch<D, KEYS, 128>(sv, v, a.kv_heads, kv_head, k0, keys);
    cp_async_commit();
    float s[KEYS / 8][4];
    product_nt<D>(s, sq + warp * 16 * PITCH<D>, sk);
    __syncthreads();  // all have read the keys
    const bool more = k0 + KEYS < keys;
    if (more) {
      fetch<D, KEYS, 128>(sk, k, a.kv_heads, kv_head, k0 + KEYS, keys);
      cp_async_commit();
    }
    float next[2] = {top[0], top[1]};
    const bool masks = k0 + KEYS > begin + a.key_offset;
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = k0 + n * 8 + (lane & 3) * 2 + (i & 1);
        s[n][i] = !masks || key <= row + (i >> 1) * 8 + a.key_offset ? s[n][i] * scale : -FAR;
        next[i >> 1] = larger(next[i >> 1], s[n][i]);
      }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      next[j] = larger(next[j], __shfl_xor_sync(0xffffffffu, next[j], 1));
      next[j] = larger(next[j], __shfl_xor_sync(0xffffffffu, next[j], 2));
      const float c = fast_exp2(top[j] - next[j]);
      top[j] = next[j];
      sum[j] *= c;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        acc[n][2 * j] *= c;
        acc[n][2 * j + 1] *= c;
      }
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[n][i] = fast_exp2(s[n][i] - top[i >> 1]);
        sum[i >> 1] += s[n][i];
      }
    if (more) cp_async_wait<1>();
    else cp_async_wait<0>();
    __syncthreads();  // these values are in
    product_pn<D>(acc, s, sv);
  }
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    sum[j] += __shfl_xor_sync(0xffffffffu, sum[j], 1);
    sum[j] += __shfl_xor_sync(0xffffffffu, sum[j], 2);
    const int r = row + 8 * j;
    if (r < end && (lane & 3) == 0) lse[int64_t(head) * a.queries + r] = (top[j] + log2f(sum[j])) * LN_2;
  }
  store_sums(out, acc, 1.f / sum[0], 1.f / sum[1], a.heads, head, D, 0, begin + warp * 16, end);
}
#define FLASH(D, KEYS)                                                                                            \
  KERNEL(128, flash_##D)(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *lse, const int32_t *tiles, \
                         FlashSizes a) {                                                                          \
    flash<D, KEYS>(q, k, v, out, lse, tiles, a);                                                                  \
  }                                                                                                               \
  EXPORT(flash_##D)
FLASH(64, 64)
FLASH(128, 64)
FLASH(256, 32)

/// Weights of 16 rows: p ← exp(scale·s − logSumExp), 0 where a key is later than its query. `by_column` where the columns
/// are the queries; `level` has logSumExp in base 2 of the two rows, or of each column.
template <int N> DEV void weigh(float (&s)[N][4], const float *level, float scale, int row, int column, bool by_column) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int c = n * 8 + (lane & 3) * 2 + (i & 1), r = row + (lane >> 2) + (i >> 1) * 8;
      const bool seen = by_column ? r <= column + c : column + c <= r;
      s[n][i] = seen ? fast_exp2(s[n][i] * scale - level[by_column ? c : i >> 1]) : 0.f;
    }
}

/// dQ = scale·dS·K with dS = P ⊙ (dOut·Vᵀ − delta). Tiles and grid as in `flash`; STAGES tiles of keys and values.
template <int D, int KEYS, int STAGES>
DEV void flash_dq(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta,
                  bf16 *dq, const int32_t *tiles, FlashSizes a) {
  DYNAMIC_SHARED(bf16, sq);
  bf16 *sdo = sq + TILE * PITCH<D>, *stages = sdo + TILE * PITCH<D>;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  if (begin >= end) return;  // an empty tile, as lists of a constant length have
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
  auto fetch_stage = [&](int stage, int k0) {
    bf16 *sk = stages + stage * 2 * KEYS * PITCH<D>;
    fetch<D, KEYS, 128>(sk, k, a.kv_heads, kv_head, k0, end);
    fetch<D, KEYS, 128>(sk + KEYS * PITCH<D>, v, a.kv_heads, kv_head, k0, end);
    cp_async_commit();
  };
  fetch<D, TILE, 128>(sq, q, a.heads, head, begin, end);
  fetch<D, TILE, 128>(sdo, dout, a.heads, head, begin, end);
  fetch_stage(0, first_key);
  const int row = begin + warp * 16;
  float level[2], row_delta[2];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int r = row + (lane >> 2) + 8 * j;
    level[j] = r < end ? lse[int64_t(head) * a.queries + r] * LOG2_E : FAR;
    row_delta[j] = r < end ? delta[int64_t(head) * a.queries + r] : 0.f;
  }
  float acc[D / 8][4] = {};
  int stage = 0;
  for (int k0 = first_key; k0 < end; k0 += KEYS) {
    const bool more = k0 + KEYS < end;
    if (STAGES == 2 && more) {
      fetch_stage(stage ^ 1, k0 + KEYS);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    const bf16 *sk = stages + stage * 2 * KEYS * PITCH<D>, *sv = sk + KEYS * PITCH<D>;
    float p[KEYS / 8][4], ds[KEYS / 8][4];
    product_nt<D>(p, sq + warp * 16 * PITCH<D>, sk);
    weigh(p, level, float(a.scale) * LOG2_E, row, k0, false);
    product_nt<D>(ds, sdo + warp * 16 * PITCH<D>, sv);
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) ds[n][i] = p[n][i] * (ds[n][i] - row_delta[i >> 1]);
    product_pn<D>(acc, ds, sk);
    __syncthreads();  // all have read this stage
    if (STAGES == 2) stage ^= 1;
    else if (more) fetch_stage(0, k0 + KEYS);
  }
  store_sums(dq, acc, float(a.scale), float(a.scale), a.heads, head, D, 0, row, end);
}
#define FLASH_DQ(D, KEYS, STAGES)                                                                                 \
  KERNEL(128, flash_dq_##D)(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse,      \
                            const float *delta, bf16 *dq, const int32_t *tiles, FlashSizes a) {                   \
    flash_dq<D, KEYS, STAGES>(dout, q, k, v, lse, delta, dq, tiles, a);                                           \
  }                                                                                                               \
  EXPORT(flash_dq_##D)
FLASH_DQ(64, 64, 2)
FLASH_DQ(128, 32, 2)
FLASH_DQ(256, 32, 1)

/// dV = Pᵀ·dOut and dK = scale·dSᵀ·Q over the query heads of a key head. tiles [·, 3]: first key, last key + 1 (at most 64
/// further), end of the document. Grid: (tiles, key heads); four warps for each of PARTS shares of the dims, each of which
/// computes all scores. ROWS queries at a time.
template <int D, int ROWS, int STAGES, int PARTS>
DEV void flash_dkv(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta,
                   bf16 *dk, bf16 *dv, const int32_t *tiles, FlashSizes a) {
  constexpr int THREADS = 128 * PARTS, W = D / PARTS;
  DYNAMIC_SHARED(bf16, sk);
  bf16 *sv = sk + TILE * PITCH<D>, *stages = sv + TILE * PITCH<D>;
  float *levels = reinterpret_cast<float *>(stages + STAGES * 2 * ROWS * PITCH<D>);  // [STAGES, 2, ROWS]
  const int warp = threadIdx.x >> 5 & 3, column = (threadIdx.x >> 7) * W, lane = threadIdx.x & 31;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], last = tiles[3 * blockIdx.x + 2];
  if (begin >= end) return;
  const int kv_head = blockIdx.y, group = a.heads / a.kv_heads, row = begin + warp * 16;
  const int steps = (last - begin + ROWS - 1) / ROWS, total = steps * group;
  auto fetch_stage = [&](int stage, int step) {
    const int head = kv_head * group + step / steps, q0 = begin + step % steps * ROWS;
    bf16 *sq = stages + stage * 2 * ROWS * PITCH<D>;
    fetch<D, ROWS, THREADS>(sq, q, a.heads, head, q0, last);
    fetch<D, ROWS, THREADS>(sq + ROWS * PITCH<D>, dout, a.heads, head, q0, last);
    cp_async_commit();
    if (int(threadIdx.x) < ROWS) {
      const int r = q0 + threadIdx.x;
      const bool in = r < last;
      levels[(stage * 2) * ROWS + threadIdx.x] = in ? lse[int64_t(head) * a.queries + r] * LOG2_E : FAR;
      levels[(stage * 2 + 1) * ROWS + threadIdx.x] = in ? delta[int64_t(head) * a.queries + r] : 0.f;
    }
  };
  fetch<D, TILE, THREADS>(sk, k, a.kv_heads, kv_head, begin, end);
  fetch<D, TILE, THREADS>(sv, v, a.kv_heads, kv_head, begin, end);
  fetch_stage(0, 0);
  float sum_k[W / 8][4] = {}, sum_v[W / 8][4] = {};
  int stage = 0;
  for (int step = 0; step < total; ++step) {
    const bool more = step + 1 < total;
    if (STAGES == 2 && more) {
      fetch_stage(stage ^ 1, step + 1);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    const bf16 *sq = stages + stage * 2 * ROWS * PITCH<D>, *sdo = sq + ROWS * PITCH<D>;
    const float *level = levels + stage * 2 * ROWS, *deltas = level + ROWS;
    float p[ROWS / 8][4], ds[ROWS / 8][4];
    product_nt<D>(p, sk + warp * 16 * PITCH<D>, sq);
    weigh(p, level, float(a.scale) * LOG2_E, row, begin + step % steps * ROWS, true);
    product_pn<D>(sum_v, p, sdo + column);
    product_nt<D>(ds, sv + warp * 16 * PITCH<D>, sdo);
#pragma unroll
    for (int n = 0; n < ROWS / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) ds[n][i] = p[n][i] * (ds[n][i] - deltas[n * 8 + (lane & 3) * 2 + (i & 1)]);
    product_pn<D>(sum_k, ds, sq + column);
    __syncthreads();  // all have read this stage
    if (STAGES == 2) stage ^= 1;
    else if (more) fetch_stage(0, step + 1);
  }
  store_sums(dv, sum_v, 1.f, 1.f, a.kv_heads, kv_head, D, column, row, end);
  store_sums(dk, sum_k, float(a.scale), float(a.scale), a.kv_heads, kv_head, D, column, row, end);
}
#define FLASH_DKV(D, ROWS, STAGES, PARTS)                                                                         \
  KERNEL(128 * PARTS, flash_dkv_##D)(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, \
                                     const float *delta, bf16 *dk, bf16 *dv, const int32_t *tiles, FlashSizes a) { \
    flash_dkv<D, ROWS, STAGES, PARTS>(dout, q, k, v, lse, delta, dk, dv, tiles, a);                               \
  }                                                                                                               \
  EXPORT(flash_dkv_##D)
FLASH_DKV(64, 64, 2, 1)
FLASH_DKV(128, 32, 2, 1)
FLASH_DKV(256, 32, 1, 2)
