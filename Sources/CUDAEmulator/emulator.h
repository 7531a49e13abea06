// What the driver's stand-in needs of the scheduler.
#pragma once
#include <string>

#include "emulation.h"

namespace emu {
/// What went wrong in the last launch; empty where nothing did.
extern std::string error;
/// All kernels, linked by `next`.
Kernel *firstKernel();
/// Runs a grid to its end with the given order of threads: 0 rising, 1 falling, others random; with an odd order
/// asynchronous copies land at once, else as late as they may. False after an error.
bool launch(const Kernel &kernel, dim3 grid, dim3 block, size_t sharedBytes, void **params, unsigned order);
}  // namespace emu
