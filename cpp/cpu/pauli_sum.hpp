// Sums of Pauli strings as operators on a state.
#pragma once

#include "executor.hpp"

namespace qsim::cpu {

// Terms coefficient[k] P_k with X on x[k], Z on z[k], Y on both.
struct PauliSum {
  const Bits* x;
  const Bits* z;
  const double* coefficient;
  Index terms;
};

// out = (sum of the terms) . in
template <class T>
void apply_pauli_sum(const Runner& runner, const PauliSum& sum, const T* in, T* out, int num_qubits);

}  // namespace qsim::cpu
