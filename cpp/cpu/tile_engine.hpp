// Runs a stage pass by pass: tile passes by the tile engine, what it can't do by sweeps (executor.hpp).
#pragma once

#include <memory>
#include <vector>

#include "executor.hpp"
#include "registers.hpp"
#include "tile_work.hpp"

namespace qsim::cpu::tile {

// Passes [begin, end) of the columns of qsim_core.plan.PassTable.
struct Passes {
  const std::uint8_t* kind;
  const std::uint64_t* local;
  const std::int64_t* op_offset;
  Index begin;
  Index end;
  int tile_qubits;  // at most this many in a tile where the pass leaves a choice; 0: what suits the cache
  bool from_zero;   // the states are |0...0>: tiles that can't hold anything yet are left alone
};

// What is done to states before the first pass of a stage and after its last one, while tiles are in cache for these:
// they come from other states, and the outcomes of measuring qubits are weighed.
template <class T>
struct Around {
  const Regrouping* move;  // null: the states are in place
  const T* source;  // the states themselves where nothing moves: one row, qubits that leave and come back as found
  int source_qubits;
  const std::vector<int>* read;  // null: nothing is
  double* weights;               // as `probabilities` gives them, one row of 2^(size of read) per state
};

// The weights of `Blocks`, for shots of one state, where the last pass can leave them.
struct Left {
  double* weights;
  bool done;
};

// `left` for a batch of one.
template <class T>
void run_passes(const Runner& runner, const Stage& stage, const Passes& passes, T* amps, Index batch, int num_qubits,
                const Around<T>& around = {}, Left* left = nullptr);

// The same for one state, again and again. The tile programs stay where they are small, so that a run with the numbers
// of the last one binds nothing; what it does to the state is the same, bit for bit. `Passes` must be of one table.
template <class T>
class Kept {
 public:
  Kept();
  ~Kept();
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  void run(const Runner& runner, const Stage& stage, const Passes& passes, T* amps, int num_qubits,
           Left* left = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What run_passes does with one state, group by group of passes that run together. With `amps` it is done, and timed;
// for a register smaller than the tiles of the instruction set, it is only counted.
template <class T>
std::vector<Work> profile_passes(const Runner& runner, const Stage& stage, const Passes& passes, T* amps,
                                 int num_qubits);

// The backward walk of adjoint differentiation. `stage` undoes a circuit: a rotation or phase whose value has column c
// undoes exp(-i angle G). Before it does, slopes[c] += 2 Im<bra|G|ket>, for `wanted` columns. Both states are left
// somewhere on the way. Slopes have a row of num_values per state. False, and nothing done, where an operation has a
// slope that tiles can't give. With passes.from_zero the whole stage would bring the ket back to |0...0>: tiles are
// left alone from where on it holds nothing in them.
template <class T>
bool run_adjoint(const Runner& runner, const Stage& stage, const Passes& passes, T* ket, T* bra, Index batch,
                 int num_qubits, const std::uint8_t* wanted, double* slopes);

}  // namespace qsim::cpu::tile
