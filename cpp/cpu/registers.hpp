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

// Gives the result of a regrouping in blocks of 2^block_bits amplitudes.
template <class T>
class Regrouped {
 public:
  Regrouped(const Regrouping& move, const T* source, int source_qubits, int block_bits);

  // Whether a block of a row may hold anything but zeros; `first` is the index of its first amplitude.
  [[nodiscard]] bool holds(Index row, Bits first) const {
    return ((first ^ static_cast<Bits>(move_.values[row])) & move_.entering & ~inside_) == 0;
  }
  // Where the block starts in a row of the source, for the outcome 0. Of the XOR of two indices, the XOR.
  [[nodiscard]] Bits start(Bits first) const;
  [[nodiscard]] const T* at(Index row, Bits start) const {
    return source_ + 2 * ((static_cast<Bits>(move_.rows[row]) << source_qubits_) + start +
                          static_cast<Bits>(move_.outcomes[row]));
  }
  // Write a block that holds something.
  void copy(Index row, Bits start, T* out) const;

 private:
  // Runs of amplitudes that are contiguous in both: `count` of them at steps that stay the same.
  template <int known>
  void copy_runs(const T* from, T* out, T scale) const;

  const Regrouping& move_;
  const T* source_;
  int source_qubits_;
  Bits inside_;    // of the index of an amplitude, the bits within a block
  Bits entering_;  // qubits among them that are new
  Index run_, count_, groups_;
  Bits from_step_, to_step_;    // between runs
  Bits from_carry_, to_carry_;  // between groups of `count` runs, to be added around the fixed bits
};

// `result` is other memory than `source` and need not hold anything.
template <class T>
void regroup(const Runner& runner, const Regrouping& move, const T* source, int source_qubits, T* result,
             int result_qubits);

}  // namespace qsim::cpu
