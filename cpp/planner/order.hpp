// Which operations may come next. On every qubit the operations of a slice form runs: neighbours of equal action, which
// commute there. An operation is ready when every earlier run on each of its wires is finished. So the order has no
// edges, a wire knows its run and a qubit where it stands: linear in the wires, however many operations commute.
#pragma once

#include <array>
#include <vector>

#include "footprint.hpp"

namespace qsim::planner {

// Where execution stands on each qubit. Small, so that what-if questions copy it.
struct Front {
  std::array<std::int32_t, max_qubits> run;   // the current run
  std::array<std::int32_t, max_qubits> left;  // operations of it that are still to be done
};

class Order {
 public:
  Order(const Footprints& ops, int num_qubits);

  // The front before the first operation.
  Front start() const;

  // Operations that are ready before the first, in program order.
  std::vector<Index> first() const;

  // Do a ready operation; `visit` is called with each operation that becomes ready by it.
  template <class Visit>
  void finish(Index op, Front& front, Visit&& visit) const {
    for (Index w = ops_.offset[static_cast<std::size_t>(op)]; w < ops_.offset[static_cast<std::size_t>(op) + 1]; ++w) {
      const auto qubit = static_cast<std::size_t>(ops_.qubit[static_cast<std::size_t>(w)]);
      if (--front.left[qubit] > 0) continue;
      const auto run = static_cast<std::size_t>(++front.run[qubit]);
      front.left[qubit] = static_cast<std::int32_t>(run_start_[run + 1] - run_start_[run]);
      for (Index k = run_start_[run]; k < run_start_[run + 1]; ++k) {
        const Index next = member_[static_cast<std::size_t>(k)];
        if (ready(next, front)) visit(next);
      }
    }
  }

 private:
  bool ready(Index op, const Front& front) const {
    for (Index w = ops_.offset[static_cast<std::size_t>(op)]; w < ops_.offset[static_cast<std::size_t>(op) + 1]; ++w) {
      const auto wire = static_cast<std::size_t>(w);
      if (front.run[static_cast<std::size_t>(ops_.qubit[wire])] != run_of_wire_[wire]) return false;
    }
    return true;
  }

  const Footprints& ops_;
  int num_qubits_;
  std::vector<std::int32_t> run_of_wire_;
  std::vector<std::int32_t> first_run_;  // of each qubit; its last run is empty and never left
  std::vector<Index> run_start_;         // into member_
  std::vector<Index> member_;            // operations of qubit 0 in program order, then of qubit 1, ...
};

}  // namespace qsim::planner
