// Causal attention in bfloat16 on tensor cores, forward and backward, for head dims 64, 128 and 256 (Dao 2023). Scores live
// in registers; tiles of keys and values come by asynchronous copies while the tile before is worked on. Sums are float32
// and each has one order.
//
// A warp has 16 rows, or 32 where registers allow it: each matrix read from shared memory then serves twice, and reading them
// is what such a kernel would wait for. Rows that stay are held in registers for the same reason.
#include "prelude.cuh"

/// Sizes of a call, as in attention.cu.
struct FlashSizes {
  int heads, kv_heads, dim, queries, key_offset;
  double scale;
};

constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;
/// Stands for −∞ and, negated, for a logSumExp that makes all weights 0; differences of it stay finite.
constexpr float FAR = 1e30f;
/// Bytes from one row of a tile in shared memory to the next: ldmatrix then meets every bank once.
template <int D> constexpr int PITCH = 2 * (D + 8);

/// Bytes from a tile to the address that this lane gives to ldmatrix for 16 rows by 16 columns: for the left matrix of a
/// product, and transposed for the right one.
template <int D> DEV int lane_of_rows() {
  const int lane = threadIdx.x & 31;
  return (lane & 15) * PITCH<D> + (lane >> 4) * 16;
}
/// The same for the right matrix of a·bᵀ, whose rows are the product's columns.
template <int D> DEV int lane_of_columns() {
  const int lane = threadIdx.x & 31;
  return ((lane & 7) + (lane >> 4) * 8) * PITCH<D> + (lane >> 3 & 1) * 16;
}

/// The part that a thread takes in copies of rows of [·, heads, D] into tiles.
template <int D, int THREADS> struct RowCopies {
  /// Rows that all threads copy at once, sixteen bytes each.
  static constexpr int AT_ONCE = THREADS * 8 / D;
  int heads, from, to;

  DEV_INLINE explicit RowCopies(int heads) : heads(heads) {
    const int row = threadIdx.x / (D / 8), column = threadIdx.x % (D / 8);
    from = row * heads * D + column * 8;
    to = row * PITCH<D> + column * 16;
  }

  /// Starts the copy of rows begin ..< begin + ROWS (zeros from `end` on) of one head of x into a tile.
  template <int ROWS> DEV_INLINE void start(SharedAddress tile, const bf16 *x, int head, int begin, int end) const {
    static_assert(ROWS % AT_ONCE == 0, "a tile is copied by all threads at once, so many times");
    const bf16 *p = x + (int64_t(begin) * heads + head) * D + from;
    const int step = heads * (AT_ONCE * D), rest = end - begin - int(threadIdx.x) / (D / 8);
#pragma unroll
    for (int r = 0; r < ROWS; r += AT_ONCE) {
      cp_async_16(tile + to + r * PITCH<D>, p, r < rest);
      p += step;
    }
  }
};

/// c ← 0.
template <int N> DEV void clear(float (&c)[N][4]) {
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) c[n][i] = 0.f;
}

/// c [16·M, 8·N] ← a·bᵀ for a warp: a [16·M, D] and b [8·N, D] are rows in shared memory, with this lane's part of the address.
template <int D, int M, int N> DEV void product_nt(float (&c)[M][N][4], SharedAddress a, SharedAddress b) {
  static_assert(N % 2 == 0, "ldmatrix reads 16 columns");
#pragma unroll
  for (int m = 0; m < M; ++m) clear(c[m]);
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t fa[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) ldmatrix_x4(fa[m], a + m * 16 * PITCH<D> + k * 2);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      uint32_t fb[4];
      ldmatrix_x4(fb, b + n * 8 * PITCH<D> + k * 2);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_16x8x16(c[m][n], fa[m], fb[0], fb[1]);
        mma_16x8x16(c[m][n + 1], fa[m], fb[2], fb[3]);
      }
    }
  }
}

/// 16 rows of a warp in shared memory, of which the first HELD columns are held in registers.
template <int D, int HELD> struct WarpRows {
  SharedAddress rows;
  uint32_t held[HELD / 16 + 1][4];

  /// The rows at an address with this lane's part; they must be there.
  DEV_INLINE explicit WarpRows(SharedAddress rows) : rows(rows) {
#pragma unroll
    for (int k = 0; k < HELD; k += 16) ldmatrix_x4(held[k / 16], rows + k * 2);
  }

  /// c [16, 8·N] ← these rows times bᵀ.
  template <int N> DEV_INLINE void product_nt(float (&c)[N][4], SharedAddress b) const {
    clear(c);
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t fa[4];
      if (k < HELD)
#pragma unroll
        for (int i = 0; i < 4; ++i) fa[i] = held[k < HELD ? k / 16 : 0][i];
      else
        ldmatrix_x4(fa, rows + k * 2);
#pragma unroll
      for (int n = 0; n < N; n += 2) {
        uint32_t fb[4];
        ldmatrix_x4(fb, b + n * 8 * PITCH<D> + k * 2);
        mma_16x8x16(c[n], fa, fb[0], fb[1]);
        mma_16x8x16(c[n + 1], fa, fb[2], fb[3]);
      }
    }
  }
};

/// acc [16·M, 8·W] += p·b for a warp: p [16·M, 8·N] in registers, rounded to bfloat16, b [8·N, ≥ 8·W] in shared memory, with this
/// lane's part of the address.
template <int D, int M, int N, int W>
DEV void product_pn(float (&acc)[M][W][4], const float (&p)[M][N][4], SharedAddress b) {
  static_assert(N % 2 == 0 && W % 2 == 0, "ldmatrix reads 16 rows and columns");
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    uint32_t fp[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        fp[m][j] = pack_bf16(p[m][2 * i + (j >> 1)][(j & 1) * 2], p[m][2 * i + (j >> 1)][(j & 1) * 2 + 1]);
#pragma unroll
    for (int n = 0; n < W; n += 2) {
      uint32_t fb[4];
      ldmatrix_x4_trans(fb, b + i * 16 * PITCH<D> + n * 16);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma_16x8x16(acc[m][n], fp[m], fb[0], fb[1]);
        mma_16x8x16(acc[m][n + 1], fp[m], fb[2], fb[3]);
      }
    }
  }
}

/// Scores of the future become −∞: where SIGN·(column − row) > 0, with the column and the row of the first one `distance` apart.
template <int SIGN, int M, int N> DEV void hide(float (&s)[M][N][4], int distance) {
  const int lane = threadIdx.x & 31, first = distance + (lane & 3) * 2 - (lane >> 2);
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (SIGN * (first + n * 8 + (i & 1) - m * 16 - (i >> 1) * 8) > 0) s[m][n][i] = -FAR;
}

/// Sixteen rows of a warp's sums to global memory, times `factor` of the upper and the lower eight.
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

/// The next step of a softmax in parts (Milakov and Gimelshein 2018): s ← exp(scale·(s − largest so far)), and what was summed
/// before is brought to the same level. `scale` is positive and in base 2.
template <int N, int W>
DEV void soften(float (&s)[N][4], float (&acc)[W][4], float (&top)[2], float (&sum)[2], float scale) {
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    float next = top[j];
#pragma unroll
    for (int n = 0; n < N; ++n) next = fmaxf(next, fmaxf(s[n][2 * j], s[n][2 * j + 1]));
    next = fmaxf(next, __shfl_xor_sync(0xffffffffu, next, 1));
    next = fmaxf(next, __shfl_xor_sync(0xffffffffu, next, 2));
    const float factor = fast_exp2((top[j] - next) * scale), level = next * scale;
    top[j] = next;
    sum[j] *= factor;
#pragma unroll
    for (int n = 0; n < W; ++n) {
      acc[n][2 * j] *= factor;
      acc[n][2 * j + 1] *= factor;
    }
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = 2 * j; i < 2 * j + 2; ++i) {
        s[n][i] = fast_exp2(s[n][i] * scale - level);
        sum[j] += s[n][i];
      }
  }
}

/// out and logSumExp; the scale is positive. tiles [·, 3]: first row, last row + 1 (at most 64·M further), first key. Grid:
/// (tiles, heads), 128 threads; KEYS keys at a time.
template <int D, int KEYS, int M>
DEV void flash(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *lse, const int32_t *tiles, FlashSizes a) {
  constexpr int TILE = 64 * M;
  DYNAMIC_SHARED(unsigned char, memory);
  const SharedAddress sq = shared_address(memory), sk = sq + TILE * PITCH<D>, sv = sk + KEYS * PITCH<D>;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  if (begin >= end) return;  // an empty tile, as lists of a constant length have
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), keys = end + a.key_offset;
  const RowCopies<D, 128> copies(a.kv_heads);
  RowCopies<D, 128>(a.heads).template start<TILE>(sq, q, head, begin, end);
  copies.template start<KEYS>(sk, k, kv_head, first_key, keys);
  cp_async_wait_all();
  __syncthreads();
  copies.template start<KEYS>(sv, v, kv_head, first_key, keys);
  const int row = begin + warp * 16 * M, seen = row + a.key_offset;
  const SharedAddress rows = sq + warp * 16 * M * PITCH<D> + lane_of_rows<D>();
  const SharedAddress key_columns = sk + lane_of_columns<D>(), values = sv + lane_of_rows<D>();
  float acc[M][D / 8][4] = {}, top[M][2], sum[M][2] = {};
#pragma unroll
  for (int m = 0; m < M; ++m) top[m][0] = top[m][1] = -FAR;
  const float scale = float(a.scale) * LOG2_E;
  for (int k0 = first_key; k0 < keys; k0 += KEYS) {
    const bool more = k0 + KEYS < keys, works = row < end && k0 < seen + 16 * M;
    float s[M][KEYS / 8][4];
    if (works) product_nt<D>(s, rows, key_columns);
    cp_async_wait_all();
    __syncthreads();  // these values are in, and all have read the keys
    if (more) copies.template start<KEYS>(sk, k, kv_head, k0 + KEYS, keys);
    if (works) {
      if (k0 + KEYS - 1 > seen) hide<1>(s, k0 - seen);
#pragma unroll
      for (int m = 0; m < M; ++m) soften(s[m], acc[m], top[m], sum[m], scale);
      product_pn<D>(acc, s, values);
    }
    cp_async_wait_all();
    __syncthreads();  // the next keys are in, and all have read the values
    if (more) copies.template start<KEYS>(sv, v, kv_head, k0 + KEYS, keys);
  }
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      sum[m][j] += __shfl_xor_sync(0xffffffffu, sum[m][j], 1);
      sum[m][j] += __shfl_xor_sync(0xffffffffu, sum[m][j], 2);
      const int r = row + m * 16 + (lane >> 2) + 8 * j;
      if (r < end && (lane & 3) == 0)
        lse[int64_t(head) * a.queries + r] = (top[m][j] * scale + log2f(sum[m][j])) * LN_2;
    }
    store_sums(out, acc[m], 1.f / sum[m][0], 1.f / sum[m][1], a.heads, head, D, 0, row + m * 16, end);
  }
}
#define FLASH(D, KEYS, M)                                                                                         \
  KERNEL(128, flash_##D)(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *lse, const int32_t *tiles, \
                         FlashSizes a) {                                                                          \
    flash<D, KEYS, M>(q, k, v, out, lse, tiles, a);                                                               \
  }                                                                                                               \
  EXPORT(flash_##D)
FLASH(64, 64, 2)
FLASH(128, 48, 2)
FLASH(256, 32, 1)

/// dQ = scale·dS·K with dS = P ⊙ (dOut·Vᵀ − delta). Tiles and grid as in `flash`.
template <int D, int KEYS, int M>
DEV void flash_dq(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta,
                  bf16 *dq, const int32_t *tiles, FlashSizes a) {
  constexpr int TILE = 64 * M;
  DYNAMIC_SHARED(unsigned char, memory);
  const SharedAddress sq = shared_address(memory), sdo = sq + TILE * PITCH<D>, sk = sdo + TILE * PITCH<D>,
                      sv = sk + KEYS * PITCH<D>;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  if (begin >= end) return;
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), row = begin + warp * 16 * M;
  const RowCopies<D, 128> copies(a.kv_heads), row_copies(a.heads);
  row_copies.template start<TILE>(sq, q, head, begin, end);
  row_copies.template start<TILE>(sdo, dout, head, begin, end);
  copies.template start<KEYS>(sk, k, kv_head, first_key, end);
  copies.template start<KEYS>(sv, v, kv_head, first_key, end);
  float level[M][2], row_delta[M][2];
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int r = row + m * 16 + (lane >> 2) + 8 * j;
      level[m][j] = r < end ? lse[int64_t(head) * a.queries + r] * LOG2_E : FAR;
      row_delta[m][j] = r < end ? delta[int64_t(head) * a.queries + r] : 0.f;
    }
  const int rows = warp * 16 * M * PITCH<D> + lane_of_rows<D>();
  const SharedAddress key_columns = sk + lane_of_columns<D>(), keys = sk + lane_of_rows<D>(),
                      value_columns = sv + lane_of_columns<D>();
  const float scale = float(a.scale) * LOG2_E;
  float acc[M][D / 8][4] = {};
  cp_async_wait_all();
  __syncthreads();
  for (int k0 = first_key; k0 < end; k0 += KEYS) {
    const bool more = k0 + KEYS < end, works = row < end && k0 < row + 16 * M;
    float p[M][KEYS / 8][4], ds[M][KEYS / 8][4];
    if (works) product_nt<D>(ds, sdo + rows, value_columns);
    cp_async_wait_all();
    __syncthreads();  // these keys are in, and all have read the values
    if (more) copies.template start<KEYS>(sv, v, kv_head, k0 + KEYS, end);
    if (works) {
      product_nt<D>(p, sq + rows, key_columns);
      if (k0 + KEYS - 1 > row) hide<1>(p, k0 - row);
#pragma unroll
      for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            ds[m][n][i] = fast_exp2(p[m][n][i] * scale - level[m][i >> 1]) * (ds[m][n][i] - row_delta[m][i >> 1]);
      product_pn<D>(acc, ds, keys);
    }
    cp_async_wait_all();
    __syncthreads();  // the next values are in, and all have read the keys
    if (more) copies.template start<KEYS>(sk, k, kv_head, k0 + KEYS, end);
  }
#pragma unroll
  for (int m = 0; m < M; ++m)
    store_sums(dq, acc[m], float(a.scale), float(a.scale), a.heads, head, D, 0, row + m * 16, end);
}
#define FLASH_DQ(D, KEYS, M)                                                                                      \
  KERNEL(128, flash_dq_##D)(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse,      \
                            const float *delta, bf16 *dq, const int32_t *tiles, FlashSizes a) {                   \
    flash_dq<D, KEYS, M>(dout, q, k, v, lse, delta, dq, tiles, a);                                                \
  }                                                                                                               \
  EXPORT(flash_dq_##D)
FLASH_DQ(64, 48, 2)
FLASH_DQ(128, 32, 2)
FLASH_DQ(256, 32, 1)

/// dV = Pᵀ·dOut and dK = scale·dSᵀ·Q over the query heads of a key head. tiles [·, 3]: first key, last key + 1 (64
/// further, or the end), end of the document. Grid: (tiles, key heads); four warps for each of PARTS shares of the dims, each of which
/// computes all scores. ROWS queries at a time; so many columns of keys and values are held in registers.
template <int D, int ROWS, int STAGES, int PARTS, int KEYS_HELD, int VALUES_HELD>
DEV void flash_dkv(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta,
                   bf16 *dk, bf16 *dv, const int32_t *tiles, FlashSizes a) {
  constexpr int THREADS = 128 * PARTS, W = D / PARTS, TILE = 64, STAGE = 2 * ROWS * PITCH<D>;
  DYNAMIC_SHARED(unsigned char, memory);
  const SharedAddress sk = shared_address(memory), sv = sk + TILE * PITCH<D>, stages = sv + TILE * PITCH<D>;
  float *levels = reinterpret_cast<float *>(memory + 2 * TILE * PITCH<D> + STAGES * STAGE);  // [STAGES, 2, ROWS]
  const int warp = threadIdx.x >> 5 & 3, column = (threadIdx.x >> 7) * W, lane = threadIdx.x & 31;
  const int begin = tiles[3 * blockIdx.x], last = tiles[3 * blockIdx.x + 2];
  if (begin >= last) return;
  const int kv_head = blockIdx.y, group = a.heads / a.kv_heads, row = begin + warp * 16;
  const RowCopies<D, THREADS> copies(a.heads), key_copies(a.kv_heads);
  const float scale = float(a.scale) * LOG2_E;
  // What is fetched next: some rows of a query head, of all the heads of the group.
  int next_head = kv_head * group, next_q0 = begin;
  auto fetch_stage = [&](int stage) {
    copies.template start<ROWS>(stages + stage * STAGE, q, next_head, next_q0, last);
    copies.template start<ROWS>(stages + stage * STAGE + ROWS * PITCH<D>, dout, next_head, next_q0, last);
    cp_async_commit();
    if (int(threadIdx.x) < ROWS) {
      const int r = next_q0 + threadIdx.x;
      const bool in = r < last;
      levels[(stage * 2) * ROWS + threadIdx.x] = in ? lse[int64_t(next_head) * a.queries + r] * LOG2_E : FAR;
      levels[(stage * 2 + 1) * ROWS + threadIdx.x] = in ? delta[int64_t(next_head) * a.queries + r] : 0.f;
    }
    next_q0 += ROWS;
    if (next_q0 >= last) {
      next_q0 = begin;
      ++next_head;
    }
  };
  key_copies.template start<TILE>(sk, k, kv_head, begin, last);
  key_copies.template start<TILE>(sv, v, kv_head, begin, last);
  fetch_stage(0);
  cp_async_wait_all();
  __syncthreads();
  const WarpRows<D, KEYS_HELD> keys(sk + warp * 16 * PITCH<D> + lane_of_rows<D>());
  const WarpRows<D, VALUES_HELD> values(sv + warp * 16 * PITCH<D> + lane_of_rows<D>());
  float sum_k[1][W / 8][4] = {}, sum_v[1][W / 8][4] = {};
  int stage = 0, q0 = begin;
  for (bool more = true; more;) {
    more = next_head < (kv_head + 1) * group;
    if (STAGES == 2 && more) {
      fetch_stage(stage ^ 1);
      cp_async_wait<1>();
    } else {
      cp_async_wait<0>();
    }
    __syncthreads();
    const SharedAddress sq = stages + stage * STAGE, sdo = sq + ROWS * PITCH<D>;
    const float *level = levels + stage * 2 * ROWS + (lane & 3) * 2, *deltas = level + ROWS;
    if (row < last && q0 + ROWS > row) {
      float p[1][ROWS / 8][4], ds[1][ROWS / 8][4];
      keys.product_nt(p[0], sq + lane_of_columns<D>());
      if (q0 < row + 15) hide<-1>(p, q0 - row);
#pragma unroll
      for (int n = 0; n < ROWS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) p[0][n][i] = fast_exp2(p[0][n][i] * scale - level[n * 8 + (i & 1)]);
      product_pn<D>(sum_v, p, sdo + lane_of_rows<D>() + column * 2);
      values.product_nt(ds[0], sdo + lane_of_columns<D>());
#pragma unroll
      for (int n = 0; n < ROWS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) ds[0][n][i] = p[0][n][i] * (ds[0][n][i] - deltas[n * 8 + (i & 1)]);
      product_pn<D>(sum_k, ds, sq + lane_of_rows<D>() + column * 2);
    }
    __syncthreads();  // all have read this stage
    if (STAGES == 2) stage ^= 1;
    else if (more) fetch_stage(0);
    q0 += ROWS;
    if (q0 >= last) q0 = begin;
  }
  store_sums(dv, sum_v[0], 1.f, 1.f, a.kv_heads, kv_head, D, column, row, last);
  store_sums(dk, sum_k[0], float(a.scale), float(a.scale), a.kv_heads, kv_head, D, column, row, last);
}
#define FLASH_DKV(D, ROWS, STAGES, PARTS, KEYS_HELD, VALUES_HELD)                                                 \
  KERNEL(128 * PARTS, flash_dkv_##D)(const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, \
                                     const float *delta, bf16 *dk, bf16 *dv, const int32_t *tiles, FlashSizes a) { \
    flash_dkv<D, ROWS, STAGES, PARTS, KEYS_HELD, VALUES_HELD>(dout, q, k, v, lse, delta, dk, dv, tiles, a);       \
  }                                                                                                               \
  EXPORT(flash_dkv_##D)
FLASH_DKV(64, 64, 2, 1, 64, 64)
FLASH_DKV(128, 32, 2, 1, 64, 128)
FLASH_DKV(256, 32, 1, 2, 0, 0)
