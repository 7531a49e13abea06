// Element by element: sixteen bytes a thread.
#include "prelude.cuh"

template <class T, class F> DEV void map(const T *x, T *y, int64_t n, F f) {
  const int64_t i = first_lane<T>();
  if (i >= n) return;
  with_known(is_aligned(x) && is_aligned(y) && n - i >= LANES<T>, [&](auto whole) {
    const int64_t rest = whole.value ? LANES<T> : n - i;
    Compute<T> v[LANES<T>];
    load(x + i, rest, whole.value, v);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) v[j] = f(v[j]);
    store(y + i, rest, whole.value, v);
  });
}

template <class T, class F> DEV void zip(const T *a, const T *b, T *y, int64_t n, F f) {
  const int64_t i = first_lane<T>();
  if (i >= n) return;
  with_known(is_aligned(a) && is_aligned(b) && is_aligned(y) && n - i >= LANES<T>, [&](auto whole) {
    const int64_t rest = whole.value ? LANES<T> : n - i;
    Compute<T> v[LANES<T>], w[LANES<T>];
    load(a + i, rest, whole.value, v);
    load(b + i, rest, whole.value, w);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) v[j] = f(v[j], w[j]);
    store(y + i, rest, whole.value, v);
  });
}

template <class C> DEV C sigmoid(C v) { return C(1) / (C(1) + exp_(-v)); }

/// 0 −x, 1 eˣ, 2 σ(x), 3 x·σ(x), 4 x², 5 √x.
template <class C> DEV C apply_unary(int op, C v) {
  switch (op) {
    case 0: return -v;
    case 1: return exp_(v);
    case 2: return sigmoid(v);
    case 3: return v / (C(1) + exp_(-v));
    case 4: return v * v;
    default: return sqrt_(v);
  }
}

/// 0 a + b, 1 a − b, 2 a·b, 3 a / b.
template <class C> DEV C apply_binary(int op, C a, C b) {
  switch (op) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    default: return a / b;
  }
}

#define UNARY(T, S)                                                                         \
  KERNEL(256, unary_##S)(int op, const T *x, T *y, int64_t n) {                             \
    map(x, y, n, [op](Compute<T> v) { return apply_unary(op, v); });                        \
  }                                                                                         \
  EXPORT(unary_##S)
FOR_FLOATS(UNARY)

#define BINARY(T, S)                                                                        \
  KERNEL(256, binary_##S)(int op, const T *a, const T *b, T *y, int64_t n) {                \
    zip(a, b, y, n, [op](Compute<T> v, Compute<T> w) { return apply_binary(op, v, w); });   \
  }                                                                                         \
  EXPORT(binary_##S)
FOR_FLOATS(BINARY)

#define SCALE(T, S)                                                                         \
  KERNEL(256, scale_##S)(const T *x, T *y, int64_t n, double alpha) {                       \
    const Compute<T> factor = Compute<T>(alpha);                                            \
    map(x, y, n, [factor](Compute<T> v) { return v * factor; });                            \
  }                                                                                         \
  EXPORT(scale_##S)
FOR_FLOATS(SCALE)

/// Every x ← α·x. A block for 4,096 elements of a tensor.
#define SCALE_ALL(T, S)                                                                     \
  KERNEL(256, scale_all_##S)(const Run<T> *runs, int count, double alpha) {                 \
    const Run<T> &run = entry_of_block(runs, count);                                        \
    const int64_t base = (int64_t(blockIdx.x) - run.first_block) * 4096 + threadIdx.x;      \
    for (int j = 0; j < 16; ++j) {                                                          \
      const int64_t i = base + j * 256;                                                     \
      if (i < run.n) run.x[i] = down<T>(up(run.x[i]) * Compute<T>(alpha));                  \
    }                                                                                       \
  }                                                                                         \
  EXPORT(scale_all_##S)
FOR_FLOATS(SCALE_ALL)

/// y ← y + α·x, x and y of any two float types that compute in the same one. Eight elements a thread.
template <class A, class B> DEV void axpy(const A *x, B *y, int64_t n, double alpha) {
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
  if (i >= n) return;
  const Compute<B> factor = Compute<B>(alpha);
  with_known(is_aligned(x) && is_aligned(y) && n - i >= 8, [&](auto whole) {
    const int64_t rest = whole.value ? 8 : n - i;
    Compute<B> v[8], w[8];
    load8(x + i, rest, whole.value, v);
    load8(y + i, rest, whole.value, w);
#pragma unroll
    for (int j = 0; j < 8; ++j) w[j] += v[j] * factor;
    store8(y + i, rest, whole.value, w);
  });
}
#define AXPY(A, SA, B, SB)                                                                  \
  KERNEL(256, axpy_##SA##_##SB)(const A *x, B *y, int64_t n, double alpha) { axpy(x, y, n, alpha); } \
  EXPORT(axpy_##SA##_##SB)
AXPY(float, f32, float, f32)
AXPY(double, f64, double, f64)
AXPY(bf16, bf16, bf16, bf16)
AXPY(bf16, bf16, float, f32)
AXPY(float, f32, bf16, bf16)

/// y[n, c] ← x[n, c] ∘ row[c]. Grid: (columns, rows).
#define ROW_BINARY(T, S)                                                                    \
  KERNEL(256, row_binary_##S)(int op, const T *x, const T *row, T *y, int rows, int columns) { \
    const int c = int(first_lane<T>());                                                     \
    if (c >= columns) return;                                                               \
    const bool packed = columns % LANES<T> == 0 && is_aligned(x) && is_aligned(y) && is_aligned(row); \
    Compute<T> r[LANES<T>];                                                                 \
    load(row + c, columns - c, packed, r);                                                  \
    for (int n = blockIdx.y; n < rows; n += gridDim.y) {                                    \
      const int64_t at = int64_t(n) * columns + c;                                          \
      Compute<T> v[LANES<T>];                                                               \
      load(x + at, columns - c, packed, v);                                                 \
      for (int j = 0; j < LANES<T>; ++j) v[j] = apply_binary(op, v[j], r[j]);               \
      store(y + at, columns - c, packed, v);                                                \
    }                                                                                       \
  }                                                                                         \
  EXPORT(row_binary_##S)
FOR_FLOATS(ROW_BINARY)

/// σ(v), for results of type T.
template <class T> struct Logistic {
  static DEV_INLINE Compute<T> of(Compute<T> v) {
    using C = Compute<T>;
    const C e = exp_(-larger(v, -v)), high = C(1) / (C(1) + e);
    return v < C(0) ? e * high : high;
  }
  /// σ(−v), exact where it is small.
  static DEV_INLINE Compute<T> rest(Compute<T> v, Compute<T>) { return of(-v); }
};
/// bfloat16 rounds to 8 bits, so that approximations with 22 are enough, at a third of the instructions.
template <> struct Logistic<bf16> {
  static DEV_INLINE float of(float v) { return fast_reciprocal(1.f + fast_exp2(v * -1.4426950408889634f)); }
  static DEV_INLINE float rest(float, float s) { return 1.f - s; }
};

/// y ← silu(gate) ⊙ up.
#define SWIGLU(T, S)                                                                        \
  KERNEL(256, swiglu_##S)(const T *gate, const T *up_, T *y, int64_t n) {                   \
    zip(gate, up_, y, n, [](Compute<T> g, Compute<T> u) { return g * Logistic<T>::of(g) * u; }); \
  }                                                                                         \
  EXPORT(swiglu_##S)
FOR_FLOATS(SWIGLU)

/// dGate ← dy ⊙ up ⊙ silu′(gate), dUp ← dy ⊙ silu(gate), with silu′(g) = σ(g) + g·σ(g)·σ(−g).
template <class T>
DEV void swiglu_backward(const T *dy, const T *gate, const T *up_, T *dgate, T *dup, int64_t n) {
  using C = Compute<T>;
  const int64_t i = first_lane<T>();
  if (i >= n) return;
  const bool aligned = is_aligned(dy) && is_aligned(gate) && is_aligned(up_) && is_aligned(dgate) && is_aligned(dup);
  // In float64 two bodies are too long for the registers.
  with_known(sizeof(T) < 8 && aligned && n - i >= LANES<T>, [&](auto whole) {
    const int64_t rest = whole.value ? LANES<T> : n - i;
    C d[LANES<T>], g[LANES<T>], u[LANES<T>];
    load(dy + i, rest, whole.value, d);
    load(gate + i, rest, whole.value, g);
    load(up_ + i, rest, whole.value, u);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) {
      const C s = Logistic<T>::of(g[j]), silu = g[j] * s;
      g[j] = d[j] * u[j] * (s + silu * Logistic<T>::rest(g[j], s));
      u[j] = d[j] * silu;
    }
    store(dgate + i, rest, whole.value, g);
    store(dup + i, rest, whole.value, u);
  });
}
#define SWIGLU_BACKWARD(T, S)                                                               \
  KERNEL(256, swiglu_backward_##S)(const T *dy, const T *gate, const T *up_, T *dgate, T *dup, int64_t n) { \
    swiglu_backward(dy, gate, up_, dgate, dup, n);                                          \
  }                                                                                         \
  EXPORT(swiglu_backward_##S)
FOR_FLOATS(SWIGLU_BACKWARD)
