#include "order.hpp"

namespace qsim::planner {

Order::Order(const Footprints& ops, int num_qubits) : ops_(ops), num_qubits_(num_qubits) {
  const std::size_t wires = ops.qubit.size();
  const auto qubits = static_cast<std::size_t>(num_qubits);
  std::vector<Index> end(qubits + 1, 0);  // of the members of each qubit, by counting sort
  for (const std::int32_t qubit : ops.qubit) ++end[static_cast<std::size_t>(qubit) + 1];
  for (std::size_t q = 0; q < qubits; ++q) end[q + 1] += end[q];
  member_.resize(wires);
  std::vector<std::size_t> wire_of_member(wires);
  for (Index op = 0; op < ops.size(); ++op) {
    for (Index w = ops.offset[static_cast<std::size_t>(op)]; w < ops.offset[static_cast<std::size_t>(op) + 1]; ++w) {
      const auto wire = static_cast<std::size_t>(w);
      const auto place = static_cast<std::size_t>(end[static_cast<std::size_t>(ops.qubit[wire])]++);
      member_[place] = op;
      wire_of_member[place] = wire;
    }
  }
  run_of_wire_.resize(wires);
  std::size_t place = 0;
  for (std::size_t q = 0; q < qubits; ++q) {
    first_run_.push_back(static_cast<std::int32_t>(run_start_.size()));
    for (const std::size_t first = place; place < static_cast<std::size_t>(end[q]); ++place) {
      const Action action = ops.action[wire_of_member[place]];
      const bool same = place > first && action != Action::mixed && action == ops.action[wire_of_member[place - 1]];
      if (!same) run_start_.push_back(static_cast<Index>(place));
      run_of_wire_[wire_of_member[place]] = static_cast<std::int32_t>(run_start_.size()) - 1;
    }
    run_start_.push_back(static_cast<Index>(place));
  }
  run_start_.push_back(static_cast<Index>(place));
}

Front Order::start() const {
  Front front{};
  for (std::size_t q = 0; q < static_cast<std::size_t>(num_qubits_); ++q) {
    front.run[q] = first_run_[q];
    const auto run = static_cast<std::size_t>(first_run_[q]);
    front.left[q] = static_cast<std::int32_t>(run_start_[run + 1] - run_start_[run]);
  }
  return front;
}

std::vector<Index> Order::first() const {
  const Front front = start();
  std::vector<Index> result;
  for (Index op = 0; op < ops_.size(); ++op) {
    if (ready(op, front)) result.push_back(op);
  }
  return result;
}

}  // namespace qsim::planner
