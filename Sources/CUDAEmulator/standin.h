// What the parts of the stand-in share.
#pragma once
#include <cstddef>
#include <functional>

namespace standin {
/// A function of cuBLASLt by its name, nullptr where there is none.
void *blasSymbol(const char *name);
/// Descriptions and handles of cuBLASLt of this thread that are not destroyed.
int descriptions();
/// Whether the bytes lie in one buffer of the device.
bool isDeviceMemory(const void *address, size_t bytes);
/// Whether this thread has a device's context.
bool hasContext();
/// The status that a test has asked for, 0 for none.
int plannedFailure(const char *name);
/// Gives work to a stream: its status where it runs at once, else 0.
int queue(void *stream, std::function<int()> work);
}  // namespace standin
