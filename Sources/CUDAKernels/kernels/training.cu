// Cross-entropy, random numbers, dropout, AdamW.
#include "prelude.cuh"

/// The target of a row that counts for nothing.
constexpr int IGNORED = -100;

/// Softmax cross-entropy of a row of logits; a block of up to 1,024 threads a row. With a scale, one number, the logits become
/// (softmax − onehot)·scale. Of an ignored row nll, correct and the gradient are 0; another target beyond the row gives NaN.
template <class T>
DEV void cross_entropy(T *logits, const int32_t *targets, int columns, const Compute<T> *gradient_scale,
                       Compute<T> *nll, uint8_t *correct) {
  using C = Compute<T>;
  __shared__ C largest_of[32];
  __shared__ int earlier_of[32];
  T *row = logits + int64_t(blockIdx.x) * columns;
  const int target = targets[blockIdx.x], lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const bool known = target >= 0 && target < columns;
  const C nan = C(bits_to_float(0x7fffffffu));
  C v[LANES<T>];
  const C target_logit = known ? up(row[target]) : nan;
  const bool packed = columns % LANES<T> == 0 && is_aligned(logits);
  if (target == IGNORED) {
    if (threadIdx.x == 0) {
      nll[blockIdx.x] = C(0);
      correct[blockIdx.x] = 0;
    }
    if (!gradient_scale) return;
    for (int j = 0; j < LANES<T>; ++j) v[j] = C(0);
    for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) store(row + c, columns - c, packed, v);
    return;
  }

  // In one pass the largest logit, Σ exp(v − the largest so far), and whether a column before the target has as large a one.
  C largest = C(-3e38), sum = 0;
  int earlier = 0;
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(row + c, columns - c, packed, v);
    C top = largest;
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j)
      if (c + j < columns) {
        top = larger(top, v[j]);
        if (v[j] >= target_logit && c + j < target) earlier = 1;
      }
    sum *= exp_(largest - top);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j)
      if (c + j < columns) sum += exp_(v[j] - top);
    largest = top;
  }
  const C mine = largest;
  largest = warp_max(largest);
  for (int o = 16; o > 0; o >>= 1) earlier |= __shfl_xor_sync(0xffffffffu, earlier, o);
  if (lane == 0) {
    largest_of[warp] = largest;
    earlier_of[warp] = earlier;
  }
  __syncthreads();
  largest = largest_of[0];
  earlier = earlier_of[0];
  for (int w = 1; w < int(blockDim.x >> 5); ++w) {
    largest = larger(largest, largest_of[w]);
    earlier |= earlier_of[w];
  }
  const C total = row_sum(sum * exp_(mine - largest));
  if (threadIdx.x == 0) {
    nll[blockIdx.x] = log_(total) - (target_logit - largest);
    correct[blockIdx.x] = known && target_logit == largest && !earlier;
  }
  if (!gradient_scale) return;
  const C inverse = C(1) / total, scale = known ? *gradient_scale : nan;
  for (int c = threadIdx.x * LANES<T>; c < columns; c += blockDim.x * LANES<T>) {
    load(row + c, columns - c, packed, v);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) {
      const C p = exp_(v[j] - largest) * inverse;
      v[j] = (c + j == target ? p - C(1) : p) * scale;
    }
    store(row + c, columns - c, packed, v);
  }
}
#define CROSS_ENTROPY(T, S)                                                                          \
  KERNEL(1024, cross_entropy_##S)(T *logits, const int32_t *targets, int columns,                      \
                                 const Compute<T> *gradient_scale, Compute<T> *nll, uint8_t *correct) { \
    cross_entropy(logits, targets, columns, gradient_scale, nll, correct);                           \
  }                                                                                                  \
  EXPORT(cross_entropy_##S)
FOR_FLOATS(CROSS_ENTROPY)

/// A sequence of random numbers: key (seed) and the two upper words of the counter.
struct Stream {
  uint64_t seed;
  uint32_t stream, offset;
};

/// Philox 4×32-10 (Salmon et al. 2011), block `block` of a sequence.
DEV void philox(Stream s, uint64_t block, uint32_t (&c)[4]) {
  c[0] = uint32_t(block);
  c[1] = uint32_t(block >> 32);
  c[2] = s.stream;
  c[3] = s.offset;
  uint32_t k0 = uint32_t(s.seed), k1 = uint32_t(s.seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    if (round) {
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    const uint64_t p0 = uint64_t(c[0]) * 0xD2511F53u, p1 = uint64_t(c[2]) * 0xCD9E8D57u;
    const uint32_t a = uint32_t(p1 >> 32) ^ c[1] ^ k0, b = uint32_t(p0 >> 32) ^ c[3] ^ k1;
    c[0] = a;
    c[1] = uint32_t(p1);
    c[2] = b;
    c[3] = uint32_t(p0);
  }
}

/// low + (high − low)·u with 24 bits, the same numbers in every type.
#define UNIFORM(T, S)                                                                                \
  KERNEL(256, uniform_##S)(T *y, int64_t n, double low, double high, Stream stream) {                \
    const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;                            \
    if (4 * block >= n) return;                                                                      \
    uint32_t w[4];                                                                                   \
    philox(stream, block, w);                                                                        \
    const double span = add_rn(high, -low);                                                          \
    for (int i = 0; i < 4; ++i) {                                                                    \
      const double v = add_rn(low, mul_rn(mul_rn(span, double(w[i] >> 8)), 1.0 / 16777216.0));       \
      if (4 * block + i < n) y[4 * block + i] = down<T>(Compute<T>(v));                              \
    }                                                                                                \
  }                                                                                                  \
  EXPORT(uniform_##S)
FOR_FLOATS(UNIFORM)

/// Box & Muller: two uniforms, the first never 0, give two normals.
#define NORMAL(T, S)                                                                                 \
  KERNEL(256, normal_##S)(T *y, int64_t n, double mean, double deviation, Stream stream) {           \
    const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;                            \
    if (4 * block >= n) return;                                                                      \
    uint32_t w[4];                                                                                   \
    philox(stream, block, w);                                                                        \
    for (int pair = 0; pair < 2; ++pair) {                                                           \
      const double u = (double(w[2 * pair]) + 1) * (1.0 / 4294967296.0);                             \
      const double angle = mul_rn(mul_rn(2 * 3.14159265358979323846, double(w[2 * pair + 1])), 1.0 / 4294967296.0); \
      const double radius = sqrt_(-2 * log_(u));                                                     \
      const double values[2] = {add_rn(mean, mul_rn(mul_rn(deviation, radius), cos(angle))),         \
                                add_rn(mean, mul_rn(mul_rn(deviation, radius), sin(angle)))};        \
      for (int i = 0; i < 2; ++i)                                                                    \
        if (4 * block + 2 * pair + i < n) y[4 * block + 2 * pair + i] = down<T>(Compute<T>(values[i])); \
    }                                                                                                \
  }                                                                                                  \
  EXPORT(normal_##S)
FOR_FLOATS(NORMAL)

/// y ← x·mask / (1 − p). Element i looks at 16 bits: half i mod 2 of word (i mod 8) / 2 of block i / 8; below the
/// threshold it is dropped. Where there is an advance, the stream is used so much further than its offset says.
template <class T>
DEV void dropout(const T *x, T *y, int64_t n, uint32_t threshold, double factor, Stream stream, const uint32_t *advance) {
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, i = 8 * block;
  if (i >= n) return;
  with_known(is_aligned(x) && is_aligned(y) && n - i >= 8, [&](auto whole) {
    const int64_t rest = whole.value ? 8 : n - i;
    Compute<T> v[8];
    load8(x + i, rest, whole.value, v);
    Stream used = stream;
    if (advance) used.offset += *advance;
    uint32_t w[4];
    philox(used, block, w);
    const Compute<T> kept = Compute<T>(factor);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const uint32_t bits = j & 1 ? w[j >> 1] >> 16 : w[j >> 1] & 0xffffu;
      v[j] *= bits >= threshold ? kept : Compute<T>(0);
    }
    store8(y + i, rest, whole.value, v);
  });
}
#define DROPOUT(T, S)                                                                                \
  KERNEL(256, dropout_##S)(const T *x, T *y, int64_t n, uint32_t threshold, double factor, Stream stream, \
                           const uint32_t *advance) {                                                \
    dropout(x, y, n, threshold, factor, stream, advance);                                            \
  }                                                                                                  \
  EXPORT(dropout_##S)
FOR_FLOATS(DROPOUT)

/// Coefficients of a step, already in the forms that the update needs.
struct AdamW {
  double beta1, beta2, rest1, rest2, decay, step_size, correction, epsilon;
};

/// A parameter of many; `first_block` is the first block of threads that works on it.
template <class P, class G> struct AdamWEntry {
  P *p;
  const G *g;
  Compute<P> *first, *second;
  int64_t n, first_block;
  AdamW a;
};

/// m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p·decay − stepSize·m / (√v / correction + ε). A block for 1,024 elements
/// of a parameter.
#define ADAMW(P, SP, G, SG)                                                                          \
  KERNEL(256, adamw_##SP##_##SG)(const AdamWEntry<P, G> *entries, int count) {                       \
    using C = Compute<P>;                                                                            \
    const AdamWEntry<P, G> &e = entry_of_block(entries, count);                                      \
    const AdamW a = e.a;                                                                             \
    const int64_t base = (int64_t(blockIdx.x) - e.first_block) * 1024 + threadIdx.x;                 \
    for (int64_t i = base; i < e.n && i < base + 1024; i += 256) {                                   \
      const C gradient = up(e.g[i]);                                                                 \
      const C m = e.first[i] * C(a.beta1) + gradient * C(a.rest1);                                   \
      const C v = e.second[i] * C(a.beta2) + gradient * gradient * C(a.rest2);                       \
      e.first[i] = m;                                                                                \
      e.second[i] = v;                                                                               \
      const C value = up(e.p[i]) * C(a.decay);                                                       \
      e.p[i] = down<P>(value - C(a.step_size) * (m / (sqrt_(v) / C(a.correction) + C(a.epsilon))));  \
    }                                                                                                \
  }                                                                                                  \
  EXPORT(adamw_##SP##_##SG)
ADAMW(float, f32, float, f32)
ADAMW(double, f64, double, f64)
ADAMW(bf16, bf16, float, f32)

/// The numbers of the signed and of the unsigned map, and the codes of 65,536 points of [−1, 1] in each.
struct DynamicMaps {
  float values[2][256];
  uint8_t codes[2][65536];
};

/// A moment in 8 bits: codes, and the scale of each block of 256 of them.
struct Moment8 {
  uint8_t *codes;
  float *scales;
};

/// Coefficients of a step, rounded as torch rounds them.
struct AdamW8 {
  float beta1, beta2, rest1, rest2, decay, step_size, correction, epsilon;
};

/// A parameter of many, as AdamWEntry.
template <class P> struct AdamW8Entry {
  P *p;
  const float *g;
  Moment8 first, second;
  int64_t n, first_block;
  AdamW8 a;
};

/// Keeps a number for each thread of a block: the largest magnitude is the scale of all. Everyone has read the scale before
/// it is written: there is a barrier between.
DEV void keep_moment(float value, bool there, Moment8 moment, const uint8_t *code_of_point, int64_t i) {
  __shared__ float largest_of[8];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const float magnitude = value < 0 ? -value : value;
  // What is not a number is passed over.
  float largest = warp_max(there && magnitude > 0 ? magnitude : 0.f);
  if (lane == 0) largest_of[warp] = largest;
  __syncthreads();
  largest = largest_of[0];
  for (int w = 1; w < 8; ++w) largest = larger(largest, largest_of[w]);
  if (threadIdx.x == 0) moment.scales[i / 256] = largest;
  // Below 2⁻¹²⁶ the reciprocal may be infinite: times 0 that is not a number, whose code is 0.
  const float point = add_rn(mul_rn(add_rn(mul_rn(value, 1.f / largest), 1.f), 32767.5f), 0.5f);
  const int index = point >= 65535.f ? 65535 : point >= 0.f ? int(point) : 0;
  if (there) moment.codes[i] = largest == 0.f ? uint8_t(0) : code_of_point[index];
}

/// AdamW on moments in 8 bits, to the bit as on the CPU: a block of threads for a block of 256 numbers. torch rounds a product
/// and the sum it is part of once; the product of two floats is exact in double.
#define ADAMW_8BIT(P, S)                                                                             \
  KERNEL(256, adamw_8bit_##S)(const AdamW8Entry<P> *entries, int count, const DynamicMaps *maps) {   \
    const AdamW8Entry<P> &e = entry_of_block(entries, count);                                        \
    const AdamW8 a = e.a;                                                                            \
    const Moment8 first = e.first, second = e.second;                                                \
    const int64_t block = int64_t(blockIdx.x) - e.first_block, i = block * 256 + threadIdx.x;        \
    const bool there = i < e.n;                                                                      \
    float m = 0, v = 0;                                                                              \
    if (there) {                                                                                     \
      m = mul_rn(mul_rn(maps->values[0][first.codes[i]], first.scales[block]), a.beta1);             \
      v = mul_rn(mul_rn(maps->values[1][second.codes[i]], second.scales[block]), a.beta2);           \
      const double gradient = e.g[i];                                                                \
      m = float(add_rn(mul_rn(gradient, double(a.rest1)), double(m)));                               \
      v = float(add_rn(mul_rn(double(mul_rn(a.rest2, e.g[i])), gradient), double(v)));               \
      const float change = mul_rn(a.step_size, m) / add_rn(sqrt_(v) / a.correction, a.epsilon);      \
      e.p[i] = down<P>(add_rn(mul_rn(up(e.p[i]), a.decay), -change));                                \
    }                                                                                                \
    keep_moment(m, there, first, maps->codes[0], i);                                                 \
    __syncthreads();                                                                                 \
    keep_moment(v, there, second, maps->codes[1], i);                                                \
  }                                                                                                  \
  EXPORT(adamw_8bit_##S)
ADAMW_8BIT(float, f32)
ADAMW_8BIT(bf16, bf16)
