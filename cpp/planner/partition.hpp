// From straight-line operations to passes: reorder by commutation, cut so that each pass works inside tiles.
#pragma once

#include <vector>

#include "local_set.hpp"

namespace qsim::planner {

// As qsim_core.plan.PassKind.
enum class PassKind : std::uint8_t { tile = 1, global = 2 };

struct Partition {
  std::vector<Index> order;        // rows of the columns in the order they run
  std::vector<Index> op_offset;    // pass p runs order[op_offset[p] .. op_offset[p+1])
  std::vector<std::uint8_t> kind;  // PassKind of each pass
  std::vector<Bits> local;         // of each pass: mask of its local qubits
  std::vector<Index> pass_offset;  // slice s runs passes pass_offset[s] .. pass_offset[s+1]
};

// Slice s holds the rows slices[s] .. slices[s+1]; slices are planned one by one and never exchange operations.
Partition partition(const OpColumns& columns, const std::vector<Index>& slices, const OperandClass* operands,
                    const Limits& limits, const Poll& poll);

}  // namespace qsim::planner
