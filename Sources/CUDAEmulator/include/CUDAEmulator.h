// A stand-in for the CUDA driver and cuBLASLt that runs the project's kernels on the processor. For tests.
#pragma once
#ifdef __cplusplus
extern "C" {
#endif

/// The address of a function of libcuda or libcublasLt by its name, NULL where there is no stand-in for it.
///
/// There are four devices, which differ in the order in which threads run, in when asynchronous copies land, and in which of
/// several streams is ahead as far as their waits allow: the oldest, or the youngest. The last has 99 KB of shared memory for a
/// block, the others 227 KB.
__attribute__((visibility("default"))) void *emulator_symbol(const char *name);

/// What the last failure was: a divergent barrier, an illegal address, an unknown kernel.
const char *emulator_last_error(void);

/// Makes the call after `calls` further ones of the function `name` by this thread fail with `status`; a negative count never
/// fails. With a negative status a function of the driver does nothing and says that all is well.
void emulator_fail(const char *name, int calls, int status);

/// Gives the device attribute of a number a value for this thread; a negative one is the attribute's own again.
void emulator_attribute(int attribute, int value);

/// Bytes that this thread may take from now on, beside what it gives back; a negative number lifts the bound.
void emulator_memory(long long bytes);

/// Number of descriptions and handles of cuBLASLt that this thread has made, less those that it has destroyed.
int emulator_descriptions(void);

/// Number of emulated devices.
int emulator_device_count(void);

/// Number of kernels that have been launched at least once, and of those there are.
int emulator_kernels_run(int *count);

/// The name of the kernel `index` that has never been launched, NULL where there are no more.
const char *emulator_unused_kernel(int index);

#ifdef __cplusplus
}
#endif
