#include "partition.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::planner {
namespace {

// Sort a vector whose first `sorted` elements are in order.
void sort_tail(std::vector<Index>& rows, std::size_t sorted) {
  const auto middle = rows.begin() + static_cast<std::ptrdiff_t>(sorted);
  std::sort(middle, rows.end());
  std::inplace_merge(rows.begin(), middle, rows.end());
}

// The state of list scheduling in one slice. `ready_` stays in program order.
class Schedule {
 public:
  Schedule(const Footprints& ops, const Order& order) : ops_(&ops), order_(&order), front_(order.start()) {
    for (const Index op : order.first()) add(op);
  }

  bool done() const { return ready_.empty() && waiting_.empty(); }

  bool has_waiting() const { return !waiting_.empty(); }

  // The mixing operations that could come next if all ready diagonals were done, and the front then.
  std::vector<Index> reachable(Front& front) const {
    std::vector<Index> result = ready_;
    front = front_;
    for (const Index op : waiting_) order_->finish(op, front, [&](Index next) { result.push_back(next); });
    sort_tail(result, ready_.size());
    return result;
  }

  // Do everything a pass with these local qubits can do, in layers: all ready mixing operations, round by round, then
  // all waiting diagonals at once if that frees another one. The backend merges the diagonals of a layer into one and
  // rotates distinct qubits together. Diagonals nobody in this pass waits for are left to the next one.
  // Returns the number of diagonal layers.
  int run_tile(Bits local, bool diagonals_first, std::vector<Index>& out) {
    int layers = 0;
    bool flush = diagonals_first && frees_something(local);
    while (true) {
      if (flush) {
        run_waiting(out);
        ++layers;
      }
      run_mixing(local, out);
      flush = frees_something(local);
      if (!flush) return layers;
    }
  }

  void run_waiting(std::vector<Index>& out) {
    std::vector<Index> layer;
    layer.swap(waiting_);
    std::sort(layer.begin(), layer.end());
    for (const Index op : layer) run(op, out);
  }

  // Take out the ready operations that no tile is wide enough for; run_wide() then does them in any order.
  std::vector<Index> take_wide() {
    const auto wide = std::stable_partition(ready_.begin(), ready_.end(), [&](Index op) { return mixes(op) != Footprints::never; });
    const std::vector<Index> result(wide, ready_.end());
    ready_.erase(wide, ready_.end());
    return result;
  }

  void run_wide(const std::vector<Index>& wide) {
    std::vector<Index> done;
    const std::size_t sorted = ready_.size();
    for (const Index op : wide) run(op, done);
    sort_tail(ready_, sorted);
  }

 private:
  Bits mixes(Index op) const { return ops_->mixes[static_cast<std::size_t>(op)]; }

  void add(Index op) { (mixes(op) == 0 ? waiting_ : ready_).push_back(op); }

  void run(Index op, std::vector<Index>& out) {
    out.push_back(op);
    order_->finish(op, front_, [&](Index next) { add(next); });
  }

  void run_mixing(Bits local, std::vector<Index>& out) {
    std::vector<Index> blocked;
    std::vector<Index> layer;
    std::size_t sorted = 0;
    for (bool first = true; !ready_.empty(); first = false) {
      layer.clear();
      for (const Index op : ready_) ((mixes(op) & ~local) == 0 ? layer : blocked).push_back(op);
      ready_.clear();
      if (first) sorted = blocked.size();
      std::sort(layer.begin(), layer.end(), [&](Index a, Index b) {
        const Bits low_a = mixes(a) & (~mixes(a) + 1), low_b = mixes(b) & (~mixes(b) + 1);
        return low_a != low_b ? low_a < low_b : a < b;
      });
      for (const Index op : layer) run(op, out);
    }
    sort_tail(blocked, sorted);
    ready_.swap(blocked);
  }

  bool frees_something(Bits local) const {
    Front front = front_;
    bool found = false;
    for (const Index op : waiting_) order_->finish(op, front, [&](Index next) { found |= (mixes(next) & ~local) == 0; });
    return found;
  }

  const Footprints* ops_;
  const Order* order_;
  Front front_;
  std::vector<Index> ready_;    // mixing
  std::vector<Index> waiting_;  // diagonal
};

class Planner {
 public:
  Planner(const Limits& limits, const Poll& poll, Partition& out) : limits_(limits), poll_(poll), out_(out) {}

  void plan(const OpColumns& columns, Index begin, Index end, const OperandClass* operands) {
    const Footprints ops = footprints(columns, begin, end, operands, limits_);
    const Order order(ops, limits_.num_qubits);
    Schedule schedule(ops, order);
    begin_ = begin;
    first_pass_ = out_.kind.size();
    const Bits all = bit(limits_.num_qubits) - 1;
    const bool one_tile = limits_.num_qubits <= limits_.tile_qubits;
    const Bits lowest = one_tile ? all : bit(limits_.tile_qubits) - 1;
    std::vector<Index> rows;
    while (!schedule.done()) {
      poll_();
      rows.clear();
      Front front;
      const std::vector<Index> next = schedule.reachable(front);
      const Bits local = one_tile ? any_tile(ops, next) ? all : 0 : choose_local_set(ops, order, front, next, limits_, poll_);
      if (local != 0) {
        run_better(schedule, local, rows);
        emit(PassKind::tile, local, rows);
        continue;
      }
      const std::vector<Index> wide = schedule.take_wide();
      for (const Index op : wide) emit(PassKind::global, targets(columns, begin + op), {op});
      schedule.run_wide(wide);
      if (!wide.empty()) continue;
      schedule.run_waiting(rows);
      if (out_.kind.size() > first_pass_ && out_.kind.back() == static_cast<std::uint8_t>(PassKind::tile)) {
        extend(rows);
      } else {
        emit(PassKind::tile, lowest, rows);
      }
    }
  }

 private:
  static bool any_tile(const Footprints& ops, const std::vector<Index>& next) {
    return std::any_of(next.begin(), next.end(),
                       [&](Index op) { return ops.mixes[static_cast<std::size_t>(op)] != Footprints::never; });
  }

  static Bits targets(const OpColumns& columns, Index row) {
    const Op op = unpack(columns, row);
    Bits mask = 0;
    for (int k = 0; k < op.num_targets; ++k) mask |= bit(op.targets[k]);
    return mask;
  }

  // Diagonals first or mixing first: whichever needs fewer layers of diagonals.
  static void run_better(Schedule& schedule, Bits local, std::vector<Index>& rows) {
    Schedule other = schedule;
    const int layers = schedule.run_tile(local, false, rows);
    if (!other.has_waiting()) return;
    std::vector<Index> other_rows;
    if (other.run_tile(local, true, other_rows) < layers) {
      schedule = other;
      rows.swap(other_rows);
    }
  }

  void emit(PassKind kind, Bits local, const std::vector<Index>& rows) {
    out_.kind.push_back(static_cast<std::uint8_t>(kind));
    out_.local.push_back(local);
    out_.op_offset.push_back(out_.op_offset.back());
    extend(rows);
  }

  void extend(const std::vector<Index>& rows) {
    for (const Index row : rows) out_.order.push_back(begin_ + row);
    out_.op_offset.back() += static_cast<Index>(rows.size());
  }

  const Limits& limits_;
  const Poll& poll_;
  Partition& out_;
  Index begin_ = 0;
  std::size_t first_pass_ = 0;
};

}  // namespace

Partition partition(const OpColumns& ops, const std::vector<Index>& slices, const OperandClass* operands,
                    const Limits& limits, const Poll& poll) {
  Partition result;
  result.op_offset.push_back(0);
  result.pass_offset.push_back(0);
  Planner planner(limits, poll, result);
  for (std::size_t s = 0; s + 1 < slices.size(); ++s) {
    planner.plan(ops, slices[s], slices[s + 1], operands);
    result.pass_offset.push_back(static_cast<Index>(result.kind.size()));
  }
  return result;
}

}  // namespace qsim::planner
