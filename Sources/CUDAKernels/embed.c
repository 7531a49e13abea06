// The files are embedded by the compiler, each but the prelude with its portable form.

#include "CUDAKernels.h"

static const char prelude[] = {
#embed "kernels/prelude.cuh" suffix(, 0)
};
static const char attention[] = {
#embed "kernels/attention.cu" suffix(, 0)
};
static const unsigned char attention_ptx[] = {
#embed "portable/attention.ptx.gz"
};
static const char elementwise[] = {
#embed "kernels/elementwise.cu" suffix(, 0)
};
static const unsigned char elementwise_ptx[] = {
#embed "portable/elementwise.ptx.gz"
};
static const char flash[] = {
#embed "kernels/flash.cu" suffix(, 0)
};
static const unsigned char flash_ptx[] = {
#embed "portable/flash.ptx.gz"
};
static const char matmul[] = {
#embed "kernels/matmul.cu" suffix(, 0)
};
static const unsigned char matmul_ptx[] = {
#embed "portable/matmul.ptx.gz"
};
static const char memory[] = {
#embed "kernels/memory.cu" suffix(, 0)
};
static const unsigned char memory_ptx[] = {
#embed "portable/memory.ptx.gz"
};
static const char norm[] = {
#embed "kernels/norm.cu" suffix(, 0)
};
static const unsigned char norm_ptx[] = {
#embed "portable/norm.ptx.gz"
};
static const char quantization[] = {
#embed "kernels/quantization.cu" suffix(, 0)
};
static const unsigned char quantization_ptx[] = {
#embed "portable/quantization.ptx.gz"
};
static const char reduction[] = {
#embed "kernels/reduction.cu" suffix(, 0)
};
static const unsigned char reduction_ptx[] = {
#embed "portable/reduction.ptx.gz"
};
static const char rows[] = {
#embed "kernels/rows.cu" suffix(, 0)
};
static const unsigned char rows_ptx[] = {
#embed "portable/rows.ptx.gz"
};
static const char training[] = {
#embed "kernels/training.cu" suffix(, 0)
};
static const unsigned char training_ptx[] = {
#embed "portable/training.ptx.gz"
};

#define FILE(name) {#name ".cu", name, sizeof name - 1, name##_ptx, sizeof name##_ptx}
static const CUDAKernelFile files[] = {
    {"prelude.cuh", prelude, sizeof prelude - 1, 0, 0},
    FILE(attention),
    FILE(elementwise),
    FILE(flash),
    FILE(matmul),
    FILE(memory),
    FILE(norm),
    FILE(quantization),
    FILE(reduction),
    FILE(rows),
    FILE(training),
};

int cudaKernelFileCount(void) { return sizeof files / sizeof *files; }

CUDAKernelFile cudaKernelFile(int index) {
  if (index < 0 || index >= cudaKernelFileCount()) return (CUDAKernelFile){0, 0, 0, 0, 0};
  return files[index];
}
