// What every kernel file begins with. The first part is the only place that knows which compiler reads it: NVRTC, or the
// C++ compiler of the emulator. What has no meaning in C++ (tensor-core instructions, ldmatrix, cp.async, conversions to
// bfloat16) is a function here with one body for each. No NVIDIA header is included anywhere.
#pragma once

#ifdef __CUDACC_RTC__

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef int int32_t;
typedef long long int64_t;

/// An entry of blocks of at most `threads` threads.
#define KERNEL(threads, name) extern "C" __global__ void __launch_bounds__(threads) name
/// Makes an entry known; the driver finds it by its name.
#define EXPORT(name)
#define DYNAMIC_SHARED(T, name)                              \
  extern __shared__ __align__(16) unsigned char dynamic_[]; \
  T *name = reinterpret_cast<T *>(dynamic_)
#define DEV static __device__ __forceinline__
/// The same for members.
#define DEV_INLINE __device__ __forceinline__

struct __align__(2) bf16 {
  uint16_t bits;
};

DEV float bits_to_float(uint32_t v) { return __uint_as_float(v); }
DEV uint32_t float_to_bits(float v) { return __float_as_uint(v); }
DEV float wide(bf16 v) { return __uint_as_float(uint32_t(v.bits) << 16); }
DEV bf16 to_bf16(float v) {
  bf16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
  return r;
}
DEV uint32_t pack_bf16(float lo, float hi) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
DEV float fast_exp2(float v) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
/// 1 / v, exact to the last place but one.
DEV float fast_reciprocal(float v) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
/// Products and sums that are rounded each, never contracted.
DEV float mul_rn(float a, float b) { return __fmul_rn(a, b); }
DEV float add_rn(float a, float b) { return __fadd_rn(a, b); }
DEV double mul_rn(double a, double b) { return __dmul_rn(a, b); }
DEV double add_rn(double a, double b) { return __dadd_rn(a, b); }

/// Where something lies in shared memory, counted in bytes: constants added to it become part of an instruction.
typedef uint32_t SharedAddress;
DEV SharedAddress shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
/// D = A·B + D, 16×8×16, bfloat16 operands, float32 sums, one warp.
DEV void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// Four 8×8 matrices from shared memory; lane l gives the row l mod 8 of matrix l / 8.
DEV void ldmatrix_x4(uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
/// The same, each matrix transposed.
DEV void ldmatrix_x4_trans(uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
/// 16-byte asynchronous copy from global to shared memory; writes zeros when it is not valid.
DEV void cp_async_16(SharedAddress dst, const void *src, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(dst), "l"(src),
               "r"(valid ? 16 : 0)
               : "memory");
}
DEV void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for all copies of this thread but the last N groups.
template <int N> DEV void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
/// Waits for all copies of this thread.
DEV void cp_async_wait_all() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#endif  // __CUDACC_RTC__; the emulator's emulation.h, included before, has the other bodies

// ---- Element types -------------------------------------------------------------------------------------------------

/// The type that kernels compute in: float for float and bfloat16, double for double.
template <class T> struct Element {
  using C = T;
};
template <> struct Element<bf16> {
  using C = float;
};
template <class T> using Compute = typename Element<T>::C;

DEV float up(float v) { return v; }
DEV double up(double v) { return v; }
DEV float up(bf16 v) { return wide(v); }

template <class T> struct Narrow {
  template <class V> static DEV_INLINE T from(V v) { return T(v); }
};
template <> struct Narrow<bf16> {
  template <class V> static DEV_INLINE bf16 from(V v) { return to_bf16(float(v)); }
};
/// A number of type T from one of any type, rounded to nearest even.
template <class T, class V> DEV T down(V v) { return Narrow<T>::from(v); }

DEV float exp_(float v) { return expf(v); }
DEV double exp_(double v) { return exp(v); }
DEV float log_(float v) { return logf(v); }
DEV double log_(double v) { return log(v); }
DEV float sqrt_(float v) { return sqrtf(v); }
DEV double sqrt_(double v) { return sqrt(v); }
template <class C> DEV C larger(C a, C b) { return a > b ? a : b; }

/// Expands M(type, suffix) for each float type.
#define FOR_FLOATS(M) \
  M(float, f32)       \
  M(double, f64)      \
  M(bf16, bf16)

// ---- Sixteen bytes at a time ----------------------------------------------------------------------------------------

/// Elements in sixteen bytes.
template <class T> constexpr int LANES = 16 / int(sizeof(T));

template <class T> struct __align__(16) Pack {
  T v[16 / sizeof(T)];
};

DEV bool is_aligned(const void *p) { return (reinterpret_cast<uint64_t>(p) & 15) == 0; }

/// LANES elements from p, of which `rest` are there; as one access where `packed` says that p allows it.
template <class T> DEV void load(const T *p, int64_t rest, bool packed, Compute<T> (&v)[LANES<T>]) {
  if (packed && rest >= LANES<T>) {
    const Pack<T> pack = *reinterpret_cast<const Pack<T> *>(p);
#pragma unroll
    for (int i = 0; i < LANES<T>; ++i) v[i] = up(pack.v[i]);
  } else {
#pragma unroll
    for (int i = 0; i < LANES<T>; ++i) v[i] = i < rest ? up(p[i]) : Compute<T>(0);
  }
}

/// LANES elements to p, where there is room for `rest`.
template <class T> DEV void store(T *p, int64_t rest, bool packed, const Compute<T> (&v)[LANES<T>]) {
  if (packed && rest >= LANES<T>) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < LANES<T>; ++i) pack.v[i] = down<T>(v[i]);
    *reinterpret_cast<Pack<T> *>(p) = pack;
  } else {
#pragma unroll
    for (int i = 0; i < LANES<T>; ++i)
      if (i < rest) p[i] = down<T>(v[i]);
  }
}

/// A condition that the compiler knows.
template <bool V> struct Known {
  static constexpr bool value = V;
};
/// Calls f with a condition that is the same for all its accesses, as a constant: behind branches of their own each would wait for the
/// one before.
template <class F> DEV void with_known(bool condition, F f) {
  if (condition) f(Known<true>{});
  else f(Known<false>{});
}

/// Eight elements from p, as `load` reads them.
template <class T> DEV void load8(const T *p, int64_t rest, bool packed, Compute<T> (&v)[8]) {
#pragma unroll
  for (int part = 0; part < 8 / LANES<T>; ++part) {
    Compute<T> w[LANES<T>];
    load(p + part * LANES<T>, rest - part * LANES<T>, packed, w);
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) v[part * LANES<T> + j] = w[j];
  }
}

/// Eight elements to p, as `store` writes them.
template <class T> DEV void store8(T *p, int64_t rest, bool packed, const Compute<T> (&v)[8]) {
#pragma unroll
  for (int part = 0; part < 8 / LANES<T>; ++part) {
    Compute<T> w[LANES<T>];
#pragma unroll
    for (int j = 0; j < LANES<T>; ++j) w[j] = v[part * LANES<T> + j];
    store(p + part * LANES<T>, rest - part * LANES<T>, packed, w);
  }
}

/// Index of the first element of this thread where each thread has LANES of them.
template <class T> DEV int64_t first_lane() {
  return (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * LANES<T>;
}

// ---- Lists ----------------------------------------------------------------------------------------------------------

/// The entry to which this block belongs: the last of `count` whose first block is not after it.
template <class E> DEV const E &entry_of_block(const E *entries, int count) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (entries[middle].first_block <= int64_t(blockIdx.x)) low = middle;
    else high = middle - 1;
  }
  return entries[low];
}

/// Elements of one tensor of many; `first_block` is the first block of threads that works on them.
template <class T> struct Run {
  T *x;
  int64_t n, first_block, index;
};

// ---- Sums of a block ------------------------------------------------------------------------------------------------

template <class C> DEV C warp_sum(C v) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}
template <class C> DEV C warp_max(C v) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}

/// A bit for each lane: whether its v holds.
DEV uint32_t warp_votes(bool v) {
  uint32_t bits = v ? 1u << (threadIdx.x & 31) : 0;
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) bits |= __shfl_xor_sync(0xffffffffu, bits, o);
  return bits;
}

/// Σ over the threads of the block with the same threadIdx.y, valid in each of them, always in the same order.
/// blockDim.x is 32, or blockDim.y is 1 and blockDim.x a multiple of 32.
template <class C> DEV C row_sum(C v) {
  __shared__ C partial[32];
  v = warp_sum(v);
  if (blockDim.x == 32) return v;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  __syncthreads();  // an earlier sum may still be read
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  return warp_sum(lane < warps ? partial[lane] : C(0));
}
