// Kernels that are bound by exp and by conversions, for the instruction set of the processor at hand. Each works on
// consecutive elements or on one row; the caller splits the work among threads. Names end in the element type:
// f32 for float, bf16 for bfloat16 as its 16 bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Name of the instruction set that was chosen: "avx512", "avx2" or "baseline".
const char *ck_instruction_set(void);

// For tests: takes the instruction set `name` from now on; 0 where the processor has none such.
int ck_limit_instruction_set(const char *name);

// y ← silu(gate) ⊙ up
void ck_swiglu_f32(const float *gate, const float *up, float *y, size_t count);
void ck_swiglu_bf16(const uint16_t *gate, const uint16_t *up, uint16_t *y, size_t count);

// dgate ← dy ⊙ up ⊙ σ(gate)·(1 + gate·(1 − σ(gate))),  dup ← dy ⊙ silu(gate)
void ck_swiglu_backward_f32(
    const float *dy, const float *gate, const float *up, float *dgate, float *dup, size_t count);
void ck_swiglu_backward_bf16(
    const uint16_t *dy, const uint16_t *gate, const uint16_t *up, uint16_t *dgate, uint16_t *dup,
    size_t count);

// p ← softmax of the first `visible` scores, 0 up to `count`; returns log Σ exp s. Overwrites s; p may be s.
float ck_softmax_f32(float *s, float *p, size_t visible, size_t count);
float ck_softmax_bf16(float *s, uint16_t *p, size_t visible, size_t count);

// p ← exp(s − log_sum_exp) and ds ← p·(dp − delta)·scale for the first `visible`, 0 up to `count`. p may be s, ds dp.
void ck_softmax_backward_f32(
    const float *s, const float *dp, float *p, float *ds, size_t visible, size_t count, float log_sum_exp,
    float delta, float scale);
void ck_softmax_backward_bf16(
    const float *s, const float *dp, uint16_t *p, uint16_t *ds, size_t visible, size_t count,
    float log_sum_exp, float delta, float scale);

// Σ x ⊙ y
float ck_dot_f32(const float *x, const float *y, size_t count);
float ck_dot_bf16(const uint16_t *x, const uint16_t *y, size_t count);

// Rows of x that the kernels below take at most.
enum { CK_MATVEC_ROWS = 8 };

// y[q, r] ← Σ_c W[r, c]·x[q, c] for a row-major W [rows, columns] and up to CK_MATVEC_ROWS rows x [m, columns]: W is
// read once, and a row of y does not depend on the others. Rows of x are padded with zeros to a multiple of 32 elements; with a W of bfloat16
// each comes from ck_split_pairs. Rows of W are w_stride apart, rows of y y_stride.
void ck_matvec_f32(
    const float *w, size_t w_stride, const float *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns);
void ck_matvec_bf16(
    const uint16_t *w, size_t w_stride, const float *x, size_t m, float *y, size_t y_stride, size_t rows,
    size_t columns);

// y[q, c] ← Σ_r x[q, r]·W[r, c], the product with W itself instead of its transpose, summed in the order of r. Rows of x are
// x_stride apart, those of y are padded to a multiple of 32 elements; with a W of bfloat16 ck_join_pairs puts each in order.
void ck_weighted_rows_f32(
    const float *w, size_t w_stride, const float *x, size_t x_stride, size_t m, float *y, size_t rows, size_t columns);
void ck_weighted_rows_bf16(
    const uint16_t *w, size_t w_stride, const float *x, size_t x_stride, size_t m, float *y, size_t rows,
    size_t columns);

// y ← x with the even elements of every run of 32 before its odd ones, and zeros up to the end of the last run: y holds
// `count` rounded up to a multiple of 32.
void ck_split_pairs(const float *x, float *y, size_t count);

// The inverse: x holds `count` rounded up to a multiple of 32.
void ck_join_pairs(const float *x, float *y, size_t count);

// The largest element.
float ck_max_f32(const float *x, size_t count);
float ck_max_bf16(const uint16_t *x, size_t count);

// Σ exp(x − largest), summed in float64 over runs of 4096.
double ck_exp_sum_f32(const float *x, float largest, size_t count);
double ck_exp_sum_bf16(const uint16_t *x, float largest, size_t count);

// x ← exp(x − largest)·factor
void ck_exp_scale_f32(float *x, float largest, float factor, size_t count);
void ck_exp_scale_bf16(uint16_t *x, float largest, float factor, size_t count);

// Conversions; to bfloat16 by rounding to nearest even.
void ck_widen(const uint16_t *x, float *y, size_t count);
void ck_narrow(const float *x, uint16_t *y, size_t count);

// Numbers in 4 bits: number i is levels[code i]·(scale of block i >> block_shift), one float32 product. Code i is in byte
// i / 2, in the high half for an even i. The scale of block b is scales[b], or with scale_codes
// scale_levels[scale_codes[b]]·scales[b / 256] + offset. block_shift is at least 5.
typedef struct {
  const uint8_t *codes;
  const float *levels;
  const float *scales;
  const uint8_t *scale_codes;
  const float *scale_levels;
  float offset;
  uint32_t block_shift;
} ck_nf4;

// y ← x in the order in which ck_nf4_matvec takes it; count is a multiple of 64.
void ck_nf4_order(const float *x, float *y, size_t count);

// As ck_matvec_f32, for the rows of w from `first` on; columns is a multiple of 64, rows of x come from ck_nf4_order.
void ck_nf4_matvec(
    const ck_nf4 *w, size_t first, const float *x, size_t m, float *y, size_t y_stride, size_t rows,
    size_t columns);

// A factor of a product: row-major, rows `stride` elements apart, read as its transpose where the flag says so. `elements` are
// of the type, or a ck_nf4 in which the factor begins at number `first`, whose numbers are rounded to bfloat16 where it says so.
typedef enum { ck_type_f32, ck_type_bf16, ck_type_nf4, ck_type_nf4_bf16 } ck_type;
typedef struct {
  const void *elements;
  ck_type type;
  int is_transposed;
  size_t stride;
  size_t first;
} ck_factor;

// Rows, terms and columns of the blocks that stay in caches: 216 KB of the first factor, 768 KB of the second.
enum { CK_GEMM_ROWS = 144, CK_GEMM_TERMS = 384, CK_GEMM_COLUMNS = 512 };

// c ← α·op(a)·op(b) + β·c for c [m, n] with rows `stride` elements apart, on the calling thread; with β = 0 c is not read.
// a is not NF4, k at least 1. An element of c is the sum of runs of CK_GEMM_TERMS products, whatever m and n are.
// Returns 0, and has done nothing, where there is no memory for the thread's panels.
int ck_gemm(
    const ck_factor *a, const ck_factor *b, size_t m, size_t n, size_t k, float alpha, float beta, float *c,
    size_t stride);

// The same in two steps, so that several threads pack a once for all of them: rows `row` to `row + rows` of op(a) into
// `packed`, which has height·k elements, height being the number of all rows rounded up to a multiple of six; and a product of m of
// these rows from `row` on. `row` is a multiple of six.
void ck_gemm_pack(const ck_factor *a, size_t row, size_t rows, size_t k, size_t height, float *packed);
int ck_gemm_packed(
    const float *packed, size_t row, size_t height, const ck_factor *b, size_t m, size_t n, size_t k, float alpha,
    float beta, float *c, size_t stride);

// Bytes that a thread keeps from its first product on.
size_t ck_gemm_panel_bytes(void);

// Whether ck_gemm is faster than the libraries on this processor, as it is where AVX2 is the best instruction set.
int ck_gemm_is_fastest(void);

// y ← the numbers from `first` on.
void ck_nf4_unpack_f32(const ck_nf4 *w, size_t first, float *y, size_t count);
void ck_nf4_unpack_bf16(const ck_nf4 *w, size_t first, uint16_t *y, size_t count);
