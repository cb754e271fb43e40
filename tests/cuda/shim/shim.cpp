// The text of the kernels compiled by g++: a thread of the host for every CUDA thread, a barrier for every barrier.
//
// A second reading of the text beside nvcc's, for sanitizers: they see every access of the source, not of the PTX.
// What is slow here (threads meet at barriers some milliseconds later) is of no matter.
#define QSIM_SHIM

#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

struct Dim {
  unsigned x, y, z;
};
thread_local Dim threadIdx, blockIdx;
Dim blockDim, gridDim;

struct Block {
  explicit Block(unsigned threads) : all(threads), slots(threads) {
    for (unsigned first = 0; first < threads; first += 32)
      warps.push_back(std::make_unique<std::barrier<>>(threads - first < 32 ? threads - first : 32));
  }
  std::barrier<> all;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<std::uint64_t> slots;  // what a lane shows the others
  char* shared = nullptr;
};
Block* block;

void __syncthreads() {
  block->all.arrive_and_wait();
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int lane) {
  std::barrier<>& warp = *block->warps[threadIdx.x / 32];
  std::memcpy(&block->slots[threadIdx.x], &value, sizeof value);
  warp.arrive_and_wait();
  std::memcpy(&value, &block->slots[threadIdx.x ^ static_cast<unsigned>(lane)], sizeof value);
  warp.arrive_and_wait();
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

using Kernel = void (*)(void*, const void*, std::uint64_t, void*);

// Run all blocks, one after the other. Shared memory is exactly as large as asked for, and holds NaN patterns at first.
extern "C" void shim_launch(Kernel kernel, unsigned grid, unsigned threads, std::size_t shared,
                            const std::uint64_t* arguments) {
  gridDim = {grid, 1, 1};
  blockDim = {threads, 1, 1};
  Block state(threads);
  block = &state;
  std::vector<std::thread> pool;
  for (unsigned thread = 0; thread < threads; ++thread)
    pool.emplace_back([=] {
      threadIdx = {thread, 0, 0};
      for (unsigned number = 0; number < grid; ++number) {
        blockIdx = {number, 0, 0};
        if (thread == 0) {
          block->shared = static_cast<char*>(std::malloc(shared));
          std::memset(block->shared, 0xff, shared);
        }
        block->all.arrive_and_wait();
        kernel(reinterpret_cast<void*>(arguments[0]), reinterpret_cast<const void*>(arguments[1]), arguments[2],
               reinterpret_cast<void*>(arguments[3]));
        block->all.arrive_and_wait();
        if (thread == 0) std::free(block->shared);
      }
    });
  for (std::thread& thread : pool) thread.join();
}
