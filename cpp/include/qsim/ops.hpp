// The operations of a plan as C++ sees them: columns of qsim_core.optable, coefficients and operands, all borrowed.
#pragma once

#include <complex>

#include "qsim/types.hpp"

namespace qsim {

struct OpColumns {
  const std::uint8_t* kind;
  const std::int32_t* num_targets;
  const std::int32_t* data;
  const std::int64_t* offset;
  const std::int32_t* qubits;
  const std::int32_t* tags;
};

// Where `data` of dense, diagonal, permutation and initialize points.
struct Operand {
  const std::complex<double>* numbers;  // or null
  const std::int64_t* table;            // or null
  Index size;                           // entries: 4^k for a matrix, 2^k otherwise
};

// One row of the columns, unpacked; every field has been checked.
struct Op {
  OpKind kind;
  const std::int32_t* targets;
  const std::int32_t* target_tags;
  const std::int32_t* controls;
  const std::int32_t* control_values;
  int num_targets;
  int num_controls;
  Index data;
};

inline Op unpack(const OpColumns& columns, Index row) {
  const std::int64_t start = columns.offset[row];
  const std::int32_t num_targets = columns.num_targets[row];
  return {static_cast<OpKind>(columns.kind[row]),
          columns.qubits + start,
          columns.tags + start,
          columns.qubits + start + num_targets,
          columns.tags + start + num_targets,
          num_targets,
          static_cast<int>(columns.offset[row + 1] - start) - num_targets,
          columns.data[row]};
}

}  // namespace qsim
