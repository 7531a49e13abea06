// Rows of tables: rotary embedding with and without the norm of heads, look-up and its gradient.
#include "prelude.cuh"

/// The angles by which heads are rotated: tables [·, half] and the position of each row.
template <class C> struct Rotation {
  const C *cosines, *sines;
  const int32_t *positions;
  int heads, dim, half, table_rows;
};

/// Cosine and sine of pair i of a head (of all rows); a position beyond the table gives NaN.
template <class C> DEV void angle(const Rotation<C> &r, int64_t head, int i, C &cosine, C &sine) {
  const int position = r.positions[head / r.heads];
  const bool known = position >= 0 && position < r.table_rows;
  const int64_t at = int64_t(known ? position : 0) * r.half + i;
  const C nan = C(bits_to_float(0x7fffffffu));
  cosine = known ? r.cosines[at] : nan;
  sine = known ? r.sines[at] : nan;
}

/// y₁ = x₁·cos − s·x₂·sin, y₂ = x₂·cos + s·x₁·sin over the first 2·half dims of each head; the rest is copied.
/// One thread a pair or a copied element.
template <class T> DEV void rotate(const T *x, T *y, int64_t n, const Rotation<Compute<T>> &r, int inverse) {
  using C = Compute<T>;
  const int64_t t = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int width = r.dim - r.half;
  if (t >= n) return;
  const int i = int(t % width);
  const int64_t head = t / width;  // of all rows
  const T *from = x + head * r.dim;
  T *to = y + head * r.dim;
  if (i >= r.half) {
    to[i + r.half] = from[i + r.half];
    return;
  }
  C c, s;
  angle(r, head, i, c, s);
  if (inverse) s = -s;
  const C a = up(from[i]), b = up(from[r.half + i]);
  to[i] = down<T>(a * c - b * s);
  to[r.half + i] = down<T>(b * c + a * s);
}
#define ROTATE(T, S)                                                                                     \
  KERNEL(256, rotate_##S)(const T *x, T *y, int64_t n, Rotation<Compute<T>> r, int inverse) {            \
    rotate(x, y, n, r, inverse);                                                                         \
  }                                                                                                      \
  EXPORT(rotate_##S)
FOR_FLOATS(ROTATE)

/// The rotated RMSNorm of each of n heads, rounded to T in between. Block (32, 8): a warp a head, which is read from the
/// cache the second time.
template <class T>
DEV void rotate_normalized(const T *x, const T *w, T *y, Compute<T> *rstd, int64_t n, const Rotation<Compute<T>> &r,
                           double epsilon) {
  using C = Compute<T>;
  const int64_t head = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (head >= n) return;  // a whole warp, or nobody
  const T *from = x + head * r.dim;
  T *to = y + head * r.dim;
  C sum = 0;
  for (int i = threadIdx.x; i < r.dim; i += 32) sum += up(from[i]) * up(from[i]);
  const C scale = C(1) / sqrt_(warp_sum(sum) / C(r.dim) + C(epsilon));
  auto normalized = [&](int i) { return down<T>(up(from[i]) * scale * up(w[i])); };
  for (int i = threadIdx.x; i < r.half; i += 32) {
    C c, s;
    angle(r, head, i, c, s);
    const C a = up(normalized(i)), b = up(normalized(r.half + i));
    to[i] = down<T>(a * c - b * s);
    to[r.half + i] = down<T>(b * c + a * s);
  }
  for (int i = 2 * r.half + threadIdx.x; i < r.dim; i += 32) to[i] = normalized(i);
  if (threadIdx.x == 0) rstd[head] = scale;
}
#define ROTATE_NORMALIZED(T, S)                                                                          \
  KERNEL(256, rotate_normalized_##S)(const T *x, const T *w, T *y, Compute<T> *rstd, int64_t n,          \
                                     Rotation<Compute<T>> r, double epsilon) {                           \
    rotate_normalized(x, w, y, rstd, n, r, epsilon);                                                     \
  }                                                                                                      \
  EXPORT(rotate_normalized_##S)
FOR_FLOATS(ROTATE_NORMALIZED)

/// With d = dy rotated back and rounded to T, g = d ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)). Block (32, 8): a
/// warp a head.
template <class T>
DEV void rotate_normalized_backward(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int64_t n,
                                    const Rotation<Compute<T>> &r) {
  using C = Compute<T>;
  const int64_t head = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (head >= n) return;
  const T *d = dy + head * r.dim, *from = x + head * r.dim;
  T *to = dx + head * r.dim;
  const C scale = rstd[head];
  auto weighted = [&](int i, C gradient) { return up(down<T>(gradient)) * up(w[i]); };
  // g of both elements of pair i.
  auto pair = [&](int i, C &first, C &second) {
    C c, s;
    angle(r, head, i, c, s);
    const C a = up(d[i]), b = up(d[r.half + i]);
    first = weighted(i, a * c + b * s);
    second = weighted(r.half + i, b * c - a * s);
  };
  C sum = 0;
  for (int i = threadIdx.x; i < r.half; i += 32) {
    C first, second;
    pair(i, first, second);
    sum += first * up(from[i]) + second * up(from[r.half + i]);
  }
  for (int i = 2 * r.half + threadIdx.x; i < r.dim; i += 32) sum += weighted(i, up(d[i])) * up(from[i]);
  const C factor = warp_sum(sum) * scale * scale / C(r.dim);
  for (int i = threadIdx.x; i < r.half; i += 32) {
    C first, second;
    pair(i, first, second);
    to[i] = down<T>(scale * (first - up(from[i]) * factor));
    to[r.half + i] = down<T>(scale * (second - up(from[r.half + i]) * factor));
  }
  for (int i = 2 * r.half + threadIdx.x; i < r.dim; i += 32)
    to[i] = down<T>(scale * (weighted(i, up(d[i])) - up(from[i]) * factor));
}
#define ROTATE_NORMALIZED_BACKWARD(T, S)                                                                 \
  KERNEL(256, rotate_normalized_backward_##S)(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, \
                                              int64_t n, Rotation<Compute<T>> r) {                       \
    rotate_normalized_backward(dy, x, w, rstd, dx, n, r);                                                \
  }                                                                                                      \
  EXPORT(rotate_normalized_backward_##S)
FOR_FLOATS(ROTATE_NORMALIZED_BACKWARD)

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
