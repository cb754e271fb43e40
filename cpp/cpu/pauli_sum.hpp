// Sums of Pauli strings as operators on a state.
#pragma once

#include <vector>

#include "pauli_blocks.hpp"

namespace qsim::cpu {

// out = (sum of coefficients[k] strings[k]) . in
template <class T>
void apply_pauli_sum(const Runner& runner, const std::vector<PauliString>& strings, const double* coefficients,
                     const T* in, T* out, int num_qubits);

}  // namespace qsim::cpu
