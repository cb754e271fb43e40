// Numbers shared by everything below bindings/. No functions of std:: here: kernels of every instruction set include
// this.
#pragma once

#include <cstdint>

namespace qsim {

using Index = std::int64_t;  // amplitudes, items of work: always 64 bits, signed
using Bits = std::uint64_t;  // masks over the bits of an index

// As qsim_core.operations.OpKind; never renumbered.
enum class OpKind : std::uint8_t {
  rotation = 1,
  phase = 2,
  dense = 3,
  diagonal = 4,
  permutation = 5,
  initialize = 6,
};

constexpr int max_qubits = 62;
constexpr int max_table_qubits = 26;  // diagonal, permutation, initialize
constexpr int max_dense_qubits = 12;

}  // namespace qsim
