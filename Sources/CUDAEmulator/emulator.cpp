// The scheduler of the fibers. One launch runs at a time; the state of the running block is global.
#include "emulator.h"

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

// Hidden, so that an emulator in a shared library of its own uses its own.
extern "C" __attribute__((visibility("hidden"))) unsigned char __start_emu_shared[], __stop_emu_shared[];

namespace emu {
Lane *self;
uint3 block;
dim3 blockShape, gridShape;
unsigned char *dynamicShared;
std::string error;

namespace {
Kernel *kernels;
// A stack and a little more, so that the stacks do not share one set of the cache.
constexpr size_t stackBytes = (64 << 10) + 1088, maxThreads = 1024, maxCopies = 256;
std::vector<Lane> lanes;
std::vector<int> order;
std::vector<PendingCopy> copies;
std::vector<unsigned char> dynamic;
char *stacks;
void *schedulerSP;
Entry entry;
void **params;
unsigned schedule;
int alive, waiting;
struct Warp {
  uint32_t arrived, mask, alive;
  Collective op;
  void *mine[32];
};
std::vector<Warp> warps;

extern "C" void emu_switch(void **save, void *to);
#if defined(__x86_64__)
asm(R"(.text
.globl emu_switch
.type emu_switch, @function
emu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi); movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(.text
.globl emu_switch
.type emu_switch, %function
emu_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]; stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]; stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]; stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]
  mov x9, sp; str x9, [x0]; mov sp, x1
  ldp x19, x20, [sp, #0]; ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]; ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]; ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]; ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#endif

void yield() {
  Lane *me = self;
  emu_switch(&me->sp, schedulerSP);
}

void releaseBarrierIfFull() {
  if (!waiting || waiting != alive) return;
  for (auto &l : lanes)
    if (l.state == Lane::atBarrier) l.state = Lane::ready;
  waiting = 0;
}

[[noreturn]] void start() {
  entry(params);
  copyWait(0);
  self->state = Lane::done;
  --alive;
  warps[self->index >> 5].alive &= ~(1u << (self->index & 31));
  releaseBarrierIfFull();
  yield();
  abort();
}

void fail(std::string text) {
  if (error.empty()) error = std::move(text);
}

// An access to an unreadable page inside a kernel ends the launch, not the process.
sigjmp_buf faultExit;
volatile sig_atomic_t insideKernel = 0;
pthread_t kernelThread;
struct sigaction previousAction[2];

void onFault(int number, siginfo_t *info, void *context) {
  if (insideKernel && pthread_equal(pthread_self(), kernelThread)) {
    insideKernel = 0;
    siglongjmp(faultExit, 1);
  }
  const struct sigaction &previous = previousAction[number == SIGBUS];
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(number, info, context);
  } else {
    sigaction(number, &previous, nullptr);  // the access is repeated and ends as it would without us
  }
}

void catchFaults() {
  static bool isDone = false;
  if (isDone) return;
  isDone = true;
  struct sigaction action = {};
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, &previousAction[0]);
  sigaction(SIGBUS, &action, &previousAction[1]);
}

void prepare(Lane &l, int index, dim3 b) {
  l.thread = {index % b.x, index / b.x % b.y, index / (b.x * b.y)};
  l.index = index;
  l.state = Lane::ready;
  l.group = l.pending = 0;
  l.stack = stacks + index * stackBytes;
  l.copies = &copies[index * maxCopies];
  auto *top = reinterpret_cast<void **>((reinterpret_cast<uintptr_t>(l.stack + stackBytes) & ~uintptr_t(15)) - 16);
#if defined(__x86_64__)
  top -= 2;
  *top = reinterpret_cast<void *>(&start);  // 16n + 8 on entry, as after a call
  top -= 6;
  memset(top, 0, 48);
#else
  top -= 20;
  memset(top, 0, 160);
  top[11] = reinterpret_cast<void *>(&start);
#endif
  l.sp = top;
}

bool turn(int i) {
  self = &lanes[i];
  emu_switch(&schedulerSP, self->sp);
  return error.empty();
}

/// One block, to its end. False after an error.
bool runBlock(const Kernel &kernel, int n, uint64_t &rng) {
  for (uint64_t rounds = 0; alive; ++rounds) {
    if (rounds > 50'000'000) return fail(std::string(kernel.name) + " does not end"), false;
    bool ran = false;
    if (schedule > 1) {
      for (int i = n - 1; i > 0; --i) {
        rng = rng * 6364136223846793005ull + 1442695040888963407ull;
        std::swap(order[i], order[(rng >> 33) % (i + 1)]);
      }
      for (int i : order)
        if (lanes[i].state == Lane::ready) {
          ran = true;
          if (!turn(i)) return false;
        }
    } else {
      // One warp as far as it goes before the next gets a turn.
      for (size_t w = 0; w < warps.size(); ++w)
        for (bool again = true; again;) {
          again = false;
          for (int j = int(w) * 32; j < std::min(n, int(w) * 32 + 32); ++j)
            if (lanes[order[j]].state == Lane::ready) {
              again = ran = true;
              if (!turn(order[j])) return false;
            }
        }
    }
    if (!ran) {
      int atWarp = 0;
      for (auto &l : lanes) atWarp += l.state == Lane::atWarp;
      fail("deadlock in " + std::string(kernel.name) + ": " + std::to_string(waiting) +
           " threads wait at __syncthreads, " + std::to_string(atWarp) + " at a warp-wide operation, " +
           std::to_string(n - alive) + " have returned");
      return false;
    }
  }
  return true;
}

bool runGrid(const Kernel &kernel, dim3 g, dim3 b, size_t sharedBytes) {
  const int n = int(b.x * b.y * b.z);
  uint64_t rng = schedule * 0x9E3779B97F4A7C15ull + 1;
  for (block.z = 0; block.z < g.z; ++block.z)
    for (block.y = 0; block.y < g.y; ++block.y)
      for (block.x = 0; block.x < g.x; ++block.x) {
        memset(__start_emu_shared, 0xff, size_t(__stop_emu_shared - __start_emu_shared));
        memset(dynamicShared, 0xff, sharedBytes);
        warps.assign(size_t(n + 31) / 32, {});
        alive = n;
        waiting = 0;
        for (int i = 0; i < n; ++i) {
          prepare(lanes[size_t(i)], i, b);
          warps[size_t(i >> 5)].alive |= 1u << (i & 31);
          order[size_t(i)] = schedule == 1 ? n - 1 - i : i;
        }
        if (!runBlock(kernel, n, rng)) return false;
      }
  return true;
}
}  // namespace

Kernel::Kernel(const char *n, Entry r, int t, std::vector<size_t> b)
    : name(n), run(r), threads(t), parameterBytes(std::move(b)), next(kernels) {
  kernels = this;
}

Kernel *firstKernel() { return kernels; }

void barrier() {
  self->state = Lane::atBarrier;
  ++waiting;
  releaseBarrierIfFull();
  if (self->state != Lane::ready) yield();
}

void collective(Collective op, void *mine, uint32_t mask) {
  Warp &w = warps[size_t(self->index >> 5)];
  const int lane = self->index & 31;
  if (w.arrived && (w.op != op || w.mask != mask)) {
    fail("warp-wide operations differ between the lanes of warp " + std::to_string(self->index >> 5));
    yield();
  }
  w.op = op;
  w.mask = mask;
  w.mine[lane] = mine;
  w.arrived |= 1u << lane;
  self->state = Lane::atWarp;
  if ((w.arrived & mask) == (mask & (w.alive | w.arrived))) {
    op(w.mine, w.arrived);
    const uint32_t all = w.arrived;
    w.arrived = 0;
    for (int i = 0; i < 32; ++i)
      if (all >> i & 1) lanes[size_t((self->index & ~31) + i)].state = Lane::ready;
    return;
  }
  yield();
}

void copyAsync(void *dst, const void *src, bool valid) {
  if ((reinterpret_cast<uintptr_t>(dst) | reinterpret_cast<uintptr_t>(src)) & 15)
    fail("cp.async between addresses that are not aligned to 16 bytes");
  if (schedule & 1) {
    // As early as it may land: overwriting what others still read shows.
    if (valid) memcpy(dst, src, 16);
    else memset(dst, 0, 16);
  } else if (self->pending == int(maxCopies)) {
    fail("more than 256 copies of one thread in flight");
  } else {
    // As late as it may land: a forgotten wait shows.
    self->copies[self->pending++] = {dst, src, valid, self->group};
  }
}

void copyWait(int keep) {
  int kept = 0;
  for (int i = 0; i < self->pending; ++i) {
    const PendingCopy c = self->copies[i];
    if (c.group >= self->group - keep) self->copies[kept++] = c;
    else if (c.valid) memcpy(c.dst, c.src, 16);
    else memset(c.dst, 0, 16);
  }
  self->pending = kept;
}

bool launch(const Kernel &kernel, dim3 g, dim3 b, size_t sharedBytes, void **p, unsigned order_) {
  const size_t n = size_t(b.x) * b.y * b.z;
  error.clear();
  if (n < 1 || n > size_t(kernel.threads))
    return fail(std::string(kernel.name) + ": a block of " + std::to_string(n) + " threads, at most " +
                std::to_string(kernel.threads) + " are allowed"), false;
  if (g.x < 1 || g.y < 1 || g.z < 1 || g.x > 2147483647u || g.y > 65535 || g.z > 65535)
    return fail(std::string(kernel.name) + ": a grid of " + std::to_string(g.x) + " x " + std::to_string(g.y) + " x " +
                std::to_string(g.z)), false;
  if (sharedBytes > 227 << 10) return fail(std::string(kernel.name) + ": more than 227 KiB of shared memory"), false;
  if (!stacks) {
    void *memory = mmap(nullptr, maxThreads * stackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return fail("no memory for the stacks of threads"), false;
    stacks = static_cast<char *>(memory);
    copies.resize(maxThreads * maxCopies);
  }
  catchFaults();
  entry = kernel.run;
  params = p;
  blockShape = b;
  gridShape = g;
  schedule = order_;
  if (dynamic.size() < sharedBytes + 128) dynamic.resize(sharedBytes + 128);
  dynamicShared = dynamic.data() + (-reinterpret_cast<uintptr_t>(dynamic.data()) & 127);
  lanes.resize(n);
  order.resize(n);
  kernelThread = pthread_self();
  if (sigsetjmp(faultExit, 1)) {
    const uint3 t = self->thread;
    fail(std::string(kernel.name) + ": illegal address in block (" + std::to_string(block.x) + ", " +
         std::to_string(block.y) + "), thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ")");
    return false;
  }
  insideKernel = 1;
  const bool isWhole = runGrid(kernel, g, b, sharedBytes);
  insideKernel = 0;
  return isWhole;
}
}  // namespace emu
