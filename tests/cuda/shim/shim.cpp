// The text of the kernels compiled by g++: a fiber for every CUDA thread, which goes on until it meets a barrier.
//
// A second reading of the text beside nvcc's, for sanitizers: they see every access of the source, not of the PTX. To
// ThreadSanitizer fibers are threads that nothing orders but barriers, and what is below is not looked at.
#define QSIM_SHIM

#include <sanitizer/common_interface_defs.h>
#include <sanitizer/tsan_interface.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

struct Dim {
  unsigned x, y, z;
};
Dim threadIdx, blockIdx, blockDim, gridDim;

#ifdef __SANITIZE_THREAD__
#define QSIM_UNSEEN __attribute__((no_sanitize("thread")))
#define QSIM_ACQUIRE(place) __tsan_acquire(place)
#define QSIM_RELEASE(place) __tsan_release(place)
#else
#define QSIM_UNSEEN
#define QSIM_ACQUIRE(place)
#define QSIM_RELEASE(place)
#endif

namespace {

constexpr std::size_t stack_bytes = 64 << 10;

// Where a fiber, or what runs them, goes on; the sanitizer is told which it is on.
struct Place {
  ucontext_t context;
  void* known = nullptr;  // to the sanitizer
  const void* bottom = nullptr;
  std::size_t size = 0;
};
Place scheduler;

QSIM_UNSEEN void go(Place& from, Place& to, bool for_good = false) {
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(to.known, __tsan_switch_to_fiber_no_sync);
  swapcontext(&from.context, &to.context);
#else
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.known, to.bottom, to.size);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(from.known, nullptr, nullptr);
#endif
}

struct Fiber : Place {
  std::vector<char> stack = std::vector<char>(stack_bytes);
  bool done = false;
};

// Threads of a block or a warp; whoever comes last lets all go on.
struct Barrier {
  unsigned expected = 0, arrived = 0, generation = 0;
  char tags[2] = {};  // what orders them, in turn: some may be at the next barrier before others left this one
  void wait();
};

struct Block {
  std::vector<Fiber> fibers;
  Barrier all;
  std::vector<Barrier> warps;
  std::vector<std::uint64_t> slots;  // what a lane shows the others
  char* shared = nullptr;
  void (*kernel)(void*, const void*, std::uint64_t, void*) = nullptr;
  const std::uint64_t* arguments = nullptr;
};
Block* block;
std::uint64_t steps = 0;  // barriers passed, and threads done
bool with_barriers = true;
char begun, ended;

QSIM_UNSEEN void Barrier::wait() {
  const unsigned mine = generation;
  QSIM_RELEASE(&tags[mine & 1]);
  if (++arrived == expected) {
    arrived = 0;
    ++generation;
    ++steps;
  }
  while (generation == mine) go(block->fibers[threadIdx.x], scheduler);
  QSIM_ACQUIRE(&tags[mine & 1]);
}

QSIM_UNSEEN void __syncthreads() {
  if (with_barriers) block->all.wait();
}

template <class T>
QSIM_UNSEEN T __shfl_xor_sync(unsigned, T value, int lane) {
  Barrier& warp = block->warps[threadIdx.x / 32];
  std::memcpy(&block->slots[threadIdx.x], &value, sizeof value);
  warp.wait();
  std::memcpy(&value, &block->slots[threadIdx.x ^ static_cast<unsigned>(lane)], sizeof value);
  warp.wait();
  return value;
}

int __popc(unsigned value) {
  return __builtin_popcount(value);
}
int __popcll(unsigned long long value) {
  return __builtin_popcountll(value);
}
int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
int __clzll(long long value) {
  return value == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(value));
}

}  // namespace

#define QSIM_DEVICE
#define QSIM_KERNEL(...) extern "C" void
#define QSIM_SHARED(type, name) type* name = reinterpret_cast<type*>(block->shared)
#define QSIM_KEEP_IN_LOOP asm volatile("" ::: "memory")
#define QSIM_HIDE(value) asm volatile("" : "+r"(value))
#include "entries.cuh"

namespace {

QSIM_UNSEEN void run_thread() {
#ifndef __SANITIZE_THREAD__
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.bottom, &scheduler.size);
#endif
  QSIM_ACQUIRE(&begun);
  const std::uint64_t* arguments = block->arguments;
  block->kernel(reinterpret_cast<void*>(arguments[0]), reinterpret_cast<const void*>(arguments[1]), arguments[2],
                reinterpret_cast<void*>(arguments[3]));
  Fiber& own = block->fibers[threadIdx.x];
  own.done = true;
  ++steps;
  QSIM_RELEASE(&ended);
  go(own, scheduler, true);
}

}  // namespace

// Run all blocks, one after the other. Shared memory is exactly as large as asked for, and holds NaN patterns at first.
// Return 1 if some threads wait at a barrier that the others never reach.
extern "C" QSIM_UNSEEN int shim_launch(decltype(Block::kernel) kernel, unsigned grid, unsigned threads,
                                       std::size_t shared, const std::uint64_t* arguments) {
  gridDim = {grid, 1, 1};
  blockDim = {threads, 1, 1};
  Block state;
  block = &state;
  state.kernel = kernel;
  state.arguments = arguments;
  state.slots.resize(threads);
  state.fibers = std::vector<Fiber>(threads);
#ifdef __SANITIZE_THREAD__
  scheduler.known = __tsan_get_current_fiber();
  for (Fiber& fiber : state.fibers) fiber.known = __tsan_create_fiber(0);
#endif
  for (unsigned number = 0; number < grid; ++number) {
    blockIdx = {number, 0, 0};
    state.all = {threads};
    state.warps.clear();
    for (unsigned first = 0; first < threads; first += 32)
      state.warps.push_back({threads - first < 32 ? threads - first : 32});
    state.shared = static_cast<char*>(std::malloc(shared));
    std::memset(state.shared, 0xff, shared);
    for (Fiber& fiber : state.fibers) {
      fiber.done = false;
      fiber.bottom = fiber.stack.data();
      fiber.size = fiber.stack.size();
      getcontext(&fiber.context);
      fiber.context.uc_stack = {fiber.stack.data(), 0, fiber.stack.size()};
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, run_thread, 0);
    }
    QSIM_RELEASE(&begun);
    // Each in turn up to its next barrier, until all are done, or a round moves nobody.
    for (bool moved = true; moved;) {
      const std::uint64_t before = steps;
      for (unsigned thread = 0; thread < threads; ++thread) {
        if (state.fibers[thread].done) continue;
        threadIdx = {thread, 0, 0};
        go(scheduler, state.fibers[thread]);
      }
      moved = steps != before;
    }
    QSIM_ACQUIRE(&ended);
    std::free(state.shared);
    for (const Fiber& fiber : state.fibers)
      if (!fiber.done) return 1;
  }
#ifdef __SANITIZE_THREAD__
  for (Fiber& fiber : state.fibers) __tsan_destroy_fiber(fiber.known);
#endif
  return 0;
}

extern "C" void shim_leave_barriers_out() {
  with_barriers = false;
}
