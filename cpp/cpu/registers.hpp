// Amplitudes of many states on other qubits: measured ones leave a register, others come in as basis states.
#pragma once

#include "executor.hpp"

namespace qsim::cpu {

// Row i of the result is scales[i] <outcomes[i]| source row rows[i], on the other qubits, times |values[i]>.
struct Regrouping {
  Bits leaving;   // qubits of the source that are projected out
  Bits entering;  // qubits of the result that are new
  Index num_rows;
  const Index* rows;
  const Index* outcomes;  // bits of `leaving`
  const double* scales;
  const Index* values;  // bits of `entering`
};

// `result` is other memory than `source` and need not hold anything.
template <class T>
void regroup(const Runner& runner, const Regrouping& move, const T* source, int source_qubits, T* result,
             int result_qubits);

}  // namespace qsim::cpu
