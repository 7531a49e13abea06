// Kernels for the instruction set of the processor at hand: those bound by exp and by conversions, norms and rotations, and products. Each
// works on consecutive elements, on rows or on a part of a product; the caller splits the work among threads. Names end in the element type:
// f32 for float, bf16 for bfloat16 as its 16 bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Name of the instruction set that was chosen: "avx512_bf16", "avx512", "avx2" or "baseline".
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

// p ← exp(s − max s) for the first `visible` scores, 0 up to `count`; returns max s, and Σ exp(s − max s) in `total`. p may be s.
float ck_exponentials_f32(const float *s, float *p, size_t visible, size_t count, float *total);
float ck_exponentials_bf16(const float *s, uint16_t *p, size_t visible, size_t count, float *total);

// p ← softmax of the first `visible` scores, 0 up to `count`; returns log Σ exp s. p may be s.
float ck_softmax_f32(float *s, float *p, size_t visible, size_t count);

// p ← exp(s − log_sum_exp) and ds ← p·(dp − delta)·scale for the first `visible`, 0 up to `count`. p may be s, ds dp.
void ck_softmax_backward_f32(
    const float *s, const float *dp, float *p, float *ds, size_t visible, size_t count, float log_sum_exp,
    float delta, float scale);
void ck_softmax_backward_bf16(
    const float *s, const float *dp, uint16_t *p, uint16_t *ds, size_t visible, size_t count,
    float log_sum_exp, float delta, float scale);

// y ← x·rstd·w for each row, rstd = 1 / √(mean x² + epsilon). y may be x.
void ck_norm_rows_f32(
    const float *x, const float *w, float epsilon, float *y, float *rstd, size_t rows, size_t columns);
void ck_norm_rows_bf16(
    const uint16_t *x, const uint16_t *w, float epsilon, uint16_t *y, float *rstd, size_t rows, size_t columns);

// dx ← rstd·(g − x̂·mean(g ⊙ x̂)) for each row, with g = dy ⊙ w and x̂ = x·rstd. dx may be dy.
void ck_norm_rows_backward_f32(
    const float *dy, const float *x, const float *w, const float *rstd, float *dx, size_t rows, size_t columns);
void ck_norm_rows_backward_bf16(
    const uint16_t *dy, const uint16_t *x, const uint16_t *w, const float *rstd, uint16_t *dx, size_t rows, size_t columns);

// Each of `heads` heads of one token by the angles of its position: of its first 2·half elements the pairs (x[i], x[half + i]), the
// rest as it is. `sign` is −1 for the inverse. y may be x.
void ck_rotate_heads_f32(
    const float *x, const float *cosine, const float *sine, float sign, float *y, size_t heads, size_t head_dim,
    size_t half);
void ck_rotate_heads_bf16(
    const uint16_t *x, const float *cosine, const float *sine, float sign, uint16_t *y, size_t heads, size_t head_dim,
    size_t half);

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

// The same for a W and rows x in bfloat16, all of them dense, by the instruction for pairs of them: on processors that have it, and nothing on others.
int ck_multiplies_pairs(void);
void ck_matvec_pairs(
    const uint16_t *w, const uint16_t *x, size_t m, float *y, size_t y_stride, size_t rows, size_t columns);

// y[q, r] ← y[q, r] + scale·Σ_j b[r, j]·h[q, j] for the rows b [rows, rank] of a matrix, from whose beginning on `readable` elements may be read. Rows
// of h [m, rank] are padded with zeros to a multiple of 16 elements.
void ck_add_low_rank_f32(
    const float *b, size_t rank, size_t readable, const float *h, size_t m, float scale, float *y, size_t y_stride,
    size_t rows);
void ck_add_low_rank_bf16(
    const uint16_t *b, size_t rank, size_t readable, const float *h, size_t m, float scale, float *y, size_t y_stride,
    size_t rows);

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

// y ← x in the order in which ck_nf4_matvec takes it, with zeros up to a multiple of 128; count is a multiple of 64.
void ck_nf4_order(const float *x, float *y, size_t count);

// As ck_matvec_f32, for the rows of w from `first` on; columns is a multiple of 64, rows of x come from ck_nf4_order
// and are a multiple of 128 elements apart. A row is the sum of products with levels, of each block, times its scale.
void ck_nf4_matvec(
    const ck_nf4 *w, size_t first, const float *x, size_t m, float *y, size_t y_stride, size_t rows,
    size_t columns);

// A matrix of bfloat16 in 12 bits a number and without loss (compressed.inc): groups of CK_COMPRESSED_GROUP numbers, the upper bytes that have
// a code, and those numbers of a row that have none, each the column and, in the upper 16 bits, the number itself: of row r those
// from starts[r] to starts[r + 1]. There are CK_COMPRESSED_COLUMNS columns at most, a multiple of CK_COMPRESSED_GROUP.
typedef struct {
  const uint8_t *groups;
  const uint32_t *starts;
  const uint32_t *exceptions;
  size_t columns;
  uint8_t upper[16];
} ck_compressed;

enum { CK_COMPRESSED_GROUP = 128, CK_COMPRESSED_COLUMNS = 1 << 15 };

// Groups of some rows: a code c stands for the upper byte base + c, 0 for 0, and 8 + c for those with a sign, c < 8. counts[r] ← the numbers of row
// r without a code, which go to `exceptions`; returns how many these are, −1 where they are more than `most`.
ptrdiff_t ck_compress_rows(
    const uint16_t *w, size_t rows, size_t columns, unsigned base, uint8_t *groups, uint32_t *counts, uint32_t *exceptions,
    size_t most);

// Whether numbers are unpacked faster than they come from memory.
int ck_decompresses_fast(void);

// y ← the numbers from `first` on.
void ck_decompress(const ck_compressed *w, size_t first, uint16_t *y, size_t count);

// As ck_matvec_bf16 and as ck_matvec_pairs, to the bit, for the rows of w from `first` on.
void ck_compressed_matvec(
    const ck_compressed *w, size_t first, const float *x, size_t m, float *y, size_t y_stride, size_t rows);
void ck_compressed_matvec_pairs(
    const ck_compressed *w, size_t first, const uint16_t *x, size_t m, float *y, size_t y_stride, size_t rows);

// A factor of a product: row-major, rows `stride` elements apart, read as its transpose where the flag says so. `elements` are
// of the type, or a ck_nf4, whose numbers are rounded to bfloat16 where it says so, or a ck_compressed. Where there is a `next` factor it follows
// on the `terms` of this one: rows of op(a) end with those of the next op(a), times next_scale, columns of op(b) with those of
// the next op(b).
typedef enum { ck_type_f32, ck_type_bf16, ck_type_nf4, ck_type_nf4_bf16, ck_type_compressed } ck_type;
typedef struct ck_factor {
  const void *elements;
  ck_type type;
  int is_transposed;
  size_t stride;
  size_t terms;
  const struct ck_factor *next;
  float next_scale;
} ck_factor;

// What need not be computed, by a diagonal d: results in columns beyond row + d, which are then anything; or terms of which
// it is known that op(a) is zero there, those beyond row + d, or those before row − d.
typedef enum { ck_band_whole, ck_band_results, ck_band_terms_after, ck_band_terms_before } ck_band;

// How panels hold a factor: a word of 32 bits is a number in float32, or two terms in bfloat16 that are multiplied as they are.
typedef enum { ck_panels_f32, ck_panels_bf16 } ck_panels;

// What of a product is computed: rows of op(a), columns of op(b), and terms of the sums, in panels as ck_gemm_panels says.
typedef struct {
  size_t row, rows, column, columns, term, terms;
  ck_panels panels;
  ck_band band;
  ptrdiff_t diagonal;
} ck_part;

// Where a part of a product goes: float32 or bfloat16, from its first element on, rows `stride` elements apart. The sums of
// bfloat16 are kept in `sums` where they are not yet complete after a run of terms, those of float32 in `elements`. A product of very many terms is made
// in several calls, which leave the sums where they are for the next one (`is_continuing`) and take them from there
// (`is_continued`) instead of β·c.
typedef struct {
  void *elements;
  ck_type type;
  size_t stride;
  float *sums;
  size_t sums_stride;
  int is_continued, is_continuing;
} ck_result;

// The panels for factors of these types here: bfloat16 where both are and the processor multiplies it, else float32.
ck_panels ck_gemm_panels(ck_type a, ck_type b);

// Rows of a panel of the first factor, columns of one of the second; terms of a run, which a sum goes through one after another, and the most of the last one, which takes
// as many terms as are left; words of 32 bits of so many terms.
size_t ck_gemm_panel_rows(void);
size_t ck_gemm_panel_columns(void);
size_t ck_gemm_run_terms(ck_panels panels);
size_t ck_gemm_last_run_terms(ck_panels panels);
size_t ck_gemm_words(ck_panels panels, size_t terms);

// c ← α·op(a)·op(b) + β·c for a part, on the calling thread; with β = 0 c is not read. a is in float32 or bfloat16; there is at least one term.
// A sum is that of runs of terms, rounded once at the end, whatever the part is, if calls that follow one another begin at multiples of
// ck_gemm_run_terms and the last of them has more than ck_gemm_last_run_terms − ck_gemm_run_terms. In panels of bfloat16 the `next` factor of a
// is rounded after it was multiplied by next_scale. Returns 0, and has done nothing, where there is no memory for the thread's panels.
int ck_gemm(
    const ck_factor *a, const ck_factor *b, const ck_part *part, float alpha, float beta, const ck_result *c);

// The same in two steps, so that several threads pack a once for all of them. ck_gemm_pack puts the part's rows and terms of op(a)
// into rows from `row` on of `packed`, which has `height` rows, a multiple of ck_gemm_panel_rows, of just these terms, each a word or half of
// one, and one word more where a has a `next`; so is `row`. ck_gemm_packed takes rows from `row` on of it for its part, which has the same terms;
// the part's own first row tells it only where a band's diagonal is.
void ck_gemm_pack(const ck_factor *a, const ck_part *part, size_t row, size_t height, float *packed);
int ck_gemm_packed(
    const float *packed, size_t row, size_t height, const ck_factor *b, const ck_part *part, float alpha, float beta,
    const ck_result *c);

// Bytes that a thread keeps from its first product on.
size_t ck_gemm_panel_bytes(void);

// Whether ck_gemm is faster than the libraries on this processor with these panels.
int ck_gemm_is_fastest(ck_panels panels);

// y ← the numbers from `first` on.
void ck_nf4_unpack_f32(const ck_nf4 *w, size_t first, float *y, size_t count);
void ck_nf4_unpack_bf16(const ck_nf4 *w, size_t first, uint16_t *y, size_t count);

// A matrix in 8 bits, beside the one that it stands for: row r is about scales[r]·codes[r, ·]. Its product with x and the product of the
// row itself, each as computed here in float32, are at most errors[r]·‖x‖ apart.
typedef struct {
  int8_t *codes;
  float *scales;
  float *errors;
} ck_coarse;

// Rows of x that ck_coarse_bounds takes at most.
enum { CK_COARSE_ROWS = 4 };

// Rows `first`, … of a coarse matrix ← the dense rows w; returns the largest of their lengths, infinite or NaN where not all is finite.
float ck_coarse_rows_f32(const float *w, const ck_coarse *coarse, size_t first, size_t rows, size_t columns);
float ck_coarse_rows_bf16(const uint16_t *w, const ck_coarse *coarse, size_t first, size_t rows, size_t columns);

// Squares of numbers below this are no normal float32: a length that is summed up from squares may lack so much for each element.
#define CK_COARSE_LEAST 2e-19f

// upper[q, r] ← what the product of row first + r with row q of x is at most; of all rows together the largest of these, and the largest
// of what products are at least. lengths[q] is ‖x[q]‖, rounded up, and CK_COARSE_LEAST·√columns.
void ck_coarse_bounds(
    const ck_coarse *w, size_t first, const float *x, size_t x_stride, const float *lengths, size_t m, float *upper,
    size_t upper_stride, float *largest_lower, float *largest_upper, size_t rows, size_t columns);
