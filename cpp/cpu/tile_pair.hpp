// Two-qubit unitaries as the tile engine sees them: one-qubit gates, which can wait, after a part of nine real numbers.
#pragma once

#include "tile_turn.hpp"

namespace qsim::cpu::tile {

// matrix = (after[1] on target 1, after[0] on target 0) . crossing . diag(between) . rotations . diag(before).
// Amplitudes are (p, c): p the bit of target `axis`, c that of the other one. Rotations mix (0, c) with (1, c),
// the crossing (0, c) with (1, 1 - c), both as (a, b) -> (a - t b, b + t a) with the tangent of c. `between` is one
// where p is zero, between[c] where it is one. All scales are in `before`, whose first number is real.
struct Pair {
  int axis;
  Complex before[4];  // by index: bit t is target t
  double rotation[2];
  Complex between[2];
  double crossing[2];
  Matrix after[2];
};

constexpr double widest_tangent = 1024;  // of a Pair: what one amplitude may lose against another for a while

// False where rounding or a tangent would be too large; then the matrix, unitary, row by row, has to stay as it is.
bool pair_of(const Complex* matrix, int axis, Pair& pair);

}  // namespace qsim::cpu::tile
