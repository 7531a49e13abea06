// The files are embedded by the compiler.

#include "CUDAKernels.h"

static const char prelude[] = {
#embed "kernels/prelude.cuh" suffix(, 0)
};
static const char attention[] = {
#embed "kernels/attention.cu" suffix(, 0)
};
static const char elementwise[] = {
#embed "kernels/elementwise.cu" suffix(, 0)
};
static const char flash[] = {
#embed "kernels/flash.cu" suffix(, 0)
};
static const char matmul[] = {
#embed "kernels/matmul.cu" suffix(, 0)
};
static const char memory[] = {
#embed "kernels/memory.cu" suffix(, 0)
};
static const char norm[] = {
#embed "kernels/norm.cu" suffix(, 0)
};
static const char quantization[] = {
#embed "kernels/quantization.cu" suffix(, 0)
};
static const char reduction[] = {
#embed "kernels/reduction.cu" suffix(, 0)
};
static const char rows[] = {
#embed "kernels/rows.cu" suffix(, 0)
};
static const char training[] = {
#embed "kernels/training.cu" suffix(, 0)
};

#define FILE(variable, name) {name, variable, sizeof variable - 1}
static const CUDAKernelFile files[] = {
    FILE(prelude, "prelude.cuh"),     FILE(attention, "attention.cu"), FILE(elementwise, "elementwise.cu"),
    FILE(flash, "flash.cu"),
    FILE(matmul, "matmul.cu"),        FILE(memory, "memory.cu"),       FILE(norm, "norm.cu"),
    FILE(quantization, "quantization.cu"), FILE(reduction, "reduction.cu"), FILE(rows, "rows.cu"),
    FILE(training, "training.cu"),
};

int cudaKernelFileCount(void) { return sizeof files / sizeof *files; }

CUDAKernelFile cudaKernelFile(int index) {
  if (index < 0 || index >= cudaKernelFileCount()) return (CUDAKernelFile){0, 0, 0};
  return files[index];
}
