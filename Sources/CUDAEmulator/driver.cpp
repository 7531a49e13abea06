// The driver's functions by their names and signatures, over host memory.
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "CUDAEmulator.h"
#include "emulator.h"
#include "standin.h"

namespace {
constexpr int deviceCount = 4;
constexpr size_t memoryBytes = size_t(8) << 30;

/// A copy from the host that has not been done: it is as late as the order of the stream allows.
struct Transfer {
  uint64_t to;
  const void *from;
  size_t bytes;
};
struct Device {
  int ordinal;
  size_t used = 0;
  std::vector<Transfer> transfers;
};
struct Event {
  double milliseconds;
};
/// What a stream was given while it was captured; each gives a status when it is run.
struct Graph {
  std::vector<std::function<int()>> nodes;
};
struct Stream {
  Device *device;
  std::unique_ptr<Graph> capture;
  /// Whether the capture was given what cannot be in a graph.
  bool isBroken = false;
};
Stream *stream_(void *handle) { return static_cast<Stream *>(handle); }
bool isCurrent(void *stream);
/// For calls that wait, copy from or to the host, or take memory: a capture breaks on them.
bool breaksCapture(void *stream) {
  if (!stream || !stream_(stream)->capture) return false;
  stream_(stream)->isBroken = true;
  return true;
}
constexpr int captureUnsupported = 900, captureInvalidated = 901;

std::mutex mutex;
Device devices[deviceCount] = {{0}, {1}, {2}, {3}};
thread_local Device *current = nullptr;
bool isCurrent(void *stream) { return current && stream && stream_(stream)->device == current; }
std::string lastError;
std::map<uint64_t, std::pair<size_t, size_t>> allocations;  // address → (bytes asked for, bytes mapped)
std::set<const emu::Kernel *> launched;
std::map<std::pair<const void *, const void *>, int> sharedBytes;  // what a kernel may have beyond 48 KB on a device
/// Shared memory that a block may ask for: the last device has as much as GPUs that are not for data centres.
int sharedBytesPerBlock(int ordinal) { return ordinal == deviceCount - 1 ? 99 << 10 : 227 << 10; }
// Of the calling thread, so that tests beside it see nothing of it.
thread_local std::string failingCall;
thread_local int callsUntilFailure = -1, failureStatus = 0;
thread_local std::map<int, int> attributes;  // values that a test has asked for
thread_local int64_t bytesLeft = -1;         // that this thread may still take, below 0 without a bound

/// The status that a test has asked for, 0 for none.
int plannedFailure(const char *name) {
  if (callsUntilFailure < 0 || failingCall != name) return 0;
  return callsUntilFailure-- == 0 ? failureStatus : 0;
}
#define CALL                                       \
  if (const int status = plannedFailure(__func__)) \
    return status;

/// Does the copies from the host that are due; the lock is held.
void land(Device *device) {
  for (const auto &t : device->transfers) memcpy(reinterpret_cast<void *>(t.to), t.from, t.bytes);
  device->transfers.clear();
}

size_t pageSize() {
  static const size_t size = size_t(sysconf(_SC_PAGESIZE));
  return size;
}

int cuInit(unsigned) { CALL return 0; }
int cuDriverGetVersion(int *version) { CALL *version = 13000; return 0; }
int cuDeviceGet(int *device, int ordinal) {
  CALL if (ordinal < 0 || ordinal >= deviceCount) return 101;
  *device = ordinal;
  return 0;
}
int cuDeviceGetCount(int *count) { CALL *count = deviceCount; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
  CALL snprintf(name, size_t(length), "CPU emulation of CUDA, order %d", device);
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  CALL if (const auto found = attributes.find(attribute); found != attributes.end()) {
    *value = found->second;
    return 0;
  }
  switch (attribute) {
    case 16: *value = 4; break;            // multiprocessors
    case 75: *value = 9; break;            // compute capability
    case 97: *value = sharedBytesPerBlock(device); break;
    case 115: *value = 1; break;           // memory pools
    default: *value = 0;
  }
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { CALL *bytes = memoryBytes; return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) {
  CALL if (!current) return 201;
  const std::lock_guard<std::mutex> lock(mutex);
  *available = memoryBytes - current->used;
  *total = memoryBytes;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
  CALL if (device < 0 || device >= deviceCount) return 101;
  *context = &devices[device];
  return 0;
}
int cuCtxSetCurrent(void *context) {
  CALL current = static_cast<Device *>(context);
  return 0;
}
int cuDeviceGetDefaultMemPool(void **pool, int device) { CALL *pool = &devices[device]; return 0; }
int cuMemPoolSetAttribute(void *, int, void *) { CALL return 0; }
int cuMemPoolTrimTo(void *, size_t) { CALL return 0; }
int cuModuleLoadData(void **module, const void *) {
  CALL if (!current) return 201;
  *module = current;
  return 0;
}
int cuModuleGetFunction(void **function, void *, const char *name) {
  CALL for (auto *k = emu::firstKernel(); k; k = k->next) if (!strcmp(k->name, name)) {
    *function = k;
    return 0;
  }
  return 500;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  CALL if (!current) return 201;
  if (attribute != 8 || value > sharedBytesPerBlock(current->ordinal)) return 1;
  const std::lock_guard<std::mutex> lock(mutex);
  sharedBytes[{function, current}] = value;
  return 0;
}

int run(const emu::Kernel *kernel, dim3 grid, dim3 block, unsigned shared, void **params) {
  const std::lock_guard<std::mutex> lock(mutex);
  launched.insert(kernel);
  land(current);
  if (shared > 48 << 10 && int(shared) > sharedBytes[{kernel, current}]) return 1;
  if (emu::launch(*kernel, grid, block, shared, params, unsigned(current->ordinal))) return 0;
  lastError = emu::error;  // for cuGetErrorString
  return emu::error.find("illegal address") != std::string::npos ? 700 : 719;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **params, void **) {
  CALL if (!isCurrent(stream)) return 400;
  const auto *kernel = static_cast<emu::Kernel *>(function);
  const dim3 grid{gx, gy, gz}, block{bx, by, bz};
  if (!stream_(stream)->capture) return run(kernel, grid, block, shared, params);
  // The arguments are copied, as the driver does it.
  std::vector<std::vector<unsigned char>> arguments;
  for (size_t i = 0; i < kernel->parameterBytes.size(); ++i) {
    const auto *from = static_cast<const unsigned char *>(params[i]);
    arguments.emplace_back(from, from + kernel->parameterBytes[i]);
  }
  stream_(stream)->capture->nodes.push_back([=]() mutable {
    std::vector<void *> pointers;
    for (auto &argument : arguments) pointers.push_back(argument.data());
    return run(kernel, grid, block, shared, pointers.data());
  });
  return 0;
}

/// A buffer ends against a page that cannot be touched, and is full of NaN.
int cuMemAllocAsync(uint64_t *address, size_t bytes, void *stream) {
  CALL if (!isCurrent(stream) || bytes == 0) return 1;
  if (breaksCapture(stream)) return captureUnsupported;
  const std::lock_guard<std::mutex> lock(mutex);
  if (bytes > memoryBytes - current->used || (bytesLeft >= 0 && int64_t(bytes) > bytesLeft)) return 2;
  const size_t page = pageSize(), body = (bytes + 15) / 16 * 16, mapped = (body + page - 1) / page * page + page;
  void *memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto *base = static_cast<unsigned char *>(memory);
  mprotect(base + mapped - page, page, PROT_NONE);
  memset(base + mapped - page - body, 0xff, body);
  *address = reinterpret_cast<uint64_t>(base + mapped - page - body);
  allocations[*address] = {bytes, mapped};
  current->used += bytes;
  if (bytesLeft >= 0) bytesLeft -= int64_t(bytes);
  return 0;
}
int cuMemFreeAsync(uint64_t address, void *stream) {
  CALL if (!isCurrent(stream)) return 400;
  if (breaksCapture(stream)) return captureUnsupported;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = allocations.find(address);
  if (found == allocations.end()) return 1;
  land(current);
  const auto [bytes, mapped] = found->second;
  munmap(reinterpret_cast<void *>(address / pageSize() * pageSize()), 0 + mapped);
  current->used -= bytes;
  if (bytesLeft >= 0) bytesLeft += int64_t(bytes);
  allocations.erase(found);
  return 0;
}
/// Whether [address, address + bytes) lies in one buffer.
bool isInside(uint64_t address, size_t bytes) {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return bytes == 0;
  const auto &[base, size] = *--next;
  return address + bytes <= base + (size.first + 15) / 16 * 16;
}
int copy(uint64_t checked, void *to, const void *from, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!current) return 201;
  if (!isInside(checked, bytes)) return 1;
  land(current);
  memcpy(to, from, bytes);
  return 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
  CALL if (!current) return 201;
  if (breaksCapture(stream)) return captureUnsupported;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!isInside(to, bytes)) return 1;
  current->transfers.push_back({to, from, bytes});
  return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  return copy(from, to, reinterpret_cast<void *>(from), bytes);
}
int copyOnDevice(uint64_t to, uint64_t from, size_t bytes) {
  if (!isInside(from, bytes)) return 1;
  return copy(to, reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
  CALL if (!stream_(stream)->capture) return copyOnDevice(to, from, bytes);
  stream_(stream)->capture->nodes.push_back([=] { return copyOnDevice(to, from, bytes); });
  return 0;
}
int cuStreamCreate(void **stream, unsigned) {
  CALL if (!current) return 201;
  *stream = new Stream{current, nullptr};
  return 0;
}
int cuStreamBeginCapture_v2(void *stream, int) {
  CALL if (!isCurrent(stream)) return 400;
  if (stream_(stream)->capture) return captureUnsupported;
  stream_(stream)->capture = std::make_unique<Graph>();
  stream_(stream)->isBroken = false;
  return 0;
}
int cuStreamEndCapture(void *stream, void **graph) {
  if (!isCurrent(stream) || !stream_(stream)->capture) return 400;
  auto captured = std::move(stream_(stream)->capture);
  *graph = nullptr;
  CALL  // the capture has ended all the same
  if (stream_(stream)->isBroken) return captureInvalidated;
  *graph = captured.release();
  return 0;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  CALL * executable = new Graph(*static_cast<Graph *>(graph));
  return 0;
}
int cuGraphUpload(void *executable, void *stream) {
  CALL return executable && isCurrent(stream) ? 0 : 400;
}
int cuGraphLaunch(void *executable, void *stream) {
  CALL if (!isCurrent(stream)) return 400;
  for (auto &node : static_cast<Graph *>(executable)->nodes)
    if (const int status = node()) return status;
  return 0;
}
int cuGraphDestroy(void *graph) { CALL delete static_cast<Graph *>(graph); return 0; }
int cuGraphExecDestroy(void *executable) { CALL delete static_cast<Graph *>(executable); return 0; }
void landAll(Device *device) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (device) land(device);
}
int cuStreamSynchronize(void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  landAll(stream_(stream)->device);
  return 0;
}
int cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  CALL if (!current) return 201;
  *memory = malloc(bytes);
  return *memory ? 0 : 2;
}
int cuMemFreeHost(void *memory) {
  CALL landAll(current);
  free(memory);
  return 0;
}
int cuEventCreate(void **event, unsigned) { CALL *event = new Event{}; return 0; }
int cuEventDestroy_v2(void *event) { CALL delete static_cast<Event *>(event); return 0; }
int cuEventRecord(void *event, void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  static_cast<Event *>(event)->milliseconds = double(now.tv_sec) * 1e3 + double(now.tv_nsec) * 1e-6;
  return 0;
}
int cuEventSynchronize(void *) {
  CALL landAll(current);
  return 0;
}
int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
  CALL *milliseconds = float(static_cast<Event *>(to)->milliseconds - static_cast<Event *>(from)->milliseconds);
  return 0;
}
int cuGetErrorString(int status, const char **text) {
  if ((status == 700 || status == 719) && !lastError.empty()) {
    *text = lastError.c_str();
    return 0;
  }
  switch (status) {
    case 1: *text = "invalid argument"; break;
    case 2: *text = "out of memory"; break;
    case 101: *text = "invalid device ordinal"; break;
    case 201: *text = "invalid device context"; break;
    case 400: *text = "invalid resource handle"; break;
    case 500: *text = "named symbol not found"; break;
    case 700: *text = "an illegal memory access was encountered"; break;
    case 900: *text = "operation not permitted when stream is capturing"; break;
    case 901: *text = "operation failed due to a previous error during capture"; break;
    case 719: *text = "unspecified launch failure"; break;
    default: *text = "unrecognized error code";
  }
  return 0;
}
}  // namespace

bool standin::isDeviceMemory(const void *address, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  return isInside(reinterpret_cast<uint64_t>(address), bytes);
}
bool standin::hasContext() {
  landAll(current);
  return current;
}
int standin::plannedFailure(const char *name) { return ::plannedFailure(name); }
int standin::queue(void *stream, std::function<int()> work) {
  if (!isCurrent(stream)) return 1;
  if (!stream_(stream)->capture) return work();
  stream_(stream)->capture->nodes.push_back(std::move(work));
  return 0;
}

extern "C" {
void *emulator_symbol(const char *name) {
#define ENTRY(f) {#f, reinterpret_cast<void *>(f)}
  static const struct {
    const char *name;
    void *function;
  } table[] = {
      ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuDeviceGet), ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGetName),
      ENTRY(cuDeviceGetAttribute), ENTRY(cuDeviceTotalMem_v2), ENTRY(cuMemGetInfo_v2), ENTRY(cuDevicePrimaryCtxRetain),
      ENTRY(cuCtxSetCurrent), ENTRY(cuDeviceGetDefaultMemPool), ENTRY(cuMemPoolSetAttribute), ENTRY(cuMemPoolTrimTo),
      ENTRY(cuModuleLoadData), ENTRY(cuModuleGetFunction), ENTRY(cuFuncSetAttribute), ENTRY(cuLaunchKernel),
      ENTRY(cuMemAllocAsync), ENTRY(cuMemFreeAsync), ENTRY(cuMemcpyHtoDAsync_v2), ENTRY(cuMemcpyDtoHAsync_v2),
      ENTRY(cuMemcpyDtoDAsync_v2), ENTRY(cuStreamCreate), ENTRY(cuStreamSynchronize), ENTRY(cuEventCreate),
      ENTRY(cuMemHostAlloc), ENTRY(cuMemFreeHost),
      ENTRY(cuEventDestroy_v2), ENTRY(cuEventRecord), ENTRY(cuEventSynchronize), ENTRY(cuEventElapsedTime),
      ENTRY(cuGetErrorString),
      ENTRY(cuStreamBeginCapture_v2), ENTRY(cuStreamEndCapture), ENTRY(cuGraphInstantiateWithFlags), ENTRY(cuGraphLaunch),
      ENTRY(cuGraphUpload),
      ENTRY(cuGraphDestroy), ENTRY(cuGraphExecDestroy),
  };
  for (const auto &entry : table)
    if (!strcmp(entry.name, name)) return entry.function;
  return standin::blasSymbol(name);
}
const char *emulator_last_error(void) { return lastError.c_str(); }
void emulator_fail(const char *name, int calls, int status) {
  failingCall = name;
  callsUntilFailure = calls;
  failureStatus = status;
}
void emulator_attribute(int attribute, int value) {
  if (value < 0) attributes.erase(attribute);
  else attributes[attribute] = value;
}
void emulator_memory(long long bytes) { bytesLeft = bytes; }
int emulator_descriptions(void) { return standin::descriptions(); }
int emulator_device_count(void) { return deviceCount; }
int emulator_kernels_run(int *count) {
  const std::lock_guard<std::mutex> lock(mutex);
  *count = 0;
  for (auto *k = emu::firstKernel(); k; k = k->next) *count += strncmp(k->name, "fault_", 6) != 0;
  int run = 0;
  for (const auto *k : launched) run += strncmp(k->name, "fault_", 6) != 0;
  return run;
}
const char *emulator_unused_kernel(int index) {
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto *k = emu::firstKernel(); k; k = k->next)
    if (!launched.count(k) && strncmp(k->name, "fault_", 6) != 0 && index-- == 0) return k->name;
  return nullptr;
}
}
