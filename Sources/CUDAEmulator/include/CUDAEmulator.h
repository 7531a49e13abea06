// A stand-in for the CUDA driver and cuBLASLt that runs the project's kernels on the processor. For tests.
#pragma once
#ifdef __cplusplus
extern "C" {
#endif

/// The address of a function of libcuda or libcublasLt by its name, NULL where there is no stand-in for it.
///
/// There are four devices, which differ in the order in which threads run and in when asynchronous copies land.
__attribute__((visibility("default"))) void *emulator_symbol(const char *name);

/// What the last failure was: a divergent barrier, an illegal address, an unknown kernel.
const char *emulator_last_error(void);

/// Makes the call after `calls` further ones of the function `name` by this thread fail with `status`; a negative count never
/// fails.
void emulator_fail(const char *name, int calls, int status);

/// Number of emulated devices.
int emulator_device_count(void);

/// Number of kernels that have been launched at least once, and of those there are.
int emulator_kernels_run(int *count);

/// The name of the kernel `index` that has never been launched, NULL where there are no more.
const char *emulator_unused_kernel(int index);

#ifdef __cplusplus
}
#endif
