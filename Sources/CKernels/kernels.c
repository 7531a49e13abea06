// Chooses among the compiled instruction sets once, when the first kernel is called.

#include "CKernels.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Vectors are passed between functions that are always inlined: no calling convention is involved.
#pragma GCC diagnostic ignored "-Wpsabi"

typedef float lanes __attribute__((vector_size(64)));
typedef int32_t int_lanes __attribute__((vector_size(64)));
typedef uint32_t bit_lanes __attribute__((vector_size(64)));
typedef uint16_t short_lanes __attribute__((vector_size(32)));
typedef float eight __attribute__((vector_size(32)));

// The panels of a thread: its own until it ends, so that no product waits for memory.
//
// Blocks that stay in caches have CK_GEMM_ROWS rows of the first factor, at most CK_GEMM_WORDS words of each and one more where it ends within a
// word and is continued, and 384 by 512 or 545 by 256 words of the second.
enum {
  CK_GEMM_ROWS = 144,
  CK_GEMM_WORDS = 544,
  panels_a_size = CK_GEMM_ROWS * (CK_GEMM_WORDS + 1),
  panels_b_size = 384 * 512
};

static pthread_key_t panels_key;
static int has_panels_key;
static pthread_once_t panels_once = PTHREAD_ONCE_INIT;

static void create_panels_key(void) {
  has_panels_key = !pthread_key_create(&panels_key, free);
}

// Null where there is no memory for them.
static float *panels(void) {
  pthread_once(&panels_once, create_panels_key);
  if (!has_panels_key) return NULL;
  float *memory = pthread_getspecific(panels_key);
  if (memory) return memory;
  memory = aligned_alloc(64, (ck_gemm_panel_bytes() + 63) / 64 * 64);
  if (memory && pthread_setspecific(panels_key, memory)) {
    free(memory);
    return NULL;
  }
  return memory;
}

size_t ck_gemm_panel_bytes(void) { return (panels_a_size + panels_b_size) * sizeof(float); }

// Scales of a piece of a row, one for each 32 numbers, and two behind it.
enum { CK_NF4_SCALES = 34 };

// LEVEL is 1 where the body may use the names of AVX2's instructions, 2 for AVX-512's.
#define LEVEL 0
#define TARGET
#define NAME(name) name##_baseline
#include "kernels.inc"
#undef LEVEL
#undef TARGET
#undef NAME

#if defined(__x86_64__)
#define LEVEL 1
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(name) name##_avx2
#include "kernels.inc"
#undef LEVEL
#undef TARGET
#undef NAME

#define LEVEL 2
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(name) name##_avx512
#include "kernels.inc"
#undef LEVEL
#undef TARGET
#undef NAME

#include "pairs.inc"

// Calls the variant of this processor.
#define CALL(name, ...)                        \
  switch (instruction_set()) {                 \
    case avx512_bf16:                            \
    case avx512:                                 \
      return name##_avx512(__VA_ARGS__);         \
    case avx2: return name##_avx2(__VA_ARGS__);  \
    default: return name##_baseline(__VA_ARGS__);   \
  }
#else
#define CALL(name, ...) return name##_baseline(__VA_ARGS__);
#endif

enum { baseline = 1, avx2, avx512, avx512_bf16 };

static int chosen;  // every thread finds the same

static int best_instruction_set(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
             ? __builtin_cpu_supports("avx512bf16") ? avx512_bf16 : avx512
         : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? avx2
                                                                           : baseline;
#else
  return baseline;
#endif
}

static int instruction_set(void) {
  int set = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (set) return set;
  set = best_instruction_set();
  __atomic_store_n(&chosen, set, __ATOMIC_RELAXED);
  return set;
}

int ck_limit_instruction_set(const char *name) {
  const int set = !strcmp(name, "baseline")      ? baseline
                  : !strcmp(name, "avx2")        ? avx2
                  : !strcmp(name, "avx512")      ? avx512
                  : !strcmp(name, "avx512_bf16") ? avx512_bf16
                                                 : 0;
  if (!set || set > best_instruction_set()) return 0;
  __atomic_store_n(&chosen, set, __ATOMIC_RELAXED);
  return 1;
}

const char *ck_instruction_set(void) {
  switch (instruction_set()) {
    case avx512_bf16: return "avx512_bf16";
    case avx512: return "avx512";
    case avx2: return "avx2";
    default: return "baseline";
  }
}

void ck_swiglu_f32(const float *gate, const float *up, float *y, size_t count) {
  CALL(swiglu_f32, gate, up, y, count)
}
void ck_swiglu_bf16(const uint16_t *gate, const uint16_t *up, uint16_t *y, size_t count) {
  CALL(swiglu_bf16, gate, up, y, count)
}
void ck_swiglu_backward_f32(const float *dy, const float *gate, const float *up, float *dgate, float *dup, size_t count) {
  CALL(swiglu_backward_f32, dy, gate, up, dgate, dup, count)
}
void ck_swiglu_backward_bf16(const uint16_t *dy, const uint16_t *gate, const uint16_t *up, uint16_t *dgate, uint16_t *dup, size_t count) {
  CALL(swiglu_backward_bf16, dy, gate, up, dgate, dup, count)
}
float ck_softmax_f32(float *s, float *p, size_t visible, size_t count) {
  CALL(softmax_f32, s, p, visible, count)
}
float ck_exponentials_f32(const float *s, float *p, size_t visible, size_t count, float *total) {
  CALL(exponentials_f32, s, p, visible, count, total)
}
float ck_exponentials_bf16(const float *s, uint16_t *p, size_t visible, size_t count, float *total) {
  CALL(exponentials_bf16, s, p, visible, count, total)
}
void ck_softmax_backward_f32(const float *s, const float *dp, float *p, float *ds, size_t visible, size_t count, float log_sum_exp, float delta, float scale) {
  CALL(softmax_backward_f32, s, dp, p, ds, visible, count, log_sum_exp, delta, scale)
}
void ck_softmax_backward_bf16(const float *s, const float *dp, uint16_t *p, uint16_t *ds, size_t visible, size_t count, float log_sum_exp, float delta, float scale) {
  CALL(softmax_backward_bf16, s, dp, p, ds, visible, count, log_sum_exp, delta, scale)
}
void ck_norm_rows_f32(const float *x, const float *w, float epsilon, float *y, float *rstd, size_t rows, size_t columns) {
  CALL(norm_rows_f32, x, w, epsilon, y, rstd, rows, columns)
}
void ck_norm_rows_backward_f32(const float *dy, const float *x, const float *w, const float *rstd, float *dx, size_t rows, size_t columns) {
  CALL(norm_rows_backward_f32, dy, x, w, rstd, dx, rows, columns)
}
void ck_rotate_heads_f32(const float *x, const float *cosine, const float *sine, float sign, float *y, size_t heads, size_t head_dim, size_t half) {
  CALL(rotate_heads_f32, x, cosine, sine, sign, y, heads, head_dim, half)
}
void ck_norm_rows_bf16(const uint16_t *x, const uint16_t *w, float epsilon, uint16_t *y, float *rstd, size_t rows, size_t columns) {
  CALL(norm_rows_bf16, x, w, epsilon, y, rstd, rows, columns)
}
void ck_norm_rows_backward_bf16(const uint16_t *dy, const uint16_t *x, const uint16_t *w, const float *rstd, uint16_t *dx, size_t rows, size_t columns) {
  CALL(norm_rows_backward_bf16, dy, x, w, rstd, dx, rows, columns)
}
void ck_rotate_heads_bf16(const uint16_t *x, const float *cosine, const float *sine, float sign, uint16_t *y, size_t heads, size_t head_dim, size_t half) {
  CALL(rotate_heads_bf16, x, cosine, sine, sign, y, heads, head_dim, half)
}
float ck_dot_f32(const float *x, const float *y, size_t count) {
  CALL(dot_f32, x, y, count)
}
float ck_dot_bf16(const uint16_t *x, const uint16_t *y, size_t count) {
  CALL(dot_bf16, x, y, count)
}
void ck_matvec_f32(const float *w, size_t w_stride, const float *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns) {
  CALL(matvec_f32, w, w_stride, x, m, y, y_stride, rows, columns)
}
int ck_multiplies_pairs(void) { return instruction_set() == avx512_bf16; }
void ck_matvec_pairs(
    const uint16_t *w, const uint16_t *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns) {
#if defined(__x86_64__)
  if (ck_multiplies_pairs()) matvec_pairs(w, x, m, y, y_stride, rows, columns);
#else
  (void)w, (void)x, (void)m, (void)y, (void)y_stride, (void)rows, (void)columns;
#endif
}
void ck_weighted_rows_f32(const float *w, size_t w_stride, const float *x, size_t x_stride, size_t m, float *y, size_t rows, size_t columns) {
  CALL(weighted_rows_f32, w, w_stride, x, x_stride, m, y, rows, columns)
}
void ck_matvec_bf16(const uint16_t *w, size_t w_stride, const float *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns) {
  CALL(matvec_bf16, w, w_stride, x, m, y, y_stride, rows, columns)
}
void ck_weighted_rows_bf16(const uint16_t *w, size_t w_stride, const float *x, size_t x_stride, size_t m, float *y, size_t rows, size_t columns) {
  CALL(weighted_rows_bf16, w, w_stride, x, x_stride, m, y, rows, columns)
}
void ck_nf4_order(const float *x, float *y, size_t count) {
  CALL(nf4_order, x, y, count)
}
void ck_nf4_matvec(const ck_nf4 *w, size_t first, const float *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns) {
  CALL(nf4_matvec, w, first, x, m, y, y_stride, rows, columns)
}
void ck_nf4_unpack_f32(const ck_nf4 *w, size_t first, float *y, size_t count) {
  CALL(nf4_unpack_f32, w, first, y, count)
}
void ck_nf4_unpack_bf16(const ck_nf4 *w, size_t first, uint16_t *y, size_t count) {
  CALL(nf4_unpack_bf16, w, first, y, count)
}
ptrdiff_t ck_compress_rows(const uint16_t *w, size_t rows, size_t columns, unsigned base, uint8_t *groups, uint32_t *counts, uint32_t *exceptions, size_t most) {
  CALL(compress_rows, w, rows, columns, base, groups, counts, exceptions, most)
}
int ck_decompresses_fast(void) { return instruction_set() >= avx2; }
void ck_decompress(const ck_compressed *w, size_t first, uint16_t *y, size_t count) {
  CALL(decompress, w, first, y, count)
}
void ck_compressed_matvec(const ck_compressed *w, size_t first, const float *x, size_t m, float *y, size_t y_stride, size_t rows) {
  CALL(compressed_matvec, w, first, x, m, y, y_stride, rows)
}
void ck_compressed_matvec_pairs(
    const ck_compressed *w, size_t first, const uint16_t *x, size_t m, float *y, size_t y_stride, size_t rows) {
#if defined(__x86_64__)
  if (ck_multiplies_pairs()) compressed_matvec_pairs(w, first, x, m, y, y_stride, rows);
#else
  (void)w, (void)first, (void)x, (void)m, (void)y, (void)y_stride, (void)rows;
#endif
}
void ck_add_low_rank_f32(const float *b, size_t rank, size_t readable, const float *h, size_t m, float scale, float *y, size_t y_stride, size_t rows) {
  CALL(add_low_rank_f32, b, rank, readable, h, m, scale, y, y_stride, rows)
}
void ck_add_low_rank_bf16(const uint16_t *b, size_t rank, size_t readable, const float *h, size_t m, float scale, float *y, size_t y_stride, size_t rows) {
  CALL(add_low_rank_bf16, b, rank, readable, h, m, scale, y, y_stride, rows)
}
float ck_coarse_rows_f32(const float *w, const ck_coarse *coarse, size_t first, size_t rows, size_t columns) {
  CALL(coarse_rows_f32, w, coarse, first, rows, columns)
}
float ck_coarse_rows_bf16(const uint16_t *w, const ck_coarse *coarse, size_t first, size_t rows, size_t columns) {
  CALL(coarse_rows_bf16, w, coarse, first, rows, columns)
}
void ck_coarse_bounds(const ck_coarse *w, size_t first, const float *x, size_t x_stride, const float *lengths, size_t m, float *upper, size_t upper_stride, float *largest_lower, float *largest_upper, size_t rows, size_t columns) {
  CALL(coarse_bounds, w, first, x, x_stride, lengths, m, upper, upper_stride, largest_lower, largest_upper, rows, columns)
}
int ck_gemm_is_fastest(ck_panels panels) {
  return instruction_set() >= avx2 && (panels == ck_panels_f32 || instruction_set() == avx512_bf16);
}
ck_panels ck_gemm_panels(ck_type a, ck_type b) {
  const int is_narrow =
      a == ck_type_bf16 && (b == ck_type_bf16 || b == ck_type_nf4_bf16 || b == ck_type_compressed);
  return is_narrow && instruction_set() == avx512_bf16 ? ck_panels_bf16 : ck_panels_f32;
}
size_t ck_gemm_panel_rows(void) { CALL(panel_row_count, ) }
size_t ck_gemm_panel_columns(void) { CALL(panel_column_count, ) }
size_t ck_gemm_run_terms(ck_panels panels) { CALL(run_terms, panels) }
size_t ck_gemm_last_run_terms(ck_panels panels) { CALL(last_run_terms, panels) }
size_t ck_gemm_words(ck_panels panels, size_t terms) { CALL(words, panels, terms) }
int ck_gemm(
    const ck_factor *a, const ck_factor *b, const ck_part *part, float alpha, float beta, const ck_result *c) {
  float *const panels_b = panels();
  if (!panels_b) return 0;
  CALL(gemm, a, NULL, 0, 0, b, part, alpha, beta, c, panels_b + panels_b_size, panels_b)
}
void ck_gemm_pack(const ck_factor *a, const ck_part *part, size_t row, size_t height, float *packed) {
  CALL(gemm_pack, a, part, row, height, packed)
}
int ck_gemm_packed(
    const float *packed, size_t row, size_t height, const ck_factor *b, const ck_part *part, float alpha, float beta,
    const ck_result *c) {
  float *const panels_b = panels();
  if (!panels_b) return 0;
  CALL(gemm, NULL, packed, row, height, b, part, alpha, beta, c, NULL, panels_b)
}
float ck_max_f32(const float *x, size_t count) {
  CALL(max_f32, x, count)
}
float ck_max_bf16(const uint16_t *x, size_t count) {
  CALL(max_bf16, x, count)
}
double ck_exp_sum_f32(const float *x, float largest, size_t count) {
  CALL(exp_sum_f32, x, largest, count)
}
double ck_exp_sum_bf16(const uint16_t *x, float largest, size_t count) {
  CALL(exp_sum_bf16, x, largest, count)
}
void ck_exp_scale_f32(float *x, float largest, float factor, size_t count) {
  CALL(exp_scale_f32, x, largest, factor, count)
}
void ck_exp_scale_bf16(uint16_t *x, float largest, float factor, size_t count) {
  CALL(exp_scale_bf16, x, largest, factor, count)
}
void ck_widen(const uint16_t *x, float *y, size_t count) {
  CALL(widen, x, y, count)
}
void ck_narrow(const float *x, uint16_t *y, size_t count) {
  CALL(narrow, x, y, count)
}
void ck_split_pairs(const float *x, float *y, size_t count) {
  for (size_t start = 0; start < count; start += 32)
    for (size_t i = 0; i < 32; i++)
      y[start + (i % 2) * 16 + i / 2] = start + i < count ? x[start + i] : 0;
}
void ck_join_pairs(const float *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = x[i / 32 * 32 + (i % 2) * 16 + i % 32 / 2];
}
