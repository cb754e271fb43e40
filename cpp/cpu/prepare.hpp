// From an operation to the arguments of a kernel: which bits are rows and which are lanes, and the coefficient of each.
#pragma once

#include "isa.hpp"
#include "memory.hpp"
#include "qsim/ops.hpp"
#include "watch.hpp"

namespace qsim::cpu {

// A kernel, its arguments and how much there is to do.
template <class T>
struct Work {
  RangeKernel<T> kernel = nullptr;
  const void* args = nullptr;
  Index items = 0;
  double cost = 0;          // of one item, in vectors read and written
  std::size_t scratch = 0;  // bytes a participant needs
};

// An operation is one sweep, or two where rows have to be saved before they are overwritten (first.items may be 0).
template <class T>
struct Prepared {
  Work<T> first;
  Work<T> second;
};

// `angle` is used by rotations and phases, `operand` by the other kinds. Tables live in `arena`. `num_qubits` is at
// least the number of lane qubits. Throws std::invalid_argument when a permutation's table is not one.
template <class T>
Prepared<T> prepare(const KernelTable& table, const Op& op, double angle, const Operand* operand, int num_qubits,
                    Arena& arena, Watch& watch);

// True when prepare() depends on the angle only through rotations and phases, so that a batch must prepare per element.
inline bool has_angle(OpKind kind) {
  return kind == OpKind::rotation || kind == OpKind::phase;
}

}  // namespace qsim::cpu
