// What running a group of passes takes, counted on what the tile engine has made of them.
#pragma once

#include "qsim/ops.hpp"
#include "qsim/types.hpp"

namespace qsim::cpu::tile {

// Counts are of amplitudes, or of multiply-adds (a real number each), over all tiles that run.
struct Work {
  Bits local = 0;        // qubits of a tile; none: sweeps over the state
  Index operations = 0;  // rows of the plan
  double tiles = 0;      // or sweeps
  double steps = 0;      // kernel calls
  double moved = 0;      // amplitudes read from the state and written back
  double touched = 0;    // amplitudes loaded and stored in cache
  double rotations = 0;  // multiply-adds of rotations and dense matrices
  double lanes = 0;      // multiply-adds within vectors
  double diagonals = 0;  // multiply-adds of diagonals
  double entries = 0;    // of tables, built once
  double copies = 0;     // of tables, copied and changed per tile
  double seconds = 0;    // measured; 0: only counted
};

// `more` added to what a group of passes takes.
void add(Work& work, const Work& more);

// A tile's work in so many of them.
Work times_tiles(Work tile, double tiles);

// An operation outside of tiles.
Work work_of_sweep(const Op& op, const Operand* operand, int num_qubits);

}  // namespace qsim::cpu::tile
