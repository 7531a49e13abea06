// NF4: from numbers to codes and back, to the bit as on the CPU.
#include "prelude.cuh"

/// The levels of NF4 (Dettmers et al. 2023).
DEV float nf4_level(int code) {
  const float levels[16] = {-1.f,
                            -0.6961928009986877f,
                            -0.5250730514526367f,
                            -0.39491748809814453f,
                            -0.28444138169288635f,
                            -0.18477343022823334f,
                            -0.09105003625154495f,
                            0.f,
                            0.07958029955625534f,
                            0.16093020141124725f,
                            0.24611230194568634f,
                            0.33791524171829224f,
                            0.44070982933044434f,
                            0.5626170039176941f,
                            0.7229568362236023f,
                            1.f};
  return levels[code];
}

/// Codes and scales, a warp a block of `size` elements. A whole block is multiplied by the reciprocal of its scale, a
/// short last one is divided, as bitsandbytes does it.
template <class T> DEV void quantize_nf4(const T *x, uint8_t *codes, float *absmax, int64_t n, int size) {
  __shared__ float points[16];
  const int tid = threadIdx.y * 32 + threadIdx.x;
  if (tid < 15) points[tid] = add_rn(nf4_level(tid), nf4_level(tid + 1)) / 2;
  __syncthreads();
  const int64_t block = int64_t(blockIdx.x) * blockDim.y + threadIdx.y, start = block * size;
  if (start >= n) return;
  const int length = int(n - start < size ? n - start : size);
  uint32_t largest = 0;  // as integers, magnitudes are in the order of the numbers, and NaN is the largest
  for (int i = threadIdx.x; i < length; i += 32) largest = larger(largest, float_to_bits(up(x[start + i])) & 0x7fffffffu);
  largest = warp_max(largest);
  const float smallest = bits_to_float(0x006CE3EEu), top = bits_to_float(largest);  // 10⁻³⁸
  const float scale = top >= smallest || top != top ? top : smallest;
  const bool whole = length == size;
  const float factor = 1.f / scale;
  if (threadIdx.x == 0) absmax[block] = whole ? top : scale;
  for (int pair = threadIdx.x; 2 * pair < length; pair += 32) {
    uint32_t code[2] = {0, 7};  // 7 is 0, which fills the last byte of an odd number of elements
    for (int h = 0; h < 2; ++h) {
      const int i = 2 * pair + h;
      if (i >= length) continue;
      const float v = up(x[start + i]), scaled = whole ? mul_rn(v, factor) : v / scale;
      code[h] = 0;
      for (int p = 0; p < 15; ++p) code[h] += scaled > points[p];
    }
    codes[start / 2 + pair] = uint8_t(code[0] << 4 | code[1]);
  }
}
#define QUANTIZE_NF4(T, S)                                                                          \
  KERNEL(256, quantize_nf4_##S)(const T *x, uint8_t *codes, float *absmax, int64_t n, int size) {   \
    quantize_nf4(x, codes, absmax, n, size);                                                        \
  }                                                                                                 \
  EXPORT(quantize_nf4_##S)
QUANTIZE_NF4(float, f32)
QUANTIZE_NF4(bf16, bf16)

/// The scales of blocks: plain, or codes of 8 bits by a book, scales of 256 of them, and an offset.
struct Scales {
  const float *plain;
  const uint8_t *codes;
  const float *book, *nested;
  float offset;
};
DEV float scale_of(const Scales &s, int64_t block) {
  return s.plain ? s.plain[block] : add_rn(mul_rn(s.book[s.codes[block]], s.nested[block >> 8]), s.offset);
}

/// y[i] ← level · scale of element first + i. Eight elements a thread: four bytes of codes and one scale. With a gap, which is a multiple
/// of 8 as `columns` then is, the elements of each row of fewer than 2³² in all lie so much further than those of the one before.
template <class T>
DEV void dequantize_nf4(const uint8_t *codes, const float *book, Scales scales, int shift, int64_t first, int64_t n, T *y,
                        int columns, int gap) {
  __shared__ float levels[16];
  if (threadIdx.x < 16) levels[threadIdx.x] = book[threadIdx.x];
  __syncthreads();
  const int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
  if (i >= n) return;
  const int64_t e = first + i;
  float v[8];
  if ((e & 7) == 0 && i + 8 <= n && (reinterpret_cast<uint64_t>(codes) & 3) == 0) {
    const uint32_t word = reinterpret_cast<const uint32_t *>(codes)[e >> 3];
    const float scale = scale_of(scales, e >> shift);  // blocks have at least 32 elements
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = mul_rn(levels[word >> (8 * (j >> 1) + (j & 1 ? 0 : 4)) & 15], scale);
  } else {
    for (int j = 0; j < 8; ++j) {
      if (i + j >= n) break;
      const uint8_t byte = codes[(e + j) >> 1];
      v[j] = mul_rn(levels[(e + j) & 1 ? byte & 15 : byte >> 4], scale_of(scales, (e + j) >> shift));
    }
  }
  const bool packed = is_aligned(y);
  if (gap) y += int64_t(uint32_t(i) / uint32_t(columns)) * gap;
  Compute<T> w[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) w[j] = Compute<T>(v[j]);
  store8(y + i, n - i, packed, w);
}
#define DEQUANTIZE_NF4(T, S)                                                                        \
  KERNEL(256, dequantize_nf4_##S)(const uint8_t *codes, const float *book, Scales scales, int shift, int64_t first, \
                                  int64_t n, T *y, int columns, int gap) {                          \
    dequantize_nf4(codes, book, scales, shift, first, n, y, columns, gap);                          \
  }                                                                                                 \
  EXPORT(dequantize_nf4_##S)
FOR_FLOATS(DEQUANTIZE_NF4)

/// c[q, r] ← Σ_k a[q, k]·W[r, k] + β·c[q, r] for up to four rows of a (of those from 4·blockIdx.y on): each number of W is
/// read once and rounded to T, as when it is unpacked. Block (32, 8): a warp a row of W. columns is a multiple of 8, and so
/// is the number of codes before a row.
template <class T>
DEV void nf4_rows(const T *a, const uint8_t *codes, const float *book, Scales scales, int shift, T *c, int m, int rows,
                  int columns, double beta) {
  using C = Compute<T>;
  __shared__ float levels[16];
  if (threadIdx.y == 0 && threadIdx.x < 16) levels[threadIdx.x] = book[threadIdx.x];
  __syncthreads();
  const int row = blockIdx.x * blockDim.y + threadIdx.y, first = 4 * blockIdx.y;
  if (row >= rows) return;  // a whole warp, or nobody
  const int64_t begin = int64_t(row) * columns;
  const uint32_t *words = reinterpret_cast<const uint32_t *>(codes) + begin / 8;
  const bool packed = is_aligned(a) && columns % LANES<T> == 0;
  const int queries = m - first < 4 ? m - first : 4;
  C sums[4] = {};
  for (int k = threadIdx.x * 8; k < columns; k += 256) {
    const uint32_t word = words[k / 8];
    const float scale = scale_of(scales, (begin + k) >> shift);  // blocks have at least 32 elements
    C w[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) w[j] = up(down<T>(mul_rn(levels[word >> (8 * (j >> 1) + (j & 1 ? 0 : 4)) & 15], scale)));
#pragma unroll
    for (int q = 0; q < 4; ++q)
      if (q < queries) {
        C x[8];
        load8(a + int64_t(first + q) * columns + k, 8, packed, x);
#pragma unroll
        for (int j = 0; j < 8; ++j) sums[q] += x[j] * w[j];
      }
  }
#pragma unroll
  for (int q = 0; q < 4; ++q)
    if (q < queries) {
      const C sum = warp_sum(sums[q]);
      T *to = c + int64_t(first + q) * rows + row;
      if (threadIdx.x == 0) *to = down<T>(beta == 0 ? sum : sum + C(beta) * up(*to));
    }
}
#define NF4_ROWS(T, S)                                                                              \
  KERNEL(256, nf4_rows_##S)(const T *a, const uint8_t *codes, const float *book, Scales scales, int shift, T *c, int m, \
                            int rows, int columns, double beta) {                                   \
    nf4_rows(a, codes, book, scales, shift, c, m, rows, columns, beta);                             \
  }                                                                                                 \
  EXPORT(nf4_rows_##S)
FOR_FLOATS(NF4_ROWS)
