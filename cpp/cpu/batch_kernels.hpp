// The border between the batch engine's host code and its kernels: what is done to one group of states.
//
// A group holds as many states as a vector has elements, state l in lane l, and numbers that differ between its states
// are vectors: amplitude i is the vectors 2 i (real parts) and 2 i + 1 (imaginary parts), an angle is one vector. Every
// lane has the same arithmetic, so what a state becomes does not depend on its neighbours. Included by every
// instruction set: structs only, nothing of std::.
#pragma once

#include "kernels.hpp"
#include "qsim/types.hpp"

namespace qsim::cpu::batch {

using Entry = std::uint16_t;  // an amplitude or table entry of a group
constexpr int widest_group = 15;

// value[k] = constant + sum of coefficient . slot over the terms [offset[k], offset[k + 1]); doubles, vectors of lanes.
struct Affine {
  Index count;
  const double* constant;
  const Index* offset;
  const std::int32_t* slot;
  const double* coefficient;
};

// table[pairs[2 j]] = table[pairs[2 j + 1]] . factor
struct TableStep {
  const Entry* pairs;
  Index count;
  Index factor;  // of the coefficients; negative: a plain copy
};

// Multiplies amplitude i by entry[i] of a table of complex vectors.
template <class T>
struct Factor {
  const T* table;
  const Entry* entry;
};

constexpr int max_rotations = 3;

// One load and store of the amplitudes base ^ offset: times numbers common to all lanes, times factors, then rotations
// by coefficient pairs (c, s) of base ^ ... with bit k of the offset's number: (a, b) -> (c a - s b, s a + c b), or
// where `imaginary` (a, b) -> (c a - i s b, c b - i s a).
template <class T>
struct Sweep {
  const Entry* bases;
  Index count;
  const T* numbers;  // re, im of every amplitude, or null
  const Factor<T>* factors;
  int num_factors;
  int num_rotations;
  Entry offset[1 << max_rotations];
  const T* rotation[max_rotations];
  bool imaginary[max_rotations];
  bool negative[max_rotations];  // s with the other sign
};

// A matrix common to all lanes on the amplitudes base ^ offset[row]. `scratch`: 2 vectors per row.
template <class T>
struct Dense {
  const Entry* bases;
  Index count;
  const Entry* offset;
  const T* matrix;  // re, im; row by row
  int num_rows;
  T* scratch;
};

template <class T>
struct Kernels {
  void (*affine)(const Affine&, const double* slots, double* values);
  // Cosine and sine of `count` vectors of angles, pairs of vectors; false where an angle was beyond widest_angle.
  bool (*cosines)(const double* angles, Index count, T* pairs);
  void (*table)(const TableStep&, const T* coefficients, T* table);
  void (*sweep[max_rotations + 1])(const Sweep<T>&, T* amps);
  void (*dense)(const Dense<T>&, T* amps);
  void (*gather)(const Entry* source, Index size, const T* from, T* to);
  // weights[i] = |a[i]|^2, or for x != 0 the real or imaginary part of conj(a[i ^ x]) a[i]: doubles, vectors of lanes.
  void (*weights)(const T* amps, Index size, Bits x, bool imaginary, double* weights);
  // Add the halves that differ in bit `position`, and close the gap; or make them sum and difference, in place.
  void (*fold)(double* weights, Index size, int position);
  void (*transform)(double* weights, Index size, int position);
  // Interleaved amplitudes [begin, end), whole vectors of doubles: a[i] *= e^(-i angle costs[i]) for angles in range.
  void (*turn)(T* amps, const double* costs, double angle, Index begin, Index end);
};

constexpr double widest_angle = 1e6;

struct KernelTable {
  int rotations;  // one sweep should do: what fits in the registers
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace qsim::cpu::batch
