#include "partition.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::planner {
namespace {

// Sort a vector whose first `sorted` elements are in order.
void sort_tail(std::vector<Index>& rows, std::size_t sorted) {
  if (sorted == rows.size()) return;
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
    const std::size_t sorted = ready_.size();
    for (const Index op : layer) run(op, out);
    sort_tail(ready_, sorted);
  }

  // Take out the ready operations that no tile is wide enough for; run_wide() then does them in any order.
  std::vector<Index> take_wide() {
    const auto wide =
        std::stable_partition(ready_.begin(), ready_.end(), [&](Index op) { return mixes(op) != Footprints::never; });
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
    for (const Index op : waiting_)
      order_->finish(op, front, [&](Index next) { found |= (mixes(next) & ~local) == 0; });
    return found;
  }

  const Footprints* ops_;
  const Order* order_;
  Front front_;
  std::vector<Index> ready_;    // mixing
  std::vector<Index> waiting_;  // diagonal
};

constexpr int large_register = 26;    // from here on a pass costs more than a longer search for fewer
constexpr Index long_slice = 20'000;  // operations; longer ones get the short search only

// Plans one slice. Rows are counted from the start of the slice.
class Planner {
 public:
  Planner(const Footprints& ops, const Order& order, const Limits& limits, const Poll& poll)
      : ops_(ops), order_(order), limits_(limits), poll_(poll), one_tile_(limits.num_qubits <= limits.tile_qubits) {}

  Partition plan() const {
    Partition best = plan(Starts::one, no_limit);
    if (one_tile_ || limits_.num_qubits < large_register || ops_.size() > long_slice || best.kind.size() < 3)
      return best;
    Partition other = plan(Starts::many, best.kind.size());
    return other.kind.size() < best.kind.size() ? other : best;
  }

  // Stops where more than so many passes are needed.
  Partition plan(Starts starts, std::size_t most) const {
    Partition out;
    out.op_offset.push_back(0);
    Schedule schedule(ops_, order_);
    while (!schedule.done() && out.kind.size() <= most) {
      poll_();
      if (const Bits local = next_local_set(schedule, starts); local != 0) {
        add_pass(out, PassKind::tile, local, run_better(schedule, local));
      } else if (const std::vector<Index> wide = schedule.take_wide(); !wide.empty()) {
        for (const Index op : wide) add_pass(out, PassKind::global, wires(op), {op});
        schedule.run_wide(wide);
      } else {
        add_diagonals(out, schedule);
      }
    }
    return out;
  }

  static constexpr std::size_t no_limit = ~std::size_t{0};

 private:
  Bits next_local_set(const Schedule& schedule, Starts starts) const {
    Front front;
    const std::vector<Index> next = schedule.reachable(front);
    if (!one_tile_) return choose_local_set(ops_, order_, front, next, limits_, starts, poll_);
    const bool any = std::any_of(next.begin(), next.end(), [&](Index op) {
      return ops_.mixes[static_cast<std::size_t>(op)] != Footprints::never;
    });
    return any ? lowest(limits_.num_qubits) : 0;
  }

  // Diagonals first or mixing first: whichever needs fewer layers of diagonals.
  static std::vector<Index> run_better(Schedule& schedule, Bits local) {
    Schedule other = schedule;
    std::vector<Index> rows, other_rows;
    const int layers = schedule.run_tile(local, false, rows);
    if (!other.has_waiting() || other.run_tile(local, true, other_rows) >= layers) return rows;
    schedule = other;
    return other_rows;
  }

  // Diagonals that only the end of the slice or a wide operation waits for join the tile pass before them.
  void add_diagonals(Partition& out, Schedule& schedule) const {
    std::vector<Index> rows;
    schedule.run_waiting(rows);
    if (out.kind.empty() || out.kind.back() != static_cast<std::uint8_t>(PassKind::tile)) {
      add_pass(out, PassKind::tile, lowest(std::min(limits_.num_qubits, limits_.tile_qubits)), rows);
    } else {
      out.order.insert(out.order.end(), rows.begin(), rows.end());
      out.op_offset.back() = static_cast<Index>(out.order.size());
    }
  }

  static void add_pass(Partition& out, PassKind kind, Bits local, const std::vector<Index>& rows) {
    out.kind.push_back(static_cast<std::uint8_t>(kind));
    out.local.push_back(local);
    out.order.insert(out.order.end(), rows.begin(), rows.end());
    out.op_offset.push_back(static_cast<Index>(out.order.size()));
  }

  // The qubits a wide operation mixes, for readers of the plan.
  Bits wires(Index op) const {
    Bits mask = 0;
    for (Index w = ops_.offset[static_cast<std::size_t>(op)]; w < ops_.offset[static_cast<std::size_t>(op) + 1]; ++w) {
      if (ops_.action[static_cast<std::size_t>(w)] != Action::z) mask |= bit(ops_.qubit[static_cast<std::size_t>(w)]);
    }
    return mask;
  }

  static Bits lowest(int count) { return bit(count) - 1; }

  const Footprints& ops_;
  const Order& order_;
  const Limits& limits_;
  const Poll& poll_;
  const bool one_tile_;
};

// Plans one slice. Two passes read memory in the longest pieces that take no third one: of more, one pass may turn out
// to do what two did, and planning again takes longer.
Partition plan_slice(const OpColumns& columns, Index begin, Index end, const OperandClass* operands,
                     const Limits& limits, const Poll& poll) {
  const Footprints ops = footprints(columns, begin, end, operands, limits);
  const Order order(ops, limits.num_qubits);
  Partition best = Planner(ops, order, limits, poll).plan();
  const std::size_t passes = best.kind.size();
  if (passes != 2) return best;
  for (int low = limits.wished_low_qubits; low > limits.low_qubits; --low) {
    Limits longer = limits;
    longer.low_qubits = low;
    const Footprints longer_ops = footprints(columns, begin, end, operands, longer);
    const Order longer_order(longer_ops, limits.num_qubits);
    Partition other = Planner(longer_ops, longer_order, longer, poll).plan(Starts::one, passes);
    if (other.kind.size() <= passes) return other;
  }
  return best;
}

void append(Partition& all, const Partition& slice, Index first_row) {
  const Index done = all.op_offset.back();
  for (const Index row : slice.order) all.order.push_back(first_row + row);
  for (std::size_t p = 0; p < slice.kind.size(); ++p) {
    all.kind.push_back(slice.kind[p]);
    all.local.push_back(slice.local[p]);
    all.op_offset.push_back(done + slice.op_offset[p + 1]);
  }
  all.pass_offset.push_back(static_cast<Index>(all.kind.size()));
}

}  // namespace

Partition partition(const OpColumns& columns, const std::vector<Index>& slices, const OperandClass* operands,
                    const Limits& limits, const Poll& poll) {
  Partition result;
  result.op_offset.push_back(0);
  result.pass_offset.push_back(0);
  for (std::size_t s = 0; s + 1 < slices.size(); ++s) {
    append(result, plan_slice(columns, slices[s], slices[s + 1], operands, limits, poll), slices[s]);
  }
  return result;
}

}  // namespace qsim::planner
