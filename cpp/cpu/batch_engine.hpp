// Runs one stage for many sets of values, a state per vector lane: for registers small enough that a group of states
// stays in cache. Each thread takes one group after the other from its values to its results, so memory is that of a
// group per thread, whatever the batch; and a state's numbers depend on its own values only, not on the batch it is in.
#pragma once

#include <complex>
#include <vector>

#include "batch_program.hpp"
#include "executor.hpp"

namespace qsim::cpu::batch {

struct Job {
  Index batch;
  int num_qubits;
  const double* slots;  // [batch][num_slots]
  Index num_slots;
  Angles angles;
  const std::complex<double>* start;  // null: |0...0>
  bool start_shared;                  // one start for all
  std::vector<PauliTerm> terms;
  double* expectations;  // [batch][columns]
  Index columns;
};

// Whether groups of states of this size stay in cache.
bool fits(const cpu::KernelTable& table, int num_qubits);

// False, and nothing done, where the stage holds what this engine can't do. `states` is null or [batch][2^n]
// amplitudes. Coefficient values of the stage are not read: angles come from the slots.
template <class T>
bool run(const Runner& runner, const Stage& stage, const Job& job, T* states);

// amps[b][i] *= e^(-i angles[b] costs[i]): a diagonal over the whole register, applied by an angle per state.
template <class T>
void turn(const Runner& runner, const double* costs, const double* angles, T* amps, Index batch, int num_qubits);

}  // namespace qsim::cpu::batch
