// The driver's functions by their names and signatures, over host memory.
#include <cstdint>
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
#include "streams.h"

namespace {
constexpr int deviceCount = 4;
constexpr size_t memoryBytes = size_t(8) << 30;

using streams::captureUnsupported;
using streams::mutex;
using Lock = std::lock_guard<std::recursive_mutex>;

struct Device {
  int ordinal;
  size_t used = 0, kept = 0;  // bytes of buffers, and of those that were freed and that the pool has not given back
};
Device devices[deviceCount] = {{0}, {1}, {2}, {3}};
thread_local Device *current = nullptr;

streams::Stream *stream_(void *handle) { return static_cast<streams::Stream *>(handle); }
bool isCurrent(void *stream) { return current && stream && stream_(stream)->device == current; }
bool breaksCapture(void *stream) { return streams::breaksCapture(stream_(stream)); }
/// Whether of a device's streams the oldest goes on first; else the youngest does.
bool risesByAge(const Device *device) { return device->ordinal % 2 == 0; }

using GraphHandle = std::shared_ptr<streams::Graph>;

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
    return status < 0 ? 0 : status;

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
  const Lock lock(mutex);
  *available = memoryBytes - current->used - current->kept;
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
int cuMemPoolTrimTo(void *pool, size_t) {
  CALL const Lock lock(mutex);
  static_cast<Device *>(pool)->kept = 0;
  return 0;
}
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
  if (attribute == 9) return value >= -1 && value <= 100 ? 0 : 1;  // a wish
  if (attribute != 8 || value > sharedBytesPerBlock(current->ordinal)) return 1;
  const Lock lock(mutex);
  sharedBytes[{function, current}] = value;
  return 0;
}

int run(Device *device, const emu::Kernel *kernel, dim3 grid, dim3 block, unsigned shared, void **params) {
  const Lock lock(mutex);
  launched.insert(kernel);
  if (shared > 48 << 10 && int(shared) > sharedBytes[{kernel, device}]) return 1;
  if (emu::launch(*kernel, grid, block, shared, params, unsigned(device->ordinal))) return 0;
  lastError = emu::error;  // for cuGetErrorString
  return emu::error.find("illegal address") != std::string::npos ? 700 : 719;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **params, void **) {
  CALL if (!isCurrent(stream)) return 400;
  const auto *kernel = static_cast<emu::Kernel *>(function);
  const dim3 grid{gx, gy, gz}, block{bx, by, bz};
  // The arguments are copied, as the driver does it.
  std::vector<std::vector<unsigned char>> arguments;
  for (size_t i = 0; i < kernel->parameterBytes.size(); ++i) {
    const auto *from = static_cast<const unsigned char *>(params[i]);
    arguments.emplace_back(from, from + kernel->parameterBytes[i]);
  }
  return standin::queue(stream, [=, device = current]() mutable {
    std::vector<void *> pointers;
    for (auto &argument : arguments) pointers.push_back(argument.data());
    return run(device, kernel, grid, block, shared, pointers.data());
  });
}

/// A buffer ends against a page that cannot be touched, and is full of NaN.
int cuMemAllocAsync(uint64_t *address, size_t bytes, void *stream) {
  CALL if (!isCurrent(stream) || bytes == 0) return 1;
  if (breaksCapture(stream)) return captureUnsupported;
  const Lock lock(mutex);
  if (bytes > memoryBytes - current->used || (bytesLeft >= 0 && int64_t(bytes) > bytesLeft)) return 2;
  const size_t page = pageSize(), body = (bytes + 15) / 16 * 16, mapped = (body + page - 1) / page * page + page;
  void *memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto *base = static_cast<unsigned char *>(memory);
  mprotect(base + mapped - page, page, PROT_NONE);
  unsigned char *start = base + mapped - page - body;
  *address = reinterpret_cast<uint64_t>(start);
  allocations[*address] = {bytes, mapped};
  current->used += bytes;
  current->kept -= std::min(current->kept, bytes);
  if (bytesLeft >= 0) bytesLeft -= int64_t(bytes);
  // Nobody may use it before the stream has got here.
  return standin::queue(stream, [=] {
    memset(start, 0xff, body);
    return 0;
  });
}
int cuMemFreeAsync(uint64_t address, void *stream) {
  CALL if (!isCurrent(stream)) return 400;
  if (breaksCapture(stream)) return captureUnsupported;
  const Lock lock(mutex);
  const auto found = allocations.find(address);
  if (found == allocations.end()) return 1;
  const auto [bytes, mapped] = found->second;
  current->used -= bytes;
  current->kept += bytes;
  if (bytesLeft >= 0) bytesLeft += int64_t(bytes);
  allocations.erase(found);
  return standin::queue(stream, [address, mapped = mapped] {
    munmap(reinterpret_cast<void *>(address / pageSize() * pageSize()), mapped);
    return 0;
  });
}
/// Whether [address, address + bytes) lies in one buffer.
bool isInside(uint64_t address, size_t bytes) {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return bytes == 0;
  const auto &[base, size] = *--next;
  return address + bytes <= base + (size.first + 15) / 16 * 16;
}
/// Queues a copy of which the bytes at `checked` must lie in one buffer.
int copy(void *stream, uint64_t checked, void *to, const void *from, size_t bytes,
         streams::Item::Kind kind = streams::Item::work) {
  if (!isCurrent(stream)) return current ? 400 : 201;
  const Lock lock(mutex);
  if (!isInside(checked, bytes)) return 1;
  return streams::enqueue(stream_(stream), {kind, [=] {
                            memcpy(to, from, bytes);
                            return 0;
                          }, nullptr});
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  return copy(stream, to, reinterpret_cast<void *>(to), from, bytes, streams::Item::copyIn);
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  return copy(stream, from, to, reinterpret_cast<void *>(from), bytes);
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
  CALL {
    const Lock lock(mutex);
    if (!isInside(from, bytes)) return 1;
  }
  return copy(stream, to, reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
}
int cuStreamCreate(void **stream, unsigned) {
  CALL if (!current) return 201;
  const Lock lock(mutex);
  *stream = new streams::Stream(current, risesByAge(current));
  return 0;
}
int cuStreamBeginCapture_v2(void *stream, int) {
  CALL return isCurrent(stream) ? streams::beginCapture(stream_(stream)) : 400;
}
int cuStreamEndCapture(void *stream, void **graph) {
  *graph = nullptr;
  std::unique_ptr<streams::Graph> captured;
  const int ended = isCurrent(stream) ? streams::endCapture(stream_(stream), captured) : 400;
  CALL  // the capture has ended all the same
  if (ended) return ended;
  *graph = new GraphHandle{std::move(captured)};
  return 0;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  CALL * executable = new GraphHandle(*static_cast<GraphHandle *>(graph));
  return 0;
}
int cuGraphUpload(void *executable, void *stream) {
  CALL return executable && isCurrent(stream) ? 0 : 400;
}
int cuGraphLaunch(void *executable, void *stream) {
  CALL if (!isCurrent(stream)) return 400;
  return standin::queue(stream, [graph = *static_cast<GraphHandle *>(executable), rises = risesByAge(current)] {
    return streams::run(graph, rises);
  });
}
int cuGraphDestroy(void *graph) { CALL delete static_cast<GraphHandle *>(graph); return 0; }
int cuGraphExecDestroy(void *executable) { CALL delete static_cast<GraphHandle *>(executable); return 0; }
int cuStreamSynchronize(void *stream) {
  CALL if (breaksCapture(stream)) return captureUnsupported;
  return isCurrent(stream) ? streams::finish(stream_(stream)) : 400;
}
int cuStreamWaitEvent(void *stream, void *event, unsigned) {
  CALL return isCurrent(stream) ? streams::wait(stream_(stream), static_cast<streams::Event *>(event)) : 400;
}
int cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  CALL if (!current) return 201;
  *memory = malloc(bytes);
  return *memory ? 0 : 2;
}
int cuMemFreeHost(void *memory) {
  CALL if (current) streams::finishDevice(current);
  free(memory);
  return 0;
}
int cuEventCreate(void **event, unsigned) { CALL *event = new streams::Event{}; return 0; }
int cuEventDestroy_v2(void *event) { CALL delete static_cast<streams::Event *>(event); return 0; }
int cuEventRecord(void *event, void *stream) {
  CALL return isCurrent(stream) ? streams::record(static_cast<streams::Event *>(event), stream_(stream)) : 400;
}
int cuEventSynchronize(void *event) { CALL return streams::finish(static_cast<streams::Event *>(event)); }
int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
  CALL return streams::elapsed(static_cast<streams::Event *>(from), static_cast<streams::Event *>(to), milliseconds);
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
    case 600: *text = "device not ready"; break;
    case 700: *text = "an illegal memory access was encountered"; break;
    case 719: *text = "unspecified launch failure"; break;
    case 900: *text = "operation not permitted when stream is capturing"; break;
    case 901: *text = "operation failed due to a previous error during capture"; break;
    case 904: *text = "capturing stream has unjoined work"; break;
    case 905: *text = "dependency created on uncaptured work in another stream"; break;
    case 907: *text = "operation not permitted on an event last recorded in a capturing stream"; break;
    default: *text = "unrecognized error code";
  }
  return 0;
}
}  // namespace

bool standin::isDeviceMemory(const void *address, size_t bytes) {
  const Lock lock(mutex);
  return isInside(reinterpret_cast<uint64_t>(address), bytes);
}
bool standin::hasContext() { return current; }
int standin::plannedFailure(const char *name) { return ::plannedFailure(name); }
int standin::queue(void *stream, std::function<int()> work) {
  if (!isCurrent(stream)) return 400;
  return streams::enqueue(stream_(stream), {streams::Item::work, std::move(work), nullptr});
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
      ENTRY(cuMemcpyDtoDAsync_v2), ENTRY(cuStreamCreate), ENTRY(cuStreamSynchronize), ENTRY(cuStreamWaitEvent),
      ENTRY(cuEventCreate),
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
  const Lock lock(mutex);
  *count = 0;
  for (auto *k = emu::firstKernel(); k; k = k->next) *count += strncmp(k->name, "fault_", 6) != 0;
  int run = 0;
  for (const auto *k : launched) run += strncmp(k->name, "fault_", 6) != 0;
  return run;
}
const char *emulator_unused_kernel(int index) {
  const Lock lock(mutex);
  for (auto *k = emu::firstKernel(); k; k = k->next)
    if (!launched.count(k) && strncmp(k->name, "fault_", 6) != 0 && index-- == 0) return k->name;
  return nullptr;
}
}
