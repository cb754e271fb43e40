// The qubits of the next tile pass: those that the next operations need, then exchanged one by one for others as long
// as that lets the pass do more.
#pragma once

#include <functional>
#include <vector>

#include "order.hpp"

namespace qsim::planner {

// Called between steps; throws to stop.
using Poll = std::function<void()>;

// `ready` are the mixing operations that may come next in program order, all ready diagonals being done in `front`.
// Returns 2^b-amplitude tiles' local qubits as a mask; zero if no tile can run any of `ready`.
Bits choose_local_set(const Footprints& ops, const Order& order, const Front& front, const std::vector<Index>& ready,
                      const Limits& limits, const Poll& poll);

}  // namespace qsim::planner
