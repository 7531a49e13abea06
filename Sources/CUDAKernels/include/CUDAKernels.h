// The text of the CUDA kernels, inside the program. Nothing of NVIDIA's is needed to build it.
#pragma once
#include <stddef.h>

/// A file of CUDA C. Every file but the first, `prelude.cuh`, which the others include, is compiled on its own.
typedef struct {
  /// Its name, such as "norm.cu".
  const char *name;
  /// Its text, UTF-8, ended by a zero that `byteCount` does not count.
  const char *text;
  /// Bytes of the text.
  size_t byteCount;
  /// PTX of it (Scripts/portable-kernels), as gzip data; NULL for the prelude.
  const unsigned char *portable;
  /// Bytes of these.
  size_t portableByteCount;
} CUDAKernelFile;

/// The file `index`, from 0 to ``cudaKernelFileCount`` − 1; that of another index has no name.
CUDAKernelFile cudaKernelFile(int index);

/// Number of files.
int cudaKernelFileCount(void);
