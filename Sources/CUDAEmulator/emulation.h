// CUDA C on one processor thread: every CUDA thread is a fiber that runs until it waits at a barrier or a warp-wide
// operation. The order of the threads is chosen, there is no preemption, and shared memory is full of NaN at the start of
// every block. The kernels' text is compiled against this header as it stands.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace emu {
/// A warp-wide operation: the last lane to arrive runs it for all lanes of the mask, whose frames are alive and wait.
using Collective = void (*)(void *const *lanes, uint32_t mask);
/// A cp.async that has not landed.
struct PendingCopy {
  void *dst;
  const void *src;
  bool valid;
  int group;
};
/// One CUDA thread.
struct Lane {
  uint3 thread;
  int index, group = 0, pending = 0;
  void *sp;
  char *stack;
  enum State : uint8_t { ready, atBarrier, atWarp, done } state;
  PendingCopy *copies;
};
extern Lane *self;
extern uint3 block;
extern dim3 blockShape, gridShape;
extern unsigned char *dynamicShared;
void barrier();
void collective(Collective op, void *mine, uint32_t mask);
void copyAsync(void *dst, const void *src, bool valid);
void copyWait(int keep);
using Entry = void (*)(void **params);
/// A kernel that the driver's stand-in finds by name.
struct Kernel {
  Kernel(const char *name, Entry run, int threads, std::vector<size_t> parameterBytes);
  const char *name;
  Entry run;
  int threads;
  /// Bytes of each parameter, for a launch that is kept.
  std::vector<size_t> parameterBytes;
  Kernel *next;
};
template <class... A, size_t... I>
void call(void (*f)(A...), void **p, std::index_sequence<I...>) {
  f(*static_cast<std::remove_cv_t<std::remove_reference_t<A>> *>(p[I])...);
}
template <class... A> void call(void (*f)(A...), void **p) { call(f, p, std::index_sequence_for<A...>{}); }
template <class... A> std::vector<size_t> bytesOfParameters(void (*)(A...)) {
  return {sizeof(std::remove_cv_t<std::remove_reference_t<A>>)...};
}
}  // namespace emu

#define threadIdx (emu::self->thread)
#define blockIdx (emu::block)
#define blockDim (emu::blockShape)
#define gridDim (emu::gridShape)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("emu_shared")))
#define DEV static inline
#define DEV_INLINE inline
#define KERNEL(threads, name) \
  static constexpr int threads_of_##name = threads; \
  static void name
#define EXPORT(name) \
  static emu::Kernel register_##name{#name, [](void **p) { emu::call(name, p); }, threads_of_##name, \
                                         emu::bytesOfParameters(name)};
#define DYNAMIC_SHARED(T, name) T *name = reinterpret_cast<T *>(emu::dynamicShared)

inline void __syncthreads() { emu::barrier(); }
inline void __syncwarp(uint32_t mask = ~0u) {
  emu::collective([](void *const *, uint32_t) {}, nullptr, mask);
}

inline float fast_reciprocal(float v) { return 1.f / v; }
inline int __popc(uint32_t v) { return __builtin_popcount(v); }

template <class T> T __shfl_xor_sync(uint32_t mask, T v, int other) {
  struct Mine {
    T v, r;
    int other;
  } mine{v, v, other};
  emu::collective(
      [](void *const *l, uint32_t mask) {
        for (int i = 0; i < 32; ++i)
          if (mask >> i & 1) {
            auto *m = static_cast<Mine *>(l[i]);
            const int o = i ^ m->other;
            if (mask >> o & 1) m->r = static_cast<Mine *>(l[o])->v;
          }
      },
      &mine, mask);
  return mine.r;
}

struct bf16 {
  uint16_t bits;
};
inline float bits_to_float(uint32_t v) {
  float f;
  std::memcpy(&f, &v, 4);
  return f;
}
inline uint32_t float_to_bits(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  return u;
}
inline float wide(bf16 v) { return bits_to_float(uint32_t(v.bits) << 16); }
inline bf16 to_bf16(float v) {
  const uint32_t u = float_to_bits(v);
  if (v != v) return {0x7fff};
  return {uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
inline uint32_t pack_bf16(float lo, float hi) { return uint32_t(to_bf16(hi).bits) << 16 | to_bf16(lo).bits; }
inline float fast_exp2(float v) { return std::exp2(v); }
inline float half_of(uint32_t pair, int hi) { return wide(bf16{uint16_t(hi ? pair >> 16 : pair)}); }
#pragma clang fp contract(off)
inline float mul_rn(float a, float b) { return a * b; }
inline float add_rn(float a, float b) { return a + b; }
inline double mul_rn(double a, double b) { return a * b; }
inline double add_rn(double a, double b) { return a + b; }

/// The PTX manual's layout of the fragments of mma.m16n8k16.
inline void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Mine {
    float *d;
    const uint32_t *a;
    uint32_t b[2];
  } mine{d, a, {b0, b1}};
  emu::collective(
      [](void *const *l, uint32_t) {
        float A[16][16], B[16][8];
        for (int t = 0; t < 32; ++t) {
          auto *m = static_cast<Mine *>(l[t]);
          const int g = t >> 2, c = (t & 3) * 2;
          for (int e = 0; e < 2; ++e) {
            A[g][c + e] = half_of(m->a[0], e);
            A[g + 8][c + e] = half_of(m->a[1], e);
            A[g][c + 8 + e] = half_of(m->a[2], e);
            A[g + 8][c + 8 + e] = half_of(m->a[3], e);
            B[c + e][g] = half_of(m->b[0], e);
            B[c + 8 + e][g] = half_of(m->b[1], e);
          }
        }
        float D[16][8] = {};
        for (int r = 0; r < 16; ++r)
          for (int k = 0; k < 16; ++k)
            for (int n = 0; n < 8; ++n) D[r][n] += A[r][k] * B[k][n];
        for (int t = 0; t < 32; ++t) {
          auto *m = static_cast<Mine *>(l[t]);
          const int g = t >> 2, c = (t & 3) * 2;
          for (int i = 0; i < 4; ++i) m->d[i] += D[g + (i >> 1) * 8][c + (i & 1)];
        }
      },
      &mine, ~0u);
}
using SharedAddress = unsigned char *;
inline SharedAddress shared_address(const void *p) { return static_cast<unsigned char *>(const_cast<void *>(p)); }
template <bool transposed> void ldmatrix_emulated(uint32_t (&r)[4], SharedAddress row) {
  struct Mine {
    uint32_t *r;
    const uint16_t *row;
  } mine{r, reinterpret_cast<const uint16_t *>(row)};
  emu::collective(
      [](void *const *l, uint32_t) {
        for (int t = 0; t < 32; ++t)
          for (int j = 0; j < 4; ++j) {
            auto at = [&](int i, int c) { return static_cast<Mine *>(l[j * 8 + i])->row[c]; };
            const int g = t >> 2, c = (t & 3) * 2;
            static_cast<Mine *>(l[t])->r[j] = transposed ? uint32_t(at(c + 1, g)) << 16 | at(c, g)
                                                         : uint32_t(at(g, c + 1)) << 16 | at(g, c);
          }
      },
      &mine, ~0u);
}
inline void ldmatrix_x4(uint32_t (&r)[4], SharedAddress row) { ldmatrix_emulated<false>(r, row); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], SharedAddress row) { ldmatrix_emulated<true>(r, row); }
inline void cp_async_16(SharedAddress dst, const void *src, bool valid) { emu::copyAsync(dst, src, valid); }
inline void cp_async_commit() { ++emu::self->group; }
template <int N> void cp_async_wait() { emu::copyWait(N); }
/// Copies that belong to no group yet land as well.
inline void cp_async_wait_all() {
  cp_async_commit();
  emu::copyWait(0);
}
