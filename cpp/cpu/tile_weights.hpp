// Weights |a|^2 that the tiles of one pass leave behind, part by part of the state, and those of blocks from them.
#pragma once

#include "executor.hpp"
#include "memory.hpp"

namespace qsim::cpu::tile {

class TileWeights {
 public:
  // Parts are of 2^part_bits amplitudes, a row of a tile on the qubits `local` holds whole ones. `memory` for all of
  // them must be zero where no tile comes by.
  TileWeights(int num_qubits, Bits local, int part_bits, double* memory);

  [[nodiscard]] int part_bits() const { return part_bits_; }
  // Where a tile leaves its own, in order: tile by tile, so that they stay in few lines.
  [[nodiscard]] double* of_tile(Bits base) const;

  // blocks[b]: the weight of a block, as `Blocks` reads it.
  void sum(const Runner& runner, double* blocks) const;

 private:
  int num_qubits_, part_bits_;
  Arena arena_;
  BitMap place_;  // of a part, by its number
  double* weights_;
};

}  // namespace qsim::cpu::tile
