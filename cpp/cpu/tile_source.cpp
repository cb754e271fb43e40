#include "tile_source.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr int staged_bits = 10;  // amplitudes on their way from the source to the tile: half of the first cache at most

}  // namespace

template <class T>
Source<T>::Source(const Regrouping& move, const T* source, int source_qubits, const Rows& rows, Bits local,
                  int lane_bits)
    : move_(move),
      rows_(rows),
      lane_bits_(lane_bits),
      row_bits_(lane_bits + lowest_bit(static_cast<Bits>(rows.row_vectors))),
      block_bits_(std::min(staged_bits, row_bits_)),
      outer_(move.entering & ~local),
      straight_(((move.leaving ^ move.entering) & (bit(row_bits_) - 1)) == 0),
      regrouped_(move, source, source_qubits, block_bits_) {
  for (Bits rest = move.entering & local; rest != 0; rest &= rest - 1) {
    const Bits qubit = rest & (~rest + 1);
    new_qubits_.push_back(qubit);
    new_positions_ |= bit(count_bits(local & (qubit - 1)));
  }
  starts_.push_back(0);
  for (Index half = 1; half < rows.num_rows; half *= 2) {
    const Bits step = regrouped_.start(rows.offset[half]);
    for (Index r = 0; r < half; ++r) starts_.push_back(starts_[static_cast<std::size_t>(r)] ^ step);
  }
}

template <class T>
Rows Source<T>::towards_next() const {
  Rows rows = rows_;
  rows.coming = starts_.data();
  return rows;
}

template <class T>
void Source<T>::gather(const Kernels<T>& kernels, Index row, Bits base, T* tile) const {
  const Bits within = bit(row_bits_) - 1, value = static_cast<Bits>(move_.values[row]);
  if (!straight_ || ((static_cast<Bits>(move_.outcomes[row]) ^ value) & within) != 0)
    return gather_staged(kernels, row, base, tile);
  Bits kept = 0, rest = new_positions_;
  for (const Bits qubit : new_qubits_) {
    if ((value & qubit) != 0) kept |= rest & (~rest + 1);
    rest &= rest - 1;
  }
  alignas(64) T lanes[64 / sizeof(T)];
  const Bits last_lane = bit(lane_bits_) - 1;
  for (Bits lane = 0; lane <= last_lane; ++lane)
    lanes[lane] = ((lane ^ kept) & new_positions_ & last_lane) == 0 ? static_cast<T>(move_.scales[row]) : T(0);
  Rows rows = rows_;
  rows.offset = starts_.data();
  // The outcome within rows is in the numbers of the vectors.
  const T* from = regrouped_.at(row, regrouped_.start(base)) - 2 * (static_cast<Bits>(move_.outcomes[row]) & within);
  kernels.gather_part(rows, {new_positions_ >> lane_bits_, kept >> lane_bits_, lanes}, from, tile);
}

// Through memory that stays in the first cache.
template <class T>
void Source<T>::gather_staged(const Kernels<T>& kernels, Index row, Bits base, T* tile) const {
  alignas(64) T staged[2 << staged_bits];
  const Bits zero = 0, block = bit(block_bits_);
  const Index vectors = static_cast<Index>(block) >> lane_bits_;
  const Index together = std::min<Index>(rows_.num_rows, Index{1} << (staged_bits - block_bits_));
  const Rows contiguous{&zero, &zero, 1, together * vectors, &zero, &zero, 0};
  for (Index r = 0; r < rows_.num_rows; r += together)
    for (Bits in_row = 0; in_row < bit(row_bits_); in_row += block) {
      T* out = staged;
      for (Index k = r; k < r + together; ++k, out += 2 * block) {
        const Bits first = base | rows_.offset[k] | in_row;
        if (regrouped_.holds(row, first)) regrouped_.copy(row, regrouped_.start(first), out);
        else std::fill_n(out, 2 * block, T(0));
      }
      kernels.gather(contiguous, staged, tile);
      tile += 2 * static_cast<Bits>(together) * block;
    }
}

template class Source<float>;
template class Source<double>;

}  // namespace qsim::cpu::tile
