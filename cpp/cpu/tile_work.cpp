#include "tile_work.hpp"

#include <algorithm>
#include <cmath>

#include "qsim/bits.hpp"
#include "tile_program.hpp"

namespace qsim::cpu::tile {

template <class T>
Work Program<T>::work() const {
  Work result;
  const double all = std::ldexp(1, bits_), lanes = std::ldexp(1, lane_bits_);
  auto touch = [&](double amplitudes, double& kind, double multiply_adds) {
    result.touched += amplitudes;
    kind += amplitudes * multiply_adds;
  };
  for (const Step& step : steps_) {
    const double share = std::ldexp(1, -count_bits(step.outer_mask));  // of the tiles
    result.steps += share;
    switch (step.kind) {
      case Kind::sweep: {
        const Sweep<T>& sweep = sweeps_[step.index];
        touch(all, result.rotations, 0);
        for (int i = 0; i < sweep.num_steps; ++i) {
          const SweepStep<T>& part = sweep_steps_[first_step_[step.index] + static_cast<std::size_t>(i)];
          result.rotations += all * 2 * count_bits(static_cast<Bits>(part.rotated));
          result.lanes += all * 2 * count_bits(static_cast<Bits>(part.lanes));
          for (int f = 0; f < part.num_factors; ++f) {
            const Factor<T>& factor = factors_[static_cast<std::size_t>(part.first_factor + f)];
            const double tables = (factor.low != nullptr ? 4 : 0) + (factor.high != nullptr ? 4 : 0);
            result.diagonals += all * tables * std::ldexp(1, -count_bits(factor.condition));
          }
        }
        break;
      }
      case Kind::scale:
        touch(share * lanes * static_cast<double>(scales_[step.index].even.items), result.diagonals, 4);
        break;
      case Kind::block: {
        const Block<T>& block = blocks_[step.index];
        const double amplitudes = share * lanes * static_cast<double>(block.items * block.num_rows);
        touch(amplitudes, result.rotations, 4 * block.num_rows * std::max(1, block.num_flips));
        result.lanes += amplitudes * std::max(0, block.num_flips - 1);
        break;
      }
      case Kind::pair: {
        const PairStep<T>& pair = pairs_[step.index];
        touch(all, result.rotations, pair.num_positions == 2 ? 9.5 : pair.num_positions == 1 ? 10 : 12);
        result.lanes += all * (2 - pair.num_positions);
        break;
      }
      case Kind::controlled_x: {
        const ControlledX<T>& x = flips_[step.index];
        const bool lane = x.place == 0;
        touch(share * lanes * static_cast<double>(lane ? x.items : 2 * x.items), result.lanes, lane ? 1 : 0);
        break;
      }
      case Kind::exchange: touch(share * all, result.lanes, exchanges_[step.index].num); break;
      case Kind::read: break;  // of two tiles
    }
  }
  result.tiles = 1;
  result.moved = all;
  for (const Factor<T>& factor : factors_) {
    if (factor.low != nullptr) result.entries += lanes * static_cast<double>(factor.low_mask + 1);
    if (factor.high != nullptr && factor.high_shift < 63)
      result.entries += std::ldexp(1, bits_ - lane_bits_ - factor.high_shift);
  }
  for (const Copy& copy : copies_) {
    double expected = 1;  // changes of one position are one, done where any is; the copy where one is
    for (std::uint32_t c = copy.first; c < copy.last;) {
      double none = 1;
      for (const int position = changes_[c].position; c < copy.last && changes_[c].position == position; ++c)
        none *= 1 - std::ldexp(1, -count_bits(changes_[c].outer_mask));
      result.copies += (1 - none) * static_cast<double>(copy.size) / 2;
      expected *= none;
    }
    result.copies += (1 - expected) * static_cast<double>(copy.size) / 2;
  }
  return result;
}

template Work Program<float>::work() const;
template Work Program<double>::work() const;

void add(Work& work, const Work& more) {
  work.tiles += more.tiles;
  work.steps += more.steps;
  work.moved += more.moved;
  work.touched += more.touched;
  work.rotations += more.rotations;
  work.lanes += more.lanes;
  work.diagonals += more.diagonals;
  work.entries += more.entries;
  work.copies += more.copies;
}

Work times_tiles(Work tile, double tiles) {
  for (double* count : {&tile.tiles, &tile.steps, &tile.moved, &tile.touched, &tile.rotations, &tile.lanes,
                        &tile.diagonals, &tile.copies})
    *count *= tiles;
  return tile;
}

Work work_of_sweep(const Op& op, const Operand* operand, int num_qubits) {
  Work result;
  Bits near = 0;  // controls within a cache line select nothing from memory
  for (int c = 0; c < op.num_controls; ++c) near |= op.controls[c] < 3 ? bit(op.controls[c]) : 0;
  const double share = std::ldexp(1, -op.num_controls);
  const double amplitudes = std::ldexp(share, num_qubits);
  result.tiles = result.steps = 1;
  result.moved = result.touched = std::ldexp(amplitudes, count_bits(near));
  switch (op.kind) {
    case OpKind::dense: result.rotations = amplitudes * 4 * std::ldexp(1, op.num_targets); break;
    case OpKind::rotation: result.rotations = amplitudes * 4; break;
    case OpKind::permutation: break;
    default: result.diagonals = amplitudes * 4; break;
  }
  if (operand != nullptr) result.entries = static_cast<double>(operand->size);
  return result;
}

}  // namespace qsim::cpu::tile
