// The qubits of the next tile pass: a start, then exchanged one by one for others as long as that lets the pass do
// more.
#pragma once

#include <functional>
#include <vector>

#include "order.hpp"

namespace qsim::planner {

// Called between steps; throws to stop.
using Poll = std::function<void()>;

// Where the exchange starts. `one`: from the qubits that the next operations need. `many`: also from windows of
// neighbouring qubits, keeping the best; several times the work. Neither always leads to fewer passes.
enum class Starts { one, many };

// A mask of local qubits; zero if no tile can run any of `ready`, the mixing operations that may come next in program
// order, all ready diagonals being done in `front`.
Bits choose_local_set(const Footprints& ops, const Order& order, const Front& front, const std::vector<Index>& ready,
                      const Limits& limits, Starts starts, const Poll& poll);

}  // namespace qsim::planner
