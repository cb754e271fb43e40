// What the planner knows of an operation: how it acts on each of its wires, which of them it mixes, what it costs.
#pragma once

#include <vector>

#include "qsim/ops.hpp"

namespace qsim::planner {

// As qsim_core.planner.OperandClass: what a dense matrix or a permutation is, beside its size.
enum class OperandClass : std::uint8_t { general = 0, diagonal = 1, flip = 2 };

// An operation of action P on a wire is a combination of the identity and the Pauli matrix P there, so two operations
// commute if they have the same action, not `mixed`, on every wire they share. Controls and diagonal targets are z.
enum class Action : std::uint8_t { mixed = 0, x = 1, y = 2, z = 3 };

struct Limits {
  int num_qubits;
  int tile_qubits;          // b: a tile is 2^b amplitudes
  int low_qubits;           // c: qubits 0..c-1 are local to every tile, so that memory is read in long pieces
  int wished_low_qubits;    // so many in plans of two passes, where that takes no third one
  int dense_targets;        // wider dense matrices sweep the state outside tiles
  int permutation_targets;  // the same for permutations and initialisations
};

// One row per operation of a slice; wires as in the columns, counted from the start of the slice.
struct Footprints {
  std::vector<Index> offset;
  std::vector<std::int32_t> qubit;
  std::vector<Action> action;
  std::vector<Bits> mixes;          // qubits that must be local; `never` where no tile is wide enough
  std::vector<std::int32_t> value;  // how much is gained by running it in a pass

  static constexpr Bits never = ~Bits{0};

  Index size() const { return static_cast<Index>(mixes.size()); }
};

Footprints footprints(const OpColumns& ops, Index begin, Index end, const OperandClass* operands, const Limits& limits);

}  // namespace qsim::planner
