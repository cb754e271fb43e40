// What the batch engine does to every group of states: the operations of a stage as sweeps, compiled once for all
// values.
//
// Amplitudes stay where they are under X, CX, SWAP and every other permutation that is affine over bits: logical index
// l is kept at place i with bit q of l = parity(i & z[q]) ^ flip[q]. A one-qubit gate on qubit q then acts on the pairs
// (i, i ^ x[q]), a phase on the places where certain parities hold. Phases wait, for each other and until a gate comes
// that they don't commute with; rotations of different qubits wait to share a sweep. Fixed one-qubit matrices are
// phases, a real rotation, phases.
#pragma once

#include <complex>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "batch_kernels.hpp"
#include "executor.hpp"

namespace qsim::cpu::batch {

// Angle a = constant[a] + sum of coefficient . slot over the terms [offset[a], offset[a + 1]).
struct Angles {
  const double* constant;
  const Index* offset;
  const std::int64_t* slot;
  const double* coefficient;
};

// coefficient . P added to column `column`, P with X on x, Z on z, Y on both.
struct PauliTerm {
  Bits x, z;
  double coefficient;
  Index column;
};

// constant + sum of coefficient . slot
struct Form {
  double constant = 0;
  std::vector<std::pair<std::int32_t, double>> terms;
  void add(const Form& other, double factor);
};

// A list of entries in Program::entries.
struct List {
  std::size_t first = 0;
  Index count = 0;
};

struct TableSpec {  // of a factor: steps that fill it, and the entry of every amplitude
  std::size_t first_step = 0, last_step = 0;
  Index size = 0;  // entries
  List entry;
};

struct TableStepSpec {
  List pairs;
  Index factor;
};

struct Rotation {
  Entry x = 0;
  Index coefficient = 0;
  bool imaginary = false, negative = false;
  Entry selector = 0;  // the pair's first member has parity `value` with it
  bool value = false;
};

struct Step {
  enum class Kind : std::uint8_t { sweep, dense, gather };
  Kind kind = Kind::sweep;
  List bases;  // gather: the sources
  std::vector<Rotation> rotations;
  Index numbers = -1;  // of the diagonals common to all states
  std::size_t first_table = 0, last_table = 0;
  std::vector<Entry> offset;  // dense
  Index operand = 0;
};

struct Weights {  // all terms with the same x, and the same of real and imaginary part
  Bits x = 0;
  bool imaginary = false;
  std::vector<int> folds;  // bits summed over, in this order
  int transforms = 0;      // bits that are left
  struct Term {
    Index entry;
    double coefficient;
    Index column;
  };
  std::vector<Term> terms;
};

struct Program {
  int num_qubits = 0;
  std::vector<Form> forms;                  // coefficient k < forms.size(): cos, sin of a form
  std::vector<std::complex<double>> fixed;  // and after them fixed ones
  std::vector<Entry> entries;
  std::vector<Step> steps;
  std::vector<std::vector<std::complex<double>>> numbers;  // one per place
  std::vector<TableSpec> tables;
  std::vector<TableStepSpec> table_steps;
  std::vector<Weights> weights;
  std::vector<Entry> place;  // of every logical index
  Index phase = -1;          // coefficient all amplitudes still have to be multiplied by, or -1
  std::complex<double> constant{1, 0};
  Index table_entries = 0;  // of all tables of one sweep, at most
  Index dense_rows = 0;
  bool gathers = false;
};

// False where the stage holds what the engine can't do: initialisations, matrices on more than six qubits.
// `rotations`: at most so many in a sweep. `states`: whether amplitudes are read, with their phases.
bool compile(const Stage& stage, const Angles& angles, int num_qubits, const std::vector<PauliTerm>& terms, bool states,
             int rotations, Program& program);

}  // namespace qsim::cpu::batch
