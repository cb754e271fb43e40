#include "footprint.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::planner {
namespace {

Action target_action(const Op& op, int target, const OperandClass* operands) {
  switch (op.kind) {
    case OpKind::rotation: return static_cast<Action>(op.target_tags[target]);
    case OpKind::diagonal: return Action::z;
    case OpKind::dense: return operands[op.data] == OperandClass::diagonal ? Action::z : Action::mixed;
    case OpKind::permutation: return operands[op.data] == OperandClass::flip ? Action::x : Action::mixed;
    default: return Action::mixed;
  }
}

bool fits_a_tile(const Op& op, Bits mixes, const Limits& limits) {
  const Bits low = bit(limits.low_qubits) - 1;
  if (count_bits(mixes | low) > limits.tile_qubits) return false;
  if (op.kind == OpKind::rotation) return true;
  return count_bits(mixes) <= (op.kind == OpKind::dense ? limits.dense_targets : limits.permutation_targets);
}

// Operations that mix count by their work per amplitude. Diagonals ride for free in any pass and count nothing:
// a pass chosen to do many of them comes no nearer to the end.
std::int32_t value_of(const Op& op, Bits mixes) {
  const int width = count_bits(mixes);
  if (width < 2) return 8 * width;
  return op.kind == OpKind::rotation ? 4 : 8 << std::min(width, 6);
}

}  // namespace

Footprints footprints(const OpColumns& ops, Index begin, Index end, const OperandClass* operands,
                      const Limits& limits) {
  const Index first = ops.offset[begin];
  const auto wires = static_cast<std::size_t>(ops.offset[end] - first);
  const auto rows = static_cast<std::size_t>(end - begin);
  Footprints result;
  result.offset.reserve(rows + 1);
  result.mixes.reserve(rows);
  result.value.reserve(rows);
  result.qubit.assign(ops.qubits + first, ops.qubits + first + wires);
  result.action.assign(wires, Action::z);
  result.offset.push_back(0);
  for (Index row = begin; row < end; ++row) {
    const Op op = unpack(ops, row);
    Action* const actions = result.action.data() + result.offset.back();
    Bits mixes = 0;
    for (int k = 0; k < op.num_targets; ++k) {
      actions[k] = target_action(op, k, operands);
      if (actions[k] != Action::z) mixes |= bit(op.targets[k]);
    }
    result.value.push_back(value_of(op, mixes));
    result.mixes.push_back(mixes == 0 || fits_a_tile(op, mixes, limits) ? mixes : Footprints::never);
    result.offset.push_back(ops.offset[row + 1] - first);
  }
  return result;
}

}  // namespace qsim::planner
