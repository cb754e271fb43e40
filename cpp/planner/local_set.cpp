#include "local_set.hpp"

#include <algorithm>
#include <queue>

#include "qsim/bits.hpp"

namespace qsim::planner {
namespace {

constexpr std::size_t window = 2048;  // ready operations looked at, so that planning stays linear
constexpr Index horizon = 4096;       // operations a what-if question follows
constexpr int max_exchanges = 8;

class Search {
 public:
  Search(const Footprints& ops, const Order& order, const Front& front, const std::vector<Index>& ready,
         const Limits& limits)
      : ops_(ops), order_(order), front_(front), limits_(limits) {
    for (const Index op : ready) {
      if (mixes(op) != Footprints::never) ready_.push_back(op);
      if (ready_.size() == window) break;
    }
  }

  bool hopeless() const { return ready_.empty(); }

  // Walk in program order and take in qubits as operations need them, until the tile is full.
  Bits first_needed() {
    using Earliest = std::priority_queue<Index, std::vector<Index>, std::greater<>>;
    Earliest queue(std::greater<>{}, ready_);
    Front front = front_;
    Bits local = bit(limits_.low_qubits) - 1;
    for (Index steps = 0; !queue.empty() && steps < horizon; ++steps) {
      const Index op = queue.top();
      queue.pop();
      const Bits wanted = local | mixes(op);
      if (mixes(op) == Footprints::never || count_bits(wanted) > limits_.tile_qubits) continue;
      local = wanted;
      order_.finish(op, front, [&](Index next) { queue.push(next); });
    }
    return filled(local);
  }

  // How much a pass with these local qubits does. `used` collects the qubits it mixes.
  Index gain(Bits local, Bits* used = nullptr) {
    Front front = front_;
    stack_.clear();
    for (const Index op : ready_) {
      if ((mixes(op) & ~local) == 0) stack_.push_back(op);
    }
    Index total = 0;
    for (Index steps = 0; !stack_.empty() && steps < horizon; ++steps) {
      const Index op = stack_.back();
      stack_.pop_back();
      total += ops_.value[static_cast<std::size_t>(op)];
      if (used != nullptr) *used |= mixes(op);
      order_.finish(op, front, [&](Index next) {
        if ((mixes(next) & ~local) == 0) stack_.push_back(next);
      });
    }
    return total;
  }

  // The lowest qubits fill up what is free: neighbours in memory are read together.
  Bits filled(Bits local) const {
    for (int q = 0; q < limits_.num_qubits && count_bits(local) < limits_.tile_qubits; ++q) local |= bit(q);
    return local;
  }

 private:
  Bits mixes(Index op) const { return ops_.mixes[static_cast<std::size_t>(op)]; }

  const Footprints& ops_;
  const Order& order_;
  const Front& front_;
  const Limits& limits_;
  std::vector<Index> ready_;
  std::vector<Index> stack_;
};

// Exchange local qubits, the best exchange first, until none gains. Returns the gain.
Index improve(Search& search, Bits& local, Bits low, Bits all, const Poll& poll) {
  Index best = search.gain(local);
  for (int round = 0; round < max_exchanges; ++round) {
    const Bits here = local;
    for (Bits out = here & ~low; out != 0; out &= out - 1) {
      poll();
      for (Bits in = all & ~here; in != 0; in &= in - 1) {
        const Bits other = (here ^ bit(lowest_bit(out))) | bit(lowest_bit(in));
        const Index gain = search.gain(other);
        if (gain > best) best = gain, local = other;
      }
    }
    if (local == here) break;
  }
  return best;
}

// Half overlapping windows over the qubits above the low ones, the last of them going on from the bottom.
std::vector<Bits> windows(const Limits& limits) {
  const int width = limits.tile_qubits - limits.low_qubits, places = limits.num_qubits - limits.low_qubits;
  std::vector<Bits> result;
  for (int first = 0; width > 0 && first < places; first += std::max(1, width / 2)) {
    Bits local = bit(limits.low_qubits) - 1;
    for (int k = first; k < first + width; ++k) local |= bit(limits.low_qubits + k % places);
    result.push_back(local);
  }
  return result;
}

}  // namespace

Bits choose_local_set(const Footprints& ops, const Order& order, const Front& front, const std::vector<Index>& ready,
                      const Limits& limits, Starts starts, const Poll& poll) {
  Search search(ops, order, front, ready, limits);
  if (search.hopeless()) return 0;
  const Bits low = bit(limits.low_qubits) - 1;
  const Bits all = bit(limits.num_qubits) - 1;
  Bits local = search.first_needed();
  Index best = improve(search, local, low, all, poll);
  if (starts == Starts::many) {
    for (Bits other : windows(limits)) {
      const Index gain = improve(search, other, low, all, poll);
      if (gain > best) best = gain, local = other;
    }
  }
  Bits used = low;
  search.gain(local, &used);
  return search.filled(used);
}

}  // namespace qsim::planner
