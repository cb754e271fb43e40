#include "executor.hpp"

#include <algorithm>
#include <cstring>

#include "lanes.hpp"
#include "prepare.hpp"

namespace qsim::cpu {
namespace {

constexpr Index small_state = Index{1} << 15;    // amplitudes: no threads within a state up to here
constexpr double chunk_bytes = 1 << 20;          // read and written between two looks at the stop flag
constexpr double thread_bytes = (1 << 15) * 8.;  // a thread is worth waking for this much

template <class T>
void run_work(const Runner& runner, const Work<T>& work, T* amps) {
  if (work.items == 0) return;
  const double bytes = work.cost * runner.table.vector_bytes;
  const Index chunk = std::max<Index>(1, static_cast<Index>(chunk_bytes / bytes));
  const double worth = bytes * static_cast<double>(work.items) / thread_bytes;
  const int threads = std::max(1, static_cast<int>(std::min<double>(runner.threads, worth)));
  const std::size_t stride = (work.scratch + 63) / 64 * 64;
  const Buffer scratch(stride * static_cast<std::size_t>(threads));
  auto task = [&](Index begin, Index end, int participant, Watch&) {
    work.kernel(work.args, amps, begin, end,
                static_cast<char*>(scratch.data()) + stride * static_cast<std::size_t>(participant));
  };
  parallel_for(threads, work.items, chunk, runner.watch, task);
}

// The rows of a stage on states [begin, end), one operation at a time.
template <class T>
void run_states(const Runner& runner, const Stage& stage, T* amps, Index begin, Index end, int num_qubits) {
  Arena arena;
  const double share = 1.0 / static_cast<double>(std::max<Index>(1, stage.end - stage.begin));
  for (Index row = stage.begin; row < stage.end; ++row) {
    runner.watch.step(static_cast<double>(row - stage.begin) * share, share);
    const Op op = unpack(stage.ops, row);
    const bool angle = has_angle(op.kind);
    Prepared<T> prepared{};
    for (Index b = begin; b < end; ++b) {
      T* state = amps + (b << (num_qubits + 1));
      if (b == begin || (angle && !stage.values_shared)) {
        arena.reset();
        const double value = angle ? stage.values[(stage.values_shared ? 0 : b) * stage.num_values + op.data] : 0;
        prepared = prepare<T>(runner.table, op, value, angle ? nullptr : stage.operands + op.data, num_qubits, arena,
                              runner.watch);
      }
      run_work(runner, prepared.first, state);
      run_work(runner, prepared.second, state);
      if (b + 1 < end) runner.watch.tick(static_cast<double>(b - begin) / static_cast<double>(end - begin));
    }
  }
}

}  // namespace

template <class T>
void run_stage(const Runner& runner, const Stage& stage, T* amps, Index batch, int num_qubits) {
  const Index size = Index{1} << num_qubits;
  if (2 * size < static_cast<Index>(static_cast<std::size_t>(runner.table.vector_bytes) / sizeof(T))) {
    for (Index b = 0; b < batch; ++b) {
      Padded<T> padded(runner.table, amps + 2 * size * b, num_qubits);
      Stage own = stage;
      if (!stage.values_shared) own.values += b * stage.num_values;
      own.values_shared = true;
      run_states(Runner{runner.table, 1, runner.watch}, own, padded.data, 0, 1, padded.num_qubits);
      padded.copy_back();
    }
  } else if (batch == 1 || size > small_state) {
    for (Index b = 0; b < batch; ++b) run_states(runner, stage, amps, b, b + 1, num_qubits);
  } else {
    // Small states: a thread takes a group of them that stays in its cache through the whole stage.
    const Index group = std::max<Index>(1, small_state / size);
    auto task = [&](Index begin, Index end, int, Watch& watch) {
      run_states(Runner{runner.table, 1, watch}, stage, amps, begin, end, num_qubits);
    };
    parallel_for(runner.threads, batch, std::min(group, (batch + runner.threads - 1) / runner.threads), runner.watch,
                 task);
  }
}

template <class T>
void fill_zero_state(const Runner& runner, T* amps, Index batch, int num_qubits) {
  const Index size = Index{2} << num_qubits;
  auto task = [&](Index begin, Index end, int, Watch&) {
    std::memset(amps + begin, 0, static_cast<std::size_t>(end - begin) * sizeof(T));
  };
  const Index chunk = static_cast<Index>(chunk_bytes / sizeof(T));
  for (Index b = 0; b < batch; ++b) {
    T* state = amps + b * size;
    if (size <= chunk) task(b * size, (b + 1) * size, 0, runner.watch);
    else {
      auto part = [&](Index begin, Index end, int, Watch& watch) { task(b * size + begin, b * size + end, 0, watch); };
      parallel_for(runner.threads, size, chunk, runner.watch, part);
    }
    state[0] = T(1);
  }
}

template <class T>
void collapse(const Runner& runner, T* amps, int num_qubits, Bits mask, Bits value, double scale) {
  Padded<T> padded(runner.table, amps, num_qubits);
  const int lane_qubits = lowest_bit(static_cast<Bits>(runner.table.vector_bytes) / (2 * sizeof(T)));
  const Bits lane_mask = bit(lane_qubits) - 1;
  alignas(64) T lanes[64 / sizeof(T)];
  for (Bits lane = 0; lane <= lane_mask; ++lane) {
    const bool kept = ((lane ^ value) & mask & lane_mask) == 0;
    lanes[2 * lane] = lanes[2 * lane + 1] = static_cast<T>(kept ? scale : 0);
  }
  const CollapseArgs<T> args{{mask >> lane_qubits, value >> lane_qubits}, lanes};
  const Work<T> work{kernels_of<T>(runner.table).collapse, &args, Index{1} << (padded.num_qubits - lane_qubits), 1, 0};
  run_work(runner, work, padded.data);
  padded.copy_back();
}

template void run_stage(const Runner&, const Stage&, float*, Index, int);
template void run_stage(const Runner&, const Stage&, double*, Index, int);
template void fill_zero_state(const Runner&, float*, Index, int);
template void fill_zero_state(const Runner&, double*, Index, int);
template void collapse(const Runner&, float*, int, Bits, Bits, double);
template void collapse(const Runner&, double*, int, Bits, Bits, double);

}  // namespace qsim::cpu
