// RMSNorm forward and backward. Block (32, 8) for short rows: a warp a row; (256, 1) for long ones: a block a row.
#include "prelude.cuh"

/// y = x·rstd·w, rstd = 1 / √(mean x² + ε).
template <class T>
DEV void rms_norm(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int columns, double epsilon) {
  using C = Compute<T>;
  const int n = blockIdx.x * blockDim.y + threadIdx.y;
  if (n >= rows) return;  // a whole warp, or nobody
  const int64_t base = int64_t(n) * columns;
  const bool packed = columns % LANES<T> == 0 && is_aligned(x) && is_aligned(y) && is_aligned(w);
  C sum = 0, v[LANES<T>], g[LANES<T>];
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(x + base + c, columns - c, packed, v);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) sum += v[j] * v[j];
  }
  const C r = C(1) / sqrt_(row_sum(sum) / C(columns) + C(epsilon));
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(x + base + c, columns - c, packed, v);
    load(w + c, columns - c, packed, g);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) v[j] = v[j] * r * g[j];
    store(y + base + c, columns - c, packed, v);
  }
  if (threadIdx.x == 0) rstd[n] = r;
}
#define RMS_NORM(T, S)                                                                               \
  KERNEL(256, rms_norm_##S)(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int columns,   \
                            double epsilon) {                                                        \
    rms_norm(x, w, y, rstd, rows, columns, epsilon);                                                 \
  }                                                                                                  \
  EXPORT(rms_norm_##S)
FOR_FLOATS(RMS_NORM)

/// With g = dy ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)).
template <class T>
DEV void rms_norm_backward(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int rows, int columns) {
  using C = Compute<T>;
  const int n = blockIdx.x * blockDim.y + threadIdx.y;
  if (n >= rows) return;
  const int64_t base = int64_t(n) * columns;
  const bool packed =
      columns % LANES<T> == 0 && is_aligned(dy) && is_aligned(x) && is_aligned(w) && is_aligned(dx);
  const C r = rstd[n];
  C sum = 0, d[LANES<T>], v[LANES<T>], g[LANES<T>];
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(dy + base + c, columns - c, packed, d);
    load(x + base + c, columns - c, packed, v);
    load(w + c, columns - c, packed, g);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) sum += d[j] * g[j] * v[j];
  }
  const C factor = row_sum(sum) * r * r / C(columns);
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(dy + base + c, columns - c, packed, d);
    load(x + base + c, columns - c, packed, v);
    load(w + c, columns - c, packed, g);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) v[j] = r * (d[j] * g[j] - v[j] * factor);
    store(dx + base + c, columns - c, packed, v);
  }
}
#define RMS_NORM_BACKWARD(T, S)                                                                      \
  KERNEL(256, rms_norm_backward_##S)(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int rows, \
                                     int columns) {                                                  \
    rms_norm_backward(dy, x, w, rstd, dx, rows, columns);                                            \
  }                                                                                                  \
  EXPORT(rms_norm_backward_##S)
FOR_FLOATS(RMS_NORM_BACKWARD)
