// What translated PTX runs on: the threads of a block as fibers, its memories as checked arrays.
//
// One block runs at a time on one OS thread; a thread runs until it reaches a barrier, a warp operation or its end.
// Watched on the way: bounds, alignment, reads of shared memory nobody wrote, races in shared and global memory,
// barriers and warp operations that not all threads reach. Weak memory ordering and time are not modelled.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using f32 = float;
using f64 = double;

template <class To, class From>
inline To bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps its size");
  return __builtin_bit_cast(To, value);
}

enum Check : u32 { bounds = 1, races = 2, initialised = 4, trace = 8 };
enum class Space : u8 { global, shared };
enum class Access : u8 { read, write, atomic };
enum class State : u8 { ready, barrier, warp, done };

constexpr u32 warp_size = 32;
constexpr u64 shared_window = 0x7000000000000000;  // where shared memory lies in generic addresses
constexpr std::size_t stack_bytes = 256 << 10;

struct Allocation {
  u64 base;
  u64 size;
};

// Who touched a word since when. Two different readers are kept: a writer may be one of them.
struct Shadow {
  struct Touch {
    u32 launch = 0, thread = 0, epoch = 0, warp_epoch = 0;
    u64 block = 0;
    bool atomic = false;
  };
  Touch writer, readers[2];
};

struct Launch {
  u32 grid[3], block[3];
  u32 dynamic_shared;
  u32 checks;
  u32 reverse;  // threads run from the last to the first
  u32 serial;   // number of this launch, from 1
  const u8* params;
  const Allocation* allocations;
  u64 num_allocations;
  const u64* chosen;  // linear block numbers to run, or null for all
  u64 num_chosen;
  char* message;  // 1024 bytes
  u64* traffic;   // null, or six numbers per instruction: requests, sectors, wavefronts, bytes, segments, an address
  u64* skips;     // counts how often the barrier was left out
  u32 skipped;    // a barrier to leave out, as the number of its instruction; none: 2^32 - 1
};

struct Block;

struct Thread {
  Block* block;
  u32 tid[3], linear;
  State state;
  u32 at;         // instruction it waits at
  u32 mask;       // of a warp operation
  u32 kind;       // shuffle mode, vote or synchronisation
  u32 value, lane_argument, clamp, result;
  bool predicate;
  void* stack_pointer;
  std::vector<u32>* visits;  // how often it ran each memory instruction, for traces
};

using Body = void (*)(Thread&);

struct Entry {
  const char* name;
  Body body;
  u32 static_shared, max_threads, param_bytes, num_instructions;
  const char* const* texts;
};

extern "C" void ptx_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.type ptx_switch, @function
.globl ptx_switch
ptx_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ptx_switch, .-ptx_switch
)");
#else
#error "the PTX runner switches fibers with x86-64 assembly"
#endif

struct Block {
  const Launch* launch;
  const Entry* entry;
  u64 linear;
  u32 index[3];
  u32 epoch = 1;
  std::vector<u32> warp_epoch;
  std::vector<Thread> threads;
  std::vector<u8> shared, written;
  std::vector<Shadow> shared_shadow;
  void* scheduler = nullptr;
  bool failed = false;
};

// --- state of the module: shadows of global memory outlive a launch ----------------------------------------------------

inline std::map<u64, std::vector<Shadow>>& global_shadows() {
  static std::map<u64, std::vector<Shadow>> shadows;
  return shadows;
}

inline std::vector<u8*>& stacks() {
  static std::vector<u8*> pool;
  return pool;
}

// One record per lane of a warp-wide access, to count sectors and bank conflicts.
using TraceKey = std::tuple<u64, u32, u32, u32>;  // block, warp, instruction, visit
struct TraceRow {
  Space space;
  std::vector<std::pair<u64, u32>> lanes;  // address, bytes
};
inline std::map<TraceKey, TraceRow>& trace_rows() {
  static std::map<TraceKey, TraceRow> rows;
  return rows;
}

[[noreturn]] inline void fail(Thread& thread, u32 instruction, const std::string& what) {
  Block& block = *thread.block;
  if (!block.failed) {
    block.failed = true;
    std::snprintf(block.launch->message, 1024, "%s: %s: block %llu thread %u: %s", block.entry->name, what.c_str(),
                  static_cast<unsigned long long>(block.linear), thread.linear, block.entry->texts[instruction]);
  }
  thread.state = State::done;
  void* ignored;
  ptx_switch(&ignored, block.scheduler);
  __builtin_unreachable();
}

inline void wait(Thread& thread, State state, u32 instruction) {
  thread.state = state;
  thread.at = instruction;
  ptx_switch(&thread.stack_pointer, thread.block->scheduler);
}

// --- memory --------------------------------------------------------------------------------------------------------------

inline bool ordered(const Thread& thread, const Shadow::Touch& touch) {
  const Block& block = *thread.block;
  if (touch.launch != block.launch->serial) return true;
  if (touch.block != block.linear) return false;
  if (touch.thread == thread.linear || touch.epoch != block.epoch) return true;
  const u32 warp = thread.linear / warp_size;
  return touch.thread / warp_size == warp && touch.warp_epoch != block.warp_epoch[warp];
}

inline void touch(Thread& thread, Shadow& word, Access access, u32 instruction) {
  const Block& block = *thread.block;
  const bool atomic = access == Access::atomic;
  if (!(atomic && word.writer.atomic) && !ordered(thread, word.writer)) fail(thread, instruction, "race with a write");
  const Shadow::Touch now{block.launch->serial, thread.linear, block.epoch,
                          block.warp_epoch[thread.linear / warp_size], block.linear, atomic};
  if (access == Access::read) {
    Shadow::Touch* place = &word.readers[0];
    if (place->launch == now.launch && (place->thread != now.thread || place->block != now.block)) {
      place = &word.readers[1];
    }
    *place = now;
    return;
  }
  for (const Shadow::Touch& reader : word.readers) {
    if (!ordered(thread, reader)) fail(thread, instruction, "race with a read");
  }
  word.writer = now;
}

inline const Allocation* allocation_of(const Launch& launch, u64 address) {
  const Allocation* end = launch.allocations + launch.num_allocations;
  const Allocation* found = std::upper_bound(launch.allocations, end, address,
                                             [](u64 value, const Allocation& a) { return value < a.base; });
  return found == launch.allocations ? nullptr : found - 1;
}

inline void note(Thread& thread, Space space, u64 address, u32 size, u32 instruction) {
  const u32 visit = (*thread.visits)[instruction]++;
  TraceRow& row = trace_rows()[{thread.block->linear, thread.linear / warp_size, instruction, visit}];
  row.space = space;
  row.lanes.emplace_back(address, size);
}

// The host address of `size` bytes at `address`, after all checks.
inline u8* reach(Thread& thread, Space space, u64 address, u32 size, u32 align, Access access, u32 instruction) {
  Block& block = *thread.block;
  const Launch& launch = *block.launch;
  const char* name = space == Space::shared ? "shared" : "global";
  if (address % align != 0) fail(thread, instruction, std::string("misaligned ") + name + " address");
  if (launch.checks & Check::trace) note(thread, space, address, size, instruction);
  if (space == Space::shared) {
    if (address + size > block.shared.size()) fail(thread, instruction, "shared memory out of bounds");
    for (u64 byte = address; byte < address + size; ++byte) {
      if (access != Access::write && (launch.checks & Check::initialised) && !block.written[byte]) {
        fail(thread, instruction, "read of shared memory that nobody wrote");
      }
      if (access != Access::read) block.written[byte] = 1;
    }
    if (launch.checks & Check::races) {
      for (u64 word = address / 4; word < (address + size + 3) / 4; ++word) {
        touch(thread, block.shared_shadow[word], access, instruction);
      }
    }
    return block.shared.data() + address;
  }
  if (launch.checks & (Check::bounds | Check::races)) {
    const Allocation* home = allocation_of(launch, address);
    if (home == nullptr || address + size > home->base + home->size) {
      fail(thread, instruction, "global memory out of bounds");
    }
    if ((launch.checks & Check::races) && home->size <= (u64{1} << 26)) {
      std::vector<Shadow>& shadow = global_shadows()[home->base];
      if (shadow.size() * 4 < home->size) shadow.resize((home->size + 3) / 4);
      for (u64 word = (address - home->base) / 4; word < (address - home->base + size + 3) / 4; ++word) {
        touch(thread, shadow[word], access, instruction);
      }
    }
  }
  return reinterpret_cast<u8*>(address);
}

inline Space space_of(u64& address) {
  if (address >= shared_window && address < shared_window + (u64{1} << 32)) {
    address -= shared_window;
    return Space::shared;
  }
  return Space::global;
}

template <class T>
inline T load(const u8* place) {
  T value;
  std::memcpy(&value, place, sizeof(T));
  return value;
}

template <class T>
inline void store(u8* place, T value) {
  std::memcpy(place, &value, sizeof(T));
}

// Change memory in one step and return what was there. Threads run one at a time, so it is atomic.
template <class T, class Change>
inline T atomic(Thread& thread, Space space, u64 address, u32 instruction, Change change) {
  u8* place = reach(thread, space, address, sizeof(T), sizeof(T), Access::atomic, instruction);
  const T before = load<T>(place);
  store<T>(place, change(before));
  return before;
}

// --- barriers and warps ------------------------------------------------------------------------------------------------

inline void barrier(Thread& thread, u32 instruction) {
  const Launch& launch = *thread.block->launch;
  if (instruction == launch.skipped) {
    ++*launch.skips;
    return;
  }
  wait(thread, State::barrier, instruction);
}

enum class Warp : u32 { idx, up, down, bfly, vote_ballot, vote_all, vote_any, sync };

inline u32 warp_operation(Thread& thread, Warp kind, u32 value, u32 argument, u32 clamp, u32 mask, u32 instruction) {
  if (!(mask >> thread.linear % warp_size & 1)) fail(thread, instruction, "the thread is not in its own warp mask");
  thread.kind = static_cast<u32>(kind);
  thread.value = value;
  thread.lane_argument = argument;
  thread.clamp = clamp;
  thread.mask = mask;
  wait(thread, State::warp, instruction);
  return thread.result;
}

// Where a shuffle reads from, as the PTX ISA defines shfl.sync: (source lane, inside the segment).
inline std::pair<u32, bool> source_lane(Warp kind, u32 lane, u32 b, u32 c) {
  const u32 segment = c >> 8 & 31, clamp = c & 31;
  const u32 last = (lane & segment) | (clamp & ~segment), first = lane & segment;
  switch (kind) {
    case Warp::up: {
      const bool inside = static_cast<s32>(lane) - static_cast<s32>(b & 31) >= static_cast<s32>(last);
      return {inside ? lane - (b & 31) : lane, inside};
    }
    case Warp::down: {
      const bool inside = lane + (b & 31) <= last;
      return {inside ? lane + (b & 31) : lane, inside};
    }
    case Warp::bfly: {
      const bool inside = (lane ^ (b & 31)) <= last;
      return {inside ? lane ^ (b & 31) : lane, inside};
    }
    default: {
      const u32 source = first | (b & 31 & ~segment);
      return {source <= last ? source : lane, source <= last};
    }
  }
}

// Serve every warp whose named lanes all wait at one operation; true if any was served.
inline bool serve_warps(Block& block) {
  bool served = false;
  const u32 count = static_cast<u32>(block.threads.size());
  for (u32 start = 0; start < count; start += warp_size) {
    const u32 lanes = std::min(warp_size, count - start);
    Thread* warp = &block.threads[start];
    for (u32 lane = 0; lane < lanes; ++lane) {
      Thread& leader = warp[lane];
      if (leader.state != State::warp) continue;
      bool complete = true;
      for (u32 other = 0; other < warp_size; ++other) {
        if (!(leader.mask >> other & 1)) continue;
        if (other >= lanes || warp[other].state == State::done) {
          if (!block.failed) {
            block.failed = true;
            std::snprintf(block.launch->message, 1024, "%s: warp operation names a lane that has ended: block %llu: %s",
                          block.entry->name, static_cast<unsigned long long>(block.linear),
                          block.entry->texts[leader.at]);
          }
          return false;
        }
        complete = complete && warp[other].state == State::warp && warp[other].mask == leader.mask &&
                   warp[other].at == leader.at;
      }
      if (!complete) continue;
      u32 ballot = 0;
      for (u32 other = 0; other < lanes; ++other) {
        if (leader.mask >> other & 1 && warp[other].value != 0) ballot |= 1u << other;
      }
      const Warp kind = static_cast<Warp>(leader.kind);
      for (u32 other = 0; other < lanes; ++other) {
        if (!(leader.mask >> other & 1)) continue;
        Thread& thread = warp[other];
        thread.predicate = true;
        switch (kind) {
          case Warp::sync:
            break;
          case Warp::vote_ballot:
            thread.result = ballot;
            break;
          case Warp::vote_all:
            thread.result = ballot == leader.mask;
            break;
          case Warp::vote_any:
            thread.result = ballot != 0;
            break;
          default: {
            const auto [source, inside] = source_lane(kind, other, thread.lane_argument, thread.clamp);
            if (!(leader.mask >> source & 1) || source >= lanes) {
              block.failed = true;
              std::snprintf(block.launch->message, 1024, "%s: shuffle reads a lane outside its mask: block %llu: %s",
                            block.entry->name, static_cast<unsigned long long>(block.linear),
                            block.entry->texts[leader.at]);
              return false;
            }
            thread.result = warp[source].value;
            thread.predicate = inside;
          }
        }
      }
      const u32 mask = leader.mask;
      for (u32 other = 0; other < lanes; ++other) {
        if (mask >> other & 1) warp[other].state = State::ready;
      }
      if (kind == Warp::sync) ++block.warp_epoch[start / warp_size];
      served = true;
    }
  }
  return served;
}

// --- running -----------------------------------------------------------------------------------------------------------

// The thread that is switched to: a fiber that starts finds itself here.
inline Thread*& starting() {
  static Thread* thread = nullptr;
  return thread;
}

inline void start_thread() {
  Thread* thread = starting();
  thread->block->entry->body(*thread);
  thread->state = State::done;
  void* ignored;
  ptx_switch(&ignored, thread->block->scheduler);
  __builtin_unreachable();
}

inline void prepare_stack(Thread& thread, u8* stack) {
  u64* top = reinterpret_cast<u64*>(stack + stack_bytes);
  --top;  // the ABI wants rsp + 8 divisible by 16 at the entry of a function
  *--top = reinterpret_cast<u64>(&start_thread);
  for (int saved = 0; saved < 6; ++saved) *--top = 0;
  thread.stack_pointer = top;
}

inline void complain(Block& block, const char* what, u32 instruction) {
  block.failed = true;
  std::snprintf(block.launch->message, 1024, "%s: %s: block %llu: %s", block.entry->name, what,
                static_cast<unsigned long long>(block.linear), block.entry->texts[instruction]);
}

inline bool run_block(const Entry& entry, const Launch& launch, u64 linear) {
  Block block;
  block.launch = &launch;
  block.entry = &entry;
  block.linear = linear;
  block.index[0] = static_cast<u32>(linear % launch.grid[0]);
  block.index[1] = static_cast<u32>(linear / launch.grid[0] % launch.grid[1]);
  block.index[2] = static_cast<u32>(linear / launch.grid[0] / launch.grid[1]);
  const u32 count = launch.block[0] * launch.block[1] * launch.block[2];
  block.shared.assign(entry.static_shared + launch.dynamic_shared, 0xff);
  block.written.assign(block.shared.size(), 0);
  block.shared_shadow.resize((block.shared.size() + 3) / 4);
  block.warp_epoch.assign((count + warp_size - 1) / warp_size, 1);
  block.threads.resize(count);
  std::vector<std::vector<u32>> visits(count);
  while (stacks().size() < count) {
    void* memory = mmap(nullptr, stack_bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::snprintf(launch.message, 1024, "%s: no memory for the stacks of %u threads", entry.name, count);
      return false;
    }
    mprotect(memory, 4096, PROT_NONE);
    stacks().push_back(static_cast<u8*>(memory) + 4096);
  }
  for (u32 i = 0; i < count; ++i) {
    Thread& thread = block.threads[i];
    thread = Thread{};
    thread.block = &block;
    thread.linear = i;
    thread.tid[0] = i % launch.block[0];
    thread.tid[1] = i / launch.block[0] % launch.block[1];
    thread.tid[2] = i / launch.block[0] / launch.block[1];
    thread.state = State::ready;
    visits[i].assign(launch.checks & Check::trace ? entry.num_instructions : 0, 0);
    thread.visits = &visits[i];
    prepare_stack(thread, stacks()[i]);
  }
  while (true) {
    bool ran = false;
    for (u32 step = 0; step < count; ++step) {
      Thread& thread = block.threads[launch.reverse ? count - 1 - step : step];
      if (thread.state != State::ready) continue;
      ran = true;
      starting() = &thread;
      ptx_switch(&block.scheduler, thread.stack_pointer);
      if (block.failed) return false;
    }
    if (serve_warps(block)) continue;
    if (block.failed) return false;
    if (ran) continue;
    u32 waiting = 0, ended = 0, stuck = 0;
    const Thread* first = nullptr;
    for (const Thread& thread : block.threads) {
      ended += thread.state == State::done;
      if (thread.state == State::warp) {
        ++stuck;
        first = &thread;
      }
      if (thread.state != State::barrier) continue;
      if (stuck == 0 && waiting > 0 && first->at != thread.at) {
        complain(block, "threads wait at different barriers", thread.at);
        return false;
      }
      first = first == nullptr ? &thread : first;
      ++waiting;
    }
    if (ended == count) return true;
    if (stuck > 0) {
      complain(block, "not all lanes of the mask reach this warp operation", first->at);
      return false;
    }
    if (ended > 0) {
      complain(block, "barrier after threads have ended", first->at);
      return false;
    }
    ++block.epoch;
    for (Thread& thread : block.threads) thread.state = State::ready;
  }
}

// Requests, 32-byte sectors and 128-byte segments (global), wavefronts of 32 banks (shared), bytes, and the lowest address
// of every memory instruction.
inline void count_traffic(const Launch& launch) {
  for (const auto& [key, row] : trace_rows()) {
    u64* counters = launch.traffic + 6 * std::get<2>(key);
    std::vector<u64> sectors, segments;
    u64 bytes = 0, wavefronts = 0;
    for (const auto& [address, size] : row.lanes) {
      bytes += size;
      for (u64 sector = address / 32; sector <= (address + size - 1) / 32; ++sector) sectors.push_back(sector);
      segments.push_back(address / 128);
    }
    std::sort(sectors.begin(), sectors.end());
    sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
    std::sort(segments.begin(), segments.end());
    segments.erase(std::unique(segments.begin(), segments.end()), segments.end());
    // Wide accesses are served 128 bytes at a time: 16 lanes of 8 bytes, 8 lanes of 16.
    const std::size_t together = std::max<std::size_t>(1, 128 / std::max<u32>(row.lanes[0].second, 4));
    for (std::size_t first = 0; first < row.lanes.size(); first += together) {
      std::map<u64, std::vector<u64>> banks;
      for (std::size_t lane = first; lane < std::min(first + together, row.lanes.size()); ++lane) {
        const auto& [address, size] = row.lanes[lane];
        for (u64 word = address / 4; word < (address + size + 3) / 4; ++word) banks[word % 32].push_back(word);
      }
      u64 most = 0;
      for (auto& [bank, words] : banks) {
        std::sort(words.begin(), words.end());
        words.erase(std::unique(words.begin(), words.end()), words.end());
        most = std::max<u64>(most, words.size());
      }
      wavefronts += most;
    }
    counters[0] += 1;
    counters[1] += row.space == Space::global ? sectors.size() : 0;
    counters[2] += row.space == Space::shared ? wavefronts : 0;
    counters[3] += bytes;
    counters[4] += row.space == Space::global ? segments.size() : 0;
    for (const auto& lane : row.lanes) counters[5] = std::min(counters[5] == 0 ? lane.first : counters[5], lane.first);
  }
  trace_rows().clear();
}

inline int run_launch(const Entry& entry, const Launch& launch) {
  const u64 threads = u64{launch.block[0]} * launch.block[1] * launch.block[2];
  const u64 blocks = u64{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  if (threads == 0 || threads > 1024 || (entry.max_threads && threads > entry.max_threads) || blocks == 0) {
    std::snprintf(launch.message, 1024, "%s: launch of %llu blocks of %llu threads; the kernel allows %u", entry.name,
                  static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(threads), entry.max_threads);
    return 1;
  }
  const u64 count = launch.chosen ? launch.num_chosen : blocks;
  for (u64 i = 0; i < count; ++i) {
    const u64 linear = launch.chosen ? launch.chosen[i] : launch.reverse ? blocks - 1 - i : i;
    if (!run_block(entry, launch, linear)) {
      trace_rows().clear();
      return 1;
    }
  }
  if (launch.traffic) count_traffic(launch);
  return 0;
}

inline void forget(u64 base) {
  global_shadows().erase(base);
}

// --- arithmetic that C++ has no operator for --------------------------------------------------------------------------

inline u32 funnel_left(u32 low, u32 high, u32 amount) {
  return amount == 0 ? high : high << amount | low >> (32 - amount);
}

inline u32 funnel_right(u32 low, u32 high, u32 amount) {
  return amount == 0 ? low : amount == 32 ? high : low >> amount | high << (32 - amount);
}

inline u32 permute_bytes(u32 a, u32 b, u32 selector) {
  const u64 both = u64{b} << 32 | a;
  u32 result = 0;
  for (u32 k = 0; k < 4; ++k) {
    const u32 choice = selector >> 4 * k & 15;
    u32 byte = static_cast<u32>(both >> 8 * (choice & 7) & 255);
    if (choice & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << 8 * k;
  }
  return result;
}

template <class T>
inline T lop3(T a, T b, T c, u32 table) {
  T result = 0;
  for (u32 k = 0; k < 8; ++k) {
    if (table >> k & 1) result |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  }
  return result;
}

template <class T>
inline T shift_left(T value, u32 amount) {
  return amount >= 8 * sizeof(T) ? T{0} : static_cast<T>(value << amount);
}

template <class T>
inline T shift_right(T value, u32 amount) {
  constexpr u32 width = 8 * sizeof(T);
  if (amount >= width) return value < T{0} ? static_cast<T>(-1) : T{0};
  return static_cast<T>(value >> amount);
}

template <class T>
inline T reverse_bits(T value) {
  T result = 0;
  for (u32 k = 0; k < 8 * sizeof(T); ++k) result |= (value >> k & T{1}) << (8 * sizeof(T) - 1 - k);
  return result;
}

inline u32 find_leading(u64 value, u32 width) {
  return value == 0 ? ~u32{0} : width - 1 - static_cast<u32>(__builtin_clzll(value) - (64 - static_cast<int>(width)));
}

// Conversion to an integer as cvt does it: values out of range give the nearest end; NaN gives 0 where neither type has
// 64 bits, otherwise the highest bit alone (PTX ISA 9.0, cvt).
template <class To, class From>
inline To saturated(From value) {
  if (std::isnan(value))
    return sizeof(From) == 8 || sizeof(To) == 8 ? static_cast<To>(u64{1} << (8 * sizeof(To) - 1)) : 0;
  constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
  constexpr From high = static_cast<From>(std::numeric_limits<To>::max());
  if (value <= low) return std::numeric_limits<To>::min();
  if (value >= high) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

}  // namespace ptx
