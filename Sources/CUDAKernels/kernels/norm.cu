// RMSNorm forward and backward. Block (32, 8) for short rows: a warp a row; (threads, 1) for long ones: a block a row. Where sixteen bytes
// for each thread are a whole row, it is read once.
#include "prelude.cuh"

/// y = x·rstd·w, rstd = 1 / √(mean x² + ε).
template <class T>
DEV void rms_norm(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int columns, double epsilon) {
  using C = Compute<T>;
  const int n = blockIdx.x * blockDim.y + threadIdx.y, step = blockDim.x * LANES<T>;
  if (n >= rows) return;  // a whole warp, or nobody
  x += int64_t(n) * columns;
  y += int64_t(n) * columns;
  const bool packed = columns % LANES<T> == 0 && is_aligned(x) && is_aligned(y) && is_aligned(w);
  C r = 0;
  auto scale = [&](C sum) { r = C(1) / sqrt_(row_sum(sum) / C(columns) + C(epsilon)); };
  with_known(packed, [&](auto whole) {
    C sum = 0, v[LANES<T>] = {}, g[LANES<T>];
    for (int c = threadIdx.x * LANES<T>; c < columns; c += step) {
      load(x + c, whole.value ? LANES<T> : columns - c, whole.value, v);
#pragma unroll
      for (int j = 0; j < LANES<T>; ++j) sum += v[j] * v[j];
    }
    scale(sum);
    for (int c = threadIdx.x * LANES<T>; c < columns; c += step) {
      const int rest = whole.value ? LANES<T> : columns - c;
      load(w + c, rest, whole.value, g);
      if (step < columns) load(x + c, rest, whole.value, v);
#pragma unroll
      for (int j = 0; j < LANES<T>; ++j) v[j] = v[j] * r * g[j];
      store(y + c, rest, whole.value, v);
    }
  });
  if (threadIdx.x == 0) rstd[n] = r;
}
#define RMS_NORM(T, S)                                                                               \
  KERNEL(640, rms_norm_##S)(const T *x, const T *w, T *y, Compute<T> *rstd, int rows, int columns,  \
                             double epsilon) {                                                       \
    rms_norm(x, w, y, rstd, rows, columns, epsilon);                                                 \
  }                                                                                                  \
  EXPORT(rms_norm_##S)
FOR_FLOATS(RMS_NORM)

/// With g = dy ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)).
template <class T>
DEV void rms_norm_backward(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int rows, int columns) {
  using C = Compute<T>;
  const int n = blockIdx.x * blockDim.y + threadIdx.y, step = blockDim.x * LANES<T>;
  if (n >= rows) return;
  const int64_t base = int64_t(n) * columns;
  const bool packed =
      columns % LANES<T> == 0 && is_aligned(dy) && is_aligned(x) && is_aligned(w) && is_aligned(dx);
  const C r = rstd[n];
  with_known(packed, [&](auto whole) {
    C sum = 0, d[LANES<T>], v[LANES<T>], g[LANES<T>] = {};
    // g ← dy ⊙ w.
    auto read = [&](int c) {
      const int rest = whole.value ? LANES<T> : columns - c;
      load(dy + base + c, rest, whole.value, d);
      load(x + base + c, rest, whole.value, v);
      load(w + c, rest, whole.value, g);
#pragma unroll
      for (int j = 0; j < LANES<T>; ++j) g[j] *= d[j];
    };
    for (int c = threadIdx.x * LANES<T>; c < columns; c += step) {
      read(c);
#pragma unroll
      for (int j = 0; j < LANES<T>; ++j) sum += g[j] * v[j];
    }
    const C factor = row_sum(sum) * r * r / C(columns);
    for (int c = threadIdx.x * LANES<T>; c < columns; c += step) {
      if (step < columns) read(c);
#pragma unroll
      for (int j = 0; j < LANES<T>; ++j) v[j] = r * (g[j] - v[j] * factor);
      store(dx + base + c, whole.value ? LANES<T> : columns - c, whole.value, v);
    }
  });
}
#define RMS_NORM_BACKWARD(T, S)                                                                      \
  KERNEL(640, rms_norm_backward_##S)(const T *dy, const T *x, const T *w, const Compute<T> *rstd, T *dx, int rows, \
                                      int columns) {                                                 \
    rms_norm_backward(dy, x, w, rstd, dx, rows, columns);                                            \
  }                                                                                                  \
  EXPORT(rms_norm_backward_##S)
FOR_FLOATS(RMS_NORM_BACKWARD)
