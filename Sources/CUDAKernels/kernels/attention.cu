// Causal attention for any element type and any head dim up to 256: 16 rows a block (8 in float64), 32 keys (or queries) at
// a time.
// bfloat16 with the usual head dims has faster kernels in flash.cu.
#include "prelude.cuh"

/// Rows of a warp and of a block of four warps, for sums of type C: in float64 as many as fit into 99 KB of shared memory.
template <class C> constexpr int PER_WARP = sizeof(C) == 8 ? 2 : 4;
template <class C> constexpr int ROWS = 4 * PER_WARP<C>;
/// Rows of the other side that are in shared memory at a time.
constexpr int STEP = 32;

/// Sizes of a call.
struct AttentionSizes {
  int heads, kv_heads, dim, queries, key_offset;
  double scale;
};

/// tile [count, dim] with `stride` elements a row ← rows begin ..< begin + count of x (zeros from `end` on), one head of
/// rows that are `heads·dim` apart. A block of 128.
template <class T>
DEV void load_tile(Compute<T> *tile, int stride, const T *x, int heads, int head, int dim, int begin, int end, int count) {
  for (int i = threadIdx.x; i < count * dim; i += 128) {
    const int r = i / dim, d = i % dim, row = begin + r;
    tile[r * stride + d] = row < end ? up(x[(int64_t(row) * heads + head) * dim + d]) : Compute<T>(0);
  }
}

template <class C> DEV C dot(const C *a, const C *b, int dim) {
  C sum = 0;
  for (int d = 0; d < dim; ++d) sum += a[d] * b[d];
  return sum;
}

/// acc[j][·] += Σ_i weights[j][i]·tile[i][·] for the rows of a warp; lane l holds the dims l, l + 32, …
template <class C> DEV void accumulate(C (&acc)[PER_WARP<C>][8], const C *weights, const C *tile, int dim) {
  const int lane = threadIdx.x & 31;
#pragma unroll 2
  for (int i = 0; i < STEP; ++i)
#pragma unroll
    for (int part = 0; part < 8; ++part) {
      const int d = part * 32 + lane;
      if (d < dim) {
        const C v = tile[i * (dim + 1) + d];
#pragma unroll
        for (int j = 0; j < PER_WARP<C>; ++j) acc[j][part] += weights[j * STEP + i] * v;
      }
    }
}

template <class T, class C>
DEV void store_rows(T *y, const C (&acc)[PER_WARP<C>][8], const C (&factor)[PER_WARP<C>], int heads,
                    int head, int dim, int first, int end) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int j = 0; j < PER_WARP<C>; ++j)
#pragma unroll
    for (int part = 0; part < 8; ++part) {
      const int d = part * 32 + lane;
      if (first + j < end && d < dim)
        y[(int64_t(first + j) * heads + head) * dim + d] = down<T>(acc[j][part] * factor[j]);
    }
}

/// out and logSumExp [H, N]. tiles [·, 3]: first row, last row + 1 (at most ROWS further), first key of the document.
/// Grid: (tiles, heads), blocks of 128.
template <class T>
DEV void attention(const T *q, const T *k, const T *v, T *out, Compute<T> *lse, const int32_t *tiles, AttentionSizes a) {
  using C = Compute<T>;
  DYNAMIC_SHARED(C, sq);
  const int dim = a.dim, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  C *tile = sq + ROWS<C> * dim, *weights = tile + STEP * (dim + 1) + warp * PER_WARP<C> * STEP;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), keys = end + a.key_offset;
  const int first = begin + warp * PER_WARP<C>;
  const C negative = -C(bits_to_float(0x7f800000u));
  load_tile(sq, dim, q, a.heads, head, dim, begin, end, ROWS<C>);
  C acc[PER_WARP<C>][8] = {}, top[PER_WARP<C>], sum[PER_WARP<C>] = {};
  for (int j = 0; j < PER_WARP<C>; ++j) top[j] = negative;
  for (int k0 = first_key; k0 < keys; k0 += STEP) {
    __syncthreads();
    load_tile(tile, dim + 1, k, a.kv_heads, kv_head, dim, k0, keys, STEP);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < PER_WARP<C>; ++j) {
      const int row = first + j, key = k0 + lane;
      const bool seen = row < end && key <= row + a.key_offset;
      const C s = seen ? dot(sq + (warp * PER_WARP<C> + j) * dim, tile + lane * (dim + 1), dim) * C(a.scale) : negative;
      const C next = larger(top[j], warp_max(s));
      const C p = seen ? exp_(s - next) : C(0), c = top[j] == negative ? C(0) : exp_(top[j] - next);
      top[j] = next;
      sum[j] = sum[j] * c + warp_sum(p);
#pragma unroll
      for (int part = 0; part < 8; ++part) acc[j][part] *= c;
      weights[j * STEP + lane] = p;
    }
    __syncthreads();
    load_tile(tile, dim + 1, v, a.kv_heads, kv_head, dim, k0, keys, STEP);
    __syncthreads();
    accumulate(acc, weights, tile, dim);
  }
  C inverse[PER_WARP<C>];
  for (int j = 0; j < PER_WARP<C>; ++j) {
    inverse[j] = C(1) / sum[j];
    if (first + j < end && lane == 0) lse[int64_t(head) * a.queries + first + j] = top[j] + log_(sum[j]);
  }
  store_rows(out, acc, inverse, a.heads, head, dim, first, end);
}
#define ATTENTION(T, S)                                                                                          \
  KERNEL(128, attention_##S)(const T *q, const T *k, const T *v, T *out, Compute<T> *lse, const int32_t *tiles,  \
                             AttentionSizes a) {                                                                 \
    attention(q, k, v, out, lse, tiles, a);                                                                      \
  }                                                                                                              \
  EXPORT(attention_##S)
FOR_FLOATS(ATTENTION)

/// delta[h, n] ← Σ_d dOut ⊙ out. Block (32, 8): a warp a row of a head.
#define ATTENTION_DELTA(T, S)                                                                                    \
  KERNEL(256, attention_delta_##S)(const T *dout, const T *out, Compute<T> *delta, int queries, int heads, int dim) { \
    const int64_t i = int64_t(blockIdx.x) * 8 + threadIdx.y;                                                     \
    if (i >= int64_t(queries) * heads) return;                                                                   \
    Compute<T> sum = 0;                                                                                          \
    for (int d = threadIdx.x; d < dim; d += 32) sum += up(dout[i * dim + d]) * up(out[i * dim + d]);             \
    sum = warp_sum(sum);                                                                                         \
    if (threadIdx.x == 0) delta[i % heads * queries + i / heads] = sum;                                          \
  }                                                                                                              \
  EXPORT(attention_delta_##S)
FOR_FLOATS(ATTENTION_DELTA)

/// dQ = scale·Σ_j dS_j·K_j with dS = P ⊙ (dP − delta). Tiles and grid as in `attention`.
template <class T>
DEV void attention_dq(const T *dout, const T *q, const T *k, const T *v, const Compute<T> *lse, const Compute<T> *delta,
                      T *dq, const int32_t *tiles, AttentionSizes a) {
  using C = Compute<T>;
  DYNAMIC_SHARED(C, sq);
  const int dim = a.dim, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  C *sdo = sq + ROWS<C> * dim, *tile = sdo + ROWS<C> * dim;
  C *weights = tile + STEP * (dim + 1) + warp * PER_WARP<C> * STEP;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], first_key = tiles[3 * blockIdx.x + 2];
  const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), first = begin + warp * PER_WARP<C>;
  load_tile(sq, dim, q, a.heads, head, dim, begin, end, ROWS<C>);
  load_tile(sdo, dim, dout, a.heads, head, dim, begin, end, ROWS<C>);
  C acc[PER_WARP<C>][8] = {}, p[PER_WARP<C>];
  for (int k0 = first_key; k0 < end; k0 += STEP) {
    __syncthreads();
    load_tile(tile, dim + 1, k, a.kv_heads, kv_head, dim, k0, end, STEP);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < PER_WARP<C>; ++j) {
      const int row = first + j, key = k0 + lane;
      const bool seen = row < end && key <= row;
      const C s = dot(sq + (warp * PER_WARP<C> + j) * dim, tile + lane * (dim + 1), dim) * C(a.scale);
      p[j] = seen ? exp_(s - lse[int64_t(head) * a.queries + row]) : C(0);
    }
    __syncthreads();
    load_tile(tile, dim + 1, v, a.kv_heads, kv_head, dim, k0, end, STEP);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < PER_WARP<C>; ++j) {
      const int row = first + j;
      const C dp = dot(sdo + (warp * PER_WARP<C> + j) * dim, tile + lane * (dim + 1), dim);
      weights[j * STEP + lane] = row < end ? p[j] * (dp - delta[int64_t(head) * a.queries + row]) : C(0);
    }
    __syncthreads();
    load_tile(tile, dim + 1, k, a.kv_heads, kv_head, dim, k0, end, STEP);
    __syncthreads();
    accumulate(acc, weights, tile, dim);
  }
  C factor[PER_WARP<C>];
  for (int j = 0; j < PER_WARP<C>; ++j) factor[j] = C(a.scale);
  store_rows(dq, acc, factor, a.heads, head, dim, first, end);
}
#define ATTENTION_DQ(T, S)                                                                                       \
  KERNEL(128, attention_dq_##S)(const T *dout, const T *q, const T *k, const T *v, const Compute<T> *lse,        \
                                const Compute<T> *delta, T *dq, const int32_t *tiles, AttentionSizes a) {        \
    attention_dq(dout, q, k, v, lse, delta, dq, tiles, a);                                                       \
  }                                                                                                              \
  EXPORT(attention_dq_##S)
FOR_FLOATS(ATTENTION_DQ)

/// dV = Σ_i P_i·dOut_i and dK = scale·Σ_i dS_i·Q_i over the query heads of a key head.
/// tiles [·, 3]: first key, last key + 1 (at most ROWS further), end of the document. Grid: (tiles, key heads), blocks of 128.
template <class T>
DEV void attention_dkv(const T *dout, const T *q, const T *k, const T *v, const Compute<T> *lse, const Compute<T> *delta,
                       T *dk, T *dv, const int32_t *tiles, AttentionSizes a) {
  using C = Compute<T>;
  DYNAMIC_SHARED(C, sk);
  const int dim = a.dim, lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = a.heads / a.kv_heads;
  C *sv = sk + ROWS<C> * dim, *tile = sv + ROWS<C> * dim;
  C *weights = tile + STEP * (dim + 1) + warp * PER_WARP<C> * STEP;
  const int begin = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 1], last = tiles[3 * blockIdx.x + 2];
  const int kv_head = blockIdx.y, first = begin + warp * PER_WARP<C>;
  load_tile(sk, dim, k, a.kv_heads, kv_head, dim, begin, end, ROWS<C>);
  load_tile(sv, dim, v, a.kv_heads, kv_head, dim, begin, end, ROWS<C>);
  C sum_k[PER_WARP<C>][8] = {}, sum_v[PER_WARP<C>][8] = {};
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (int q0 = begin; q0 < last; q0 += STEP) {
      const int row = q0 + lane;
      const C row_lse = row < last ? lse[int64_t(head) * a.queries + row] : C(0);
      const C row_delta = row < last ? delta[int64_t(head) * a.queries + row] : C(0);
      __syncthreads();
      load_tile(tile, dim + 1, q, a.heads, head, dim, q0, last, STEP);
      __syncthreads();
#pragma unroll
      for (int j = 0; j < PER_WARP<C>; ++j) {
        const int key = first + j;
        const bool seen = key < end && row < last && key <= row;
        const C s = dot(sk + (warp * PER_WARP<C> + j) * dim, tile + lane * (dim + 1), dim) * C(a.scale);
        weights[j * STEP + lane] = seen ? exp_(s - row_lse) : C(0);
      }
      __syncthreads();
      load_tile(tile, dim + 1, dout, a.heads, head, dim, q0, last, STEP);
      __syncthreads();
      C dp[PER_WARP<C>];
#pragma unroll
      for (int j = 0; j < PER_WARP<C>; ++j)
        dp[j] = dot(sv + (warp * PER_WARP<C> + j) * dim, tile + lane * (dim + 1), dim);
      accumulate(sum_v, weights, tile, dim);
      __syncwarp();  // the weights have been read, and make room for the gradients of the scores
#pragma unroll
      for (int j = 0; j < PER_WARP<C>; ++j) weights[j * STEP + lane] *= dp[j] - row_delta;
      __syncthreads();
      load_tile(tile, dim + 1, q, a.heads, head, dim, q0, last, STEP);
      __syncthreads();
      accumulate(sum_k, weights, tile, dim);
    }
  C one[PER_WARP<C>], factor[PER_WARP<C>];
  for (int j = 0; j < PER_WARP<C>; ++j) {
    one[j] = C(1);
    factor[j] = C(a.scale);
  }
  store_rows(dv, sum_v, one, a.kv_heads, kv_head, dim, first, end);
  store_rows(dk, sum_k, factor, a.kv_heads, kv_head, dim, first, end);
}
#define ATTENTION_DKV(T, S)                                                                                      \
  KERNEL(128, attention_dkv_##S)(const T *dout, const T *q, const T *k, const T *v, const Compute<T> *lse,       \
                                 const Compute<T> *delta, T *dk, T *dv, const int32_t *tiles, AttentionSizes a) { \
    attention_dkv(dout, q, k, v, lse, delta, dk, dv, tiles, a);                                                  \
  }                                                                                                              \
  EXPORT(attention_dkv_##S)
FOR_FLOATS(ATTENTION_DKV)
