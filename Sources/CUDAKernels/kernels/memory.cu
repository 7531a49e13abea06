// Fills, conversions and copies of strided arrays.
#include "prelude.cuh"

#define FILL(T, S)                                                              \
  KERNEL(256, fill_##S)(uint64_t bits, T *y, int64_t n) {                       \
    const int64_t step = int64_t(gridDim.x) * blockDim.x;                       \
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) y[i] = T(bits); \
  }                                                                             \
  EXPORT(fill_##S)
FILL(uint8_t, b8)
FILL(uint16_t, b16)
FILL(uint32_t, b32)
FILL(uint64_t, b64)

template <class A> struct Source {
  static DEV_INLINE A get(A v) { return v; }
};
template <> struct Source<bf16> {
  static DEV_INLINE float get(bf16 v) { return wide(v); }
};

/// IEEE half precision, which weights of checkpoints are kept in: nothing but this file reads it.
struct __align__(2) f16 {
  uint16_t bits;
};
template <> struct Source<f16> {
  static DEV_INLINE float get(f16 v) {
    const uint32_t sign = uint32_t(v.bits & 0x8000) << 16, magnitude = v.bits & 0x7fff;
    if (magnitude >= 0x7c00) return bits_to_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    if (magnitude >= 0x400) return bits_to_float(sign | ((magnitude << 13) + 0x38000000));
    // A subnormal is a whole number of 2⁻²⁴.
    return bits_to_float(sign | float_to_bits(float(magnitude) * 5.9604644775390625e-8f));
  }
};

/// y ← x, converted. Four elements a thread, a block apart, so that neighbours read neighbours.
#define CAST(A, SA, B, SB)                                                       \
  KERNEL(256, cast_##SA##_##SB)(const A *x, B *y, int64_t n) {                   \
    const int64_t base = int64_t(blockIdx.x) * blockDim.x * 4 + threadIdx.x;     \
    for (int j = 0; j < 4; ++j) {                                                \
      const int64_t i = base + j * int64_t(blockDim.x);                          \
      if (i < n) y[i] = down<B>(Source<A>::get(x[i]));                           \
    }                                                                            \
  }                                                                              \
  EXPORT(cast_##SA##_##SB)
CAST(float, f32, double, f64)
CAST(float, f32, bf16, bf16)
CAST(double, f64, float, f32)
CAST(double, f64, bf16, bf16)
CAST(bf16, bf16, float, f32)
CAST(bf16, bf16, double, f64)
CAST(f16, f16, float, f32)
CAST(f16, f16, double, f64)
CAST(f16, f16, bf16, bf16)
CAST(int32_t, i32, float, f32)
CAST(int32_t, i32, double, f64)
CAST(uint8_t, u8, float, f32)
CAST(uint8_t, u8, double, f64)
CAST(uint8_t, u8, int32_t, i32)

struct Dims {
  int64_t v[8];
};

/// y (dense) ← x read with strides; axis 0 is the innermost.
#define COPY_STRIDED(T, S)                                                               \
  KERNEL(256, copy_strided_##S)(const T *x, T *y, int64_t n, int rank, Dims extents, Dims strides) { \
    const int64_t step = int64_t(gridDim.x) * blockDim.x;                                \
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) { \
      int64_t rest = i, offset = 0;                                                      \
      _Pragma("unroll") for (int axis = 0; axis < 8; ++axis) if (axis < rank) {          \
        offset += rest % extents.v[axis] * strides.v[axis];                              \
        rest /= extents.v[axis];                                                         \
      }                                                                                  \
      y[i] = x[offset];                                                                  \
    }                                                                                    \
  }                                                                                      \
  EXPORT(copy_strided_##S)
COPY_STRIDED(uint8_t, b8)
COPY_STRIDED(uint16_t, b16)
COPY_STRIDED(uint32_t, b32)
COPY_STRIDED(uint64_t, b64)

/// Each row of y, `stride` elements from the one before, ← the row of x [rows, columns] and then factor · the row of h [rows, rank]. What
/// is left of a row stays as it is. Block (32, 8): a warp a row.
template <class T>
DEV void join_rows(const T *x, const T *h, T *y, int rows, int columns, int rank, int stride, double factor) {
  const int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const T *from = x + int64_t(row) * columns;
  T *to = y + int64_t(row) * stride;
  const bool packed = is_aligned(x) && is_aligned(y) && columns % LANES<T> == 0 && stride % LANES<T> == 0;
#pragma unroll 4
  for (int i = threadIdx.x * LANES<T>; i < columns; i += 32 * LANES<T>) {
    Compute<T> v[LANES<T>];
    load(from + i, columns - i, packed, v);
    store(to + i, columns - i, packed, v);
  }
  for (int i = threadIdx.x; i < rank; i += 32)
    to[columns + i] = down<T>(Compute<T>(factor) * up(h[int64_t(row) * rank + i]));
}
#define JOIN_ROWS(T, S)                                                                                       \
  KERNEL(256, join_rows_##S)(const T *x, const T *h, T *y, int rows, int columns, int rank, int stride, double factor) { \
    join_rows(x, h, y, rows, columns, rank, stride, factor);                                                  \
  }                                                                                                           \
  EXPORT(join_rows_##S)
FOR_FLOATS(JOIN_ROWS)
