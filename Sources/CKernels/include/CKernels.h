// Kernels that are bound by exp and by conversions, for the instruction set of the processor at hand. Each works on
// consecutive elements or on one row; the caller splits the work among threads. Names end in the element type:
// f32 for float, bf16 for bfloat16 as its 16 bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Name of the instruction set that was chosen: "avx512", "avx2" or "baseline".
const char *ck_instruction_set(void);

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

// y ← W·x for a row-major W [rows, columns]. With a W of bfloat16 x comes from ck_split_pairs.
void ck_matvec_f32(const float *w, const float *x, float *y, size_t rows, size_t columns);
void ck_matvec_bf16(const uint16_t *w, const float *x, float *y, size_t rows, size_t columns);

// y ← x with the even elements of every run of 32 before its odd ones, and zeros up to the end of the last run: y holds
// `count` rounded up to a multiple of 32.
void ck_split_pairs(const float *x, float *y, size_t count);

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
