// From the passes of a plan to launches: which kernel, how many blocks, and the bytes it reads. No CUDA here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "executor.hpp"

namespace qsim::cuda {

struct Launch {
  std::string kernel;  // its name in entries.cuh
  Index blocks;
  int threads;
  int shared_bytes;
  std::size_t offset;  // third argument; the others are the amplitudes, the program and the scratch
  Index op;            // first row of the plan's operations it serves, for messages
  int stages;          // trips of the state between registers and shared memory; 0 for sweeps
  bool on_second;      // works on the second state of an adjoint walk, not the first
};

// What a driver plays, in order, on one stream.
struct LaunchList {
  std::vector<Launch> launches;
  std::vector<unsigned char> program;  // uploaded once, to 256-byte aligned memory
  std::size_t scratch_bytes = 0;       // third buffer some launches need; 0 for most lists
};

// A pass: rows [first_op, last_op) of the stage's columns, and the qubits its plan made local.
struct Pass {
  Index first_op, last_op;
  Bits local;
};

// The backward walk of adjoint differentiation: every pass works on two states and leaves slopes behind.
struct Adjoint {
  std::uint64_t second, slopes;          // addresses on the device: the second state, and sums in f64
  const std::uint8_t* wanted = nullptr;  // by column of values; null: no walk
  Index num_columns = 0;
  // Slopes are summed in 2^max_slice_bits parts for each batch element: [batch][2^max_slice_bits][num_columns], of
  // which a launch fills as many as it has tiles. The others must be zero.
  int max_slice_bits = 0;
};

// What is known of a state that a list of launches begins or ends with.
struct Ends {
  bool from_zero = false;  // it begins as |0...0>
  bool to_zero = false;    // of an adjoint walk: the ket would end as |0...0>
};

// `max_blocks` bounds every grid; kernels stride beyond it.
template <class T>
LaunchList lower(const cpu::Stage& stage, const std::vector<Pass>& passes, Index batch, int num_qubits,
                 Index max_blocks, const Adjoint& adjoint, Ends ends);

}  // namespace qsim::cuda
