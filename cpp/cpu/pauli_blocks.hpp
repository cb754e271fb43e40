// How a sum of Pauli strings goes over a state, to be evaluated or to be applied: what the X masks decide.
//
// A string takes amplitude j to j ^ x, so blocks of amplitudes meet in pairs, the same ones for all strings with the
// same bits of x above a block. Regions of the state meet in pairs in the same way, and all that two regions have to do
// with each other is done while both are in the third-level cache.
#pragma once

#include <algorithm>
#include <vector>

#include "executor.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {

struct PauliString {
  Bits x, z;
};

// i^num_y X^x Z^z is the string: real or imaginary.
inline int num_y(const PauliString& string) {
  return count_bits(string.x & string.z) & 3;
}

class PauliBlocks {
 public:
  // Strings [first, last) of `order`, with one X mask, all of them real or all imaginary.
  struct Group {
    Bits x;
    bool imaginary;
    std::size_t first, last;
  };
  // Groups [first, last), which pair the same blocks.
  struct Step {
    Bits x_block;
    std::size_t first, last;
  };

  PauliBlocks(const std::vector<PauliString>& strings, int num_qubits, int block_bits);

  [[nodiscard]] Bits num_blocks() const { return bit(num_qubits_ - block_bits_); }

  // visit(block, first step, last step, slot, participant) for every block of the state and the steps that
  // find its partners in one region, regions one after the other. Blocks with the same slot are visited in order, by
  // one participant at a time; which they are depends on their number only. `once`: of two different blocks that meet,
  // the one with the lower number is visited (see `waits`, for regions it is seen to).
  template <class T, class Visit>
  void walk(const Runner& runner, Index most_slots, bool once, Visit visit) const;

  // Whether of two blocks that meet the other one does the work.
  static bool waits(Bits block, Bits x_block) { return x_block != 0 && (block & top_bit(x_block)) != 0; }

  std::vector<std::size_t> order;  // places in the list given
  std::vector<Group> groups;
  std::vector<Step> steps;

 private:
  static constexpr Index region_bytes = Index{8} << 20;  // two of them are in the third-level cache together
  static constexpr Index thread_amps = Index{1} << 15;   // read: threads are worth waking for this many

  static Bits top_bit(Bits bits) { return bit(63 - __builtin_clzll(bits)); }

  int num_qubits_, block_bits_;
};

template <class T, class Visit>
void PauliBlocks::walk(const Runner& runner, Index most_slots, bool once, Visit visit) const {
  if (steps.empty()) return;
  const bool lone = steps.back().x_block == 0;  // nothing meets: one region
  const int most = lone ? num_qubits_ : lowest_bit(static_cast<Bits>(region_bytes) / (2 * sizeof(T)));
  const int region_bits = std::clamp(most, block_bits_, num_qubits_) - block_bits_;
  const Index blocks = Index{1} << region_bits, slots = std::min(most_slots, blocks);
  const Bits regions = num_blocks() >> region_bits;
  for (std::size_t first = 0, last = 0; first < steps.size(); first = last) {
    const Bits x_region = steps[first].x_block >> region_bits;
    while (last < steps.size() && steps[last].x_block >> region_bits == x_region) ++last;
    const Index work = static_cast<Index>(steps[last - 1].last - steps[first].first) << (region_bits + block_bits_);
    const auto threads = static_cast<int>(std::clamp<Index>(work / thread_amps, 1, runner.threads));
    for (Bits region = 0; region < regions; ++region) {
      if (once && waits(region, x_region)) continue;
      auto task = [&](Index begin, Index end, int participant, Watch& watch) {
        for (Index slot = begin; slot < end; ++slot)
          for (Index b = slot * blocks / slots; b < (slot + 1) * blocks / slots; ++b) {
            visit(region << region_bits | static_cast<Bits>(b), first, last, slot, participant);
            watch.tick(0);
          }
      };
      parallel_for(threads, slots, 1, runner.watch, task);
    }
  }
}

}  // namespace qsim::cpu
