// Sums and the largest of a row. Every sum has one order, which depends on sizes only.
#include "prelude.cuh"

/// part[s, c] ← Σ x[n, c]·(dy[n, c]·rstd[n]) over the rows of share s; without dy the plain sum.
/// Block (32, 8): 32 columns, eight rows at a time. Grid: (columns / 32, shares).
template <class T>
DEV void column_sums(const T *x, const T *dy, const Compute<T> *rstd, int rows, int columns, Compute<T> *part) {
  using C = Compute<T>;
  __shared__ C tile[8][33];
  const int c = blockIdx.x * 32 + threadIdx.x;
  const int share = (rows + gridDim.y - 1) / gridDim.y;
  const int begin = blockIdx.y * share, end = begin + share < rows ? begin + share : rows;
  C sum = 0;
  if (c < columns)
    for (int n = begin + threadIdx.y; n < end; n += 8) {
      const int64_t i = int64_t(n) * columns + c;
      sum += dy ? up(dy[i]) * up(x[i]) * rstd[n] : up(x[i]);
    }
  tile[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && c < columns) {
    for (int r = 1; r < 8; ++r) sum += tile[r][threadIdx.x];
    part[int64_t(blockIdx.y) * columns + c] = sum;
  }
}
#define COLUMN_SUMS(T, S)                                                                          \
  KERNEL(256, column_sums_##S)(const T *x, const T *dy, const Compute<T> *rstd, int rows, int columns, \
                               Compute<T> *part) {                                                 \
    column_sums(x, dy, rstd, rows, columns, part);                                                 \
  }                                                                                                \
  EXPORT(column_sums_##S)
FOR_FLOATS(COLUMN_SUMS)

/// y[c] ← Σ_s part[s, c] + β·y[c]; with β = 0 the old y is not read.
#define ADD_SHARES(T, S)                                                                           \
  KERNEL(256, add_shares_##S)(const T *part, int shares, int columns, double beta, T *y) {         \
    const int c = blockIdx.x * blockDim.x + threadIdx.x;                                           \
    if (c >= columns) return;                                                                      \
    T sum = beta == 0 ? T(0) : T(beta) * y[c];                                                     \
    for (int s = 0; s < shares; ++s) sum += part[int64_t(s) * columns + c];                        \
    y[c] = sum;                                                                                    \
  }                                                                                                \
  EXPORT(add_shares_##S)
ADD_SHARES(float, f32)
ADD_SHARES(double, f64)

/// y[n] ← Σ_c a[n, c]·b[n, c]. Block (32, 8): a warp a row.
#define DOT_ROWS(T, S)                                                                             \
  KERNEL(256, dot_rows_##S)(const T *a, const T *b, Compute<T> *y, int rows, int columns) {        \
    const int n = blockIdx.x * blockDim.y + threadIdx.y;                                           \
    if (n >= rows) return;                                                                         \
    Compute<T> sum = 0;                                                                            \
    for (int c = threadIdx.x; c < columns; c += 32)                                                \
      sum += up(a[int64_t(n) * columns + c]) * up(b[int64_t(n) * columns + c]);                    \
    sum = warp_sum(sum);                                                                           \
    if (threadIdx.x == 0) y[n] = sum;                                                              \
  }                                                                                                \
  EXPORT(dot_rows_##S)
FOR_FLOATS(DOT_ROWS)

/// Σ f(x) of 16,384 elements from `begin` on, f the identity or the square: 64 a thread in the compute type, then in double.
/// The same in all threads.
template <class T> DEV double share_sum(const T *x, int64_t begin, int64_t n, bool squared) {
  Compute<T> sum = 0;
  for (int j = 0; j < 64; ++j) {
    const int64_t i = begin + threadIdx.x + j * 256;
    if (i >= n) break;
    const Compute<T> v = up(x[i]);
    sum += squared ? v * v : v;
  }
  return row_sum(double(sum));
}

/// part[block] ← Σ x of 16,384 elements.
#define PARTIAL_SUMS(T, S)                                                                         \
  KERNEL(256, partial_sums_##S)(const T *x, double *part, int64_t n) {                             \
    const double total = share_sum(x, int64_t(blockIdx.x) * 16384, n, false);                      \
    if (threadIdx.x == 0) part[blockIdx.x] = total;                                                \
  }                                                                                                \
  EXPORT(partial_sums_##S)
FOR_FLOATS(PARTIAL_SUMS)

/// part[block] ← Σ x² of 16,384 elements of a tensor of many.
#define PARTIAL_SQUARES(T, S)                                                                      \
  KERNEL(256, partial_squares_##S)(const Run<T> *runs, int count, double *part) {                  \
    const Run<T> &run = entry_of_block(runs, count);                                               \
    const double total =                                                                           \
        share_sum(run.x, (int64_t(blockIdx.x) - run.first_block) * 16384, run.n, true);            \
    if (threadIdx.x == 0) part[blockIdx.x] = total;                                                \
  }                                                                                                \
  EXPORT(partial_squares_##S)
FOR_FLOATS(PARTIAL_SQUARES)

/// y[index of a run] ← the sum of its parts. A block a run.
KERNEL(256, add_partial_squares)(const Run<void> *runs, const double *part, double *y) {
  const Run<void> &run = runs[blockIdx.x];
  const int64_t parts = (run.n + 16383) / 16384;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += 256) sum += part[run.first_block + i];
  sum = row_sum(sum);
  if (threadIdx.x == 0) y[run.index] = sum;
}
EXPORT(add_partial_squares)

/// y[0] ← Σ part. One block of 256.
#define TOTAL(T, S)                                                                                \
  KERNEL(256, total_##S)(const double *part, int64_t n, T *y) {                                    \
    double sum = 0;                                                                                \
    for (int64_t i = threadIdx.x; i < n; i += 256) sum += part[i];                                 \
    sum = row_sum(sum);                                                                            \
    if (threadIdx.x == 0) y[0] = T(sum);                                                           \
  }                                                                                                \
  EXPORT(total_##S)
TOTAL(float, f32)
TOTAL(double, f64)

/// The larger of two (value, index) pairs; of equal values the lower index.
template <class C> struct Best {
  C value;
  int index;
};
template <class C> DEV Best<C> better(Best<C> a, Best<C> b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

/// y[n] ← the lowest index of the largest x[n, ·]. A block of 256 a row.
template <class T> DEV void argmax_rows(const T *x, int32_t *y, int columns) {
  using C = Compute<T>;
  __shared__ Best<C> partial[8];
  const T *row = x + int64_t(blockIdx.x) * columns;
  const C first = up(row[0]);
  Best<C> best = {first, 0};
  for (int c = threadIdx.x; c < columns; c += 256) {
    const C v = up(row[c]);
    if (v > best.value) best = {v, c};
  }
  for (int o = 16; o > 0; o >>= 1) {
    const Best<C> other = {__shfl_xor_sync(0xffffffffu, best.value, o), __shfl_xor_sync(0xffffffffu, best.index, o)};
    best = better(best, other);
  }
  if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = best;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < 8; ++w) best = better(best, partial[w]);
    y[blockIdx.x] = best.index;
  }
}
#define ARGMAX(T, S)                                                                               \
  KERNEL(256, argmax_rows_##S)(const T *x, int32_t *y, int columns) { argmax_rows(x, y, columns); } \
  EXPORT(argmax_rows_##S)
FOR_FLOATS(ARGMAX)
