// The kernels' text, compiled for the processor.
#include "emulation.h"

#include "../CUDAKernels/kernels/attention.cu"
#include "../CUDAKernels/kernels/elementwise.cu"
#include "../CUDAKernels/kernels/flash.cu"
#include "../CUDAKernels/kernels/matmul.cu"
#include "../CUDAKernels/kernels/memory.cu"
#include "../CUDAKernels/kernels/norm.cu"
#include "../CUDAKernels/kernels/quantization.cu"
#include "../CUDAKernels/kernels/reduction.cu"
#include "../CUDAKernels/kernels/rows.cu"
#include "../CUDAKernels/kernels/training.cu"
#include "faults.cu"
