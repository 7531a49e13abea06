// Rows of tables: rotary embedding, look-up and its gradient.
#include "prelude.cuh"

/// y₁ = x₁·cos − s·x₂·sin, y₂ = x₂·cos + s·x₁·sin over the first 2·half dims of each head; the rest is copied.
/// One thread a pair or a copied element. A position beyond the table gives NaN.
template <class T>
DEV void rotate(const T *x, const Compute<T> *cosines, const Compute<T> *sines, const int32_t *positions, T *y,
                int64_t n, int heads, int dim, int half, int table_rows, int inverse) {
  using C = Compute<T>;
  const int64_t t = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int width = dim - half;
  if (t >= n) return;
  const int i = int(t % width);
  const int64_t head = t / width;  // of all rows
  const T *from = x + head * dim;
  T *to = y + head * dim;
  if (i >= half) {
    to[i + half] = from[i + half];
    return;
  }
  const int position = positions[head / heads];
  const bool known = position >= 0 && position < table_rows;
  const int64_t at = int64_t(known ? position : 0) * half + i;
  const C nan = C(bits_to_float(0x7fffffffu));
  const C c = known ? cosines[at] : nan, s = known ? (inverse ? -sines[at] : sines[at]) : nan;
  const C a = up(from[i]), b = up(from[half + i]);
  to[i] = down<T>(a * c - b * s);
  to[half + i] = down<T>(b * c + a * s);
}
#define ROTATE(T, S)                                                                                     \
  KERNEL(256, rotate_##S)(const T *x, const Compute<T> *cosines, const Compute<T> *sines, const int32_t *positions, \
                          T *y, int64_t n, int heads, int dim, int half, int table_rows, int inverse) {  \
    rotate(x, cosines, sines, positions, y, n, heads, dim, half, table_rows, inverse);                   \
  }                                                                                                      \
  EXPORT(rotate_##S)
FOR_FLOATS(ROTATE)

/// y[n] ← table[ids[n]], rows of `width` elements of W bytes each. A block a row; an id beyond the table gives all ones,
/// which is NaN in every float type.
#define GATHER(W, S)                                                                                     \
  KERNEL(256, gather_rows_##S)(const W *table, const int32_t *ids, W *y, int64_t width, int table_rows) { \
    const int id = ids[blockIdx.x];                                                                      \
    const bool known = id >= 0 && id < table_rows;                                                       \
    const W *from = table + int64_t(known ? id : 0) * width;                                             \
    W *to = y + int64_t(blockIdx.x) * width;                                                             \
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) to[i] = known ? from[i] : W(~W(0));        \
  }                                                                                                      \
  EXPORT(gather_rows_##S)
GATHER(uint8_t, b8)
GATHER(uint16_t, b16)
GATHER(uint32_t, b32)
GATHER(uint64_t, b64)

/// table[ids[n]] += x[n]. A thread owns a column, so that every row receives its additions in the order of n.
#define SCATTER_ADD(T, S)                                                                                \
  KERNEL(256, scatter_add_rows_##S)(const T *x, const int32_t *ids, T *table, int rows, int columns, int table_rows) { \
    const int c = blockIdx.x * blockDim.x + threadIdx.x;                                                 \
    if (c >= columns) return;                                                                            \
    for (int n = 0; n < rows; ++n) {                                                                     \
      const int id = ids[n];                                                                             \
      if (id < 0 || id >= table_rows) continue;                                                          \
      T *to = table + int64_t(id) * columns + c;                                                         \
      *to = down<T>(up(*to) + up(x[int64_t(n) * columns + c]));                                          \
    }                                                                                                    \
  }                                                                                                      \
  EXPORT(scatter_add_rows_##S)
FOR_FLOATS(SCATTER_ADD)
