// Runs the operations of a stage on amplitudes, in place.
#pragma once

#include "isa.hpp"
#include "qsim/ops.hpp"
#include "thread_pool.hpp"

namespace qsim::cpu {

struct Runner {
  const KernelTable& table;
  int threads;
  Watch& watch;
};

// Rows [begin, end) of the columns. Everything has been checked by the caller (see check.hpp).
struct Stage {
  OpColumns ops;
  Index begin;
  Index end;
  const double* values;  // [num_values_rows][num_values]
  Index num_values;
  bool values_shared;  // one row serves the whole batch
  const Operand* operands;
  Index num_operands;
};

// `amps` holds `batch` states of 2^num_qubits amplitudes, interleaved re, im.
template <class T>
void run_stage(const Runner& runner, const Stage& stage, T* amps, Index batch, int num_qubits);

// Every state becomes |0...0>; memory is touched by the threads that later work on it.
template <class T>
void fill_zero_state(const Runner& runner, T* amps, Index batch, int num_qubits);

// Keep the amplitudes whose index has the bits `value` on `mask`, times `scale`; the others become zero.
template <class T>
void collapse(const Runner& runner, T* amps, int num_qubits, Bits mask, Bits value, double scale);

}  // namespace qsim::cpu
