// Where the first tiles of a stage come from when its states are those of a regrouping, which nobody has written
// before.
#pragma once

#include <vector>

#include "registers.hpp"
#include "tile_kernels.hpp"

namespace qsim::cpu::tile {

template <class T>
class Source {
 public:
  // `rows` and `local` say where the tiles lie in the result.
  Source(const Regrouping& move, const T* source, int source_qubits, const Rows& rows, Bits local, int lane_bits);

  // Whether the tile at index `base` of a row may hold anything but zeros.
  [[nodiscard]] bool holds(Index row, Bits base) const {
    return ((base ^ static_cast<Bits>(move_.values[row])) & outer_) == 0;
  }
  void gather(const Kernels<T>& kernels, Index row, Bits base, T* tile) const;

  // The rows, for a scatter: where those of the next tile come from, seen from the first amplitude of the tile.
  [[nodiscard]] Rows towards_next() const;
  [[nodiscard]] const T* first(Index row, Bits base) const { return regrouped_.at(row, regrouped_.start(base)); }

 private:
  void gather_staged(const Kernels<T>& kernels, Index row, Bits base, T* tile) const;

  const Regrouping& move_;
  Rows rows_;
  int lane_bits_, row_bits_, block_bits_;
  Bits outer_;              // qubits that are new, outside of tiles
  Bits new_positions_ = 0;  // of the tile's index, those that are new
  std::vector<Bits> new_qubits_;
  bool straight_;  // rows of a tile are rows of the source, but for amplitudes that are zero
  Regrouped<T> regrouped_;
  std::vector<Bits> starts_;  // of the rows of a tile at 0 in the source, for the outcome 0
};

}  // namespace qsim::cpu::tile
