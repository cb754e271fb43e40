// Squared moduli of tiles summed before the tiles leave the cache: by the outcome of a few qubits, or by parts of the
// state.
#include <algorithm>

#include "blocks.hpp"
#include "qsim/bits.hpp"
#include "tile_program.hpp"

namespace qsim::cpu::tile {

template <class T>
void Program<T>::read_outcomes(const Layers& layers, Bits local, const std::vector<int>& qubits) {
  outcomes_ = {};
  outcomes_.num_qubits = static_cast<int>(qubits.size());
  std::vector<std::pair<Bits, Bits>> vectors;  // bit of a vector number, bit of the outcome
  Bits first = 0, fixed = 0;
  for (std::size_t k = 0; k < qubits.size(); ++k) {
    const Bits qubit = bit(qubits[k]);
    if ((local & qubit) == 0) {
      outcomes_.outer[k] = qubit;
      continue;
    }
    const int position = layers.source[static_cast<std::size_t>(count_bits(local & (qubit - 1)))];
    const bool flipped = (layers.flips >> position & 1) != 0;
    if (position < lane_bits_) {
      outcomes_.lane[k] = bit(position);
      continue;
    }
    const Bits vector = bit(position - lane_bits_);
    vectors.push_back({vector, bit(static_cast<int>(k))});
    fixed |= vector;
    if (flipped) first |= vector;
  }
  outcomes_.flipped = layers.flips & (bit(lane_bits_) - 1);
  for (Bits c = 0; c < bit(static_cast<int>(vectors.size())); ++c) {
    Bits value = first, outcome = 0;
    for (std::size_t v = 0; v < vectors.size(); ++v) {
      if ((c >> v & 1) == 0) continue;
      value ^= vectors[v].first;
      outcome |= vectors[v].second;
    }
    outcomes_.courses.push_back(course(fixed, value));
    outcomes_.outcome.push_back(outcome);
  }
}

template <class T>
void Program<T>::add_weights(const T* tile, Bits base, double scale, double* sums) const {
  constexpr int most_lanes = 64 / sizeof(T);
  const Bits lanes = bit(lane_bits_);
  const auto looked_at = [&](const Bits* where, Bits index) {
    Bits outcome = 0;
    for (int k = 0; k < outcomes_.num_qubits; ++k)
      if ((where[k] & index) != 0) outcome |= bit(k);
    return outcome;
  };
  const Bits outer = looked_at(outcomes_.outer, base);
  const Index vectors = (Index{1} << (bits_ - lane_bits_)) / static_cast<Index>(outcomes_.courses.size());
  for (std::size_t c = 0; c < outcomes_.courses.size(); ++c) {
    double by_lane[most_lanes] = {};
    kernels_.weights(vectors, outcomes_.courses[c], tile, by_lane);
    for (Bits lane = 0; lane < lanes; ++lane)
      sums[outer | outcomes_.outcome[c] | looked_at(outcomes_.lane, lane ^ outcomes_.flipped)] += scale * by_lane[lane];
  }
}

template <class T>
int Program<T>::weighed_bits(int most) const {
  const int row_bits = lane_bits_ + lowest_bit(static_cast<Bits>(rows_.row_vectors));
  const int least = std::max(strip_bits(), lowest_bit(shortest_weighed / Bits{2 * sizeof(T)}));
  return std::min(row_bits, most) < least ? -1 : std::min(row_bits, most);
}

template <class T>
void Program<T>::leave_weights(double* strips, Bits base, const TileWeights& weights) const {
  const Index together = Index{1} << (weights.part_bits() - strip_bits());
  double* to = weights.of_tile(base);
  for (double* last = strips + num_strips(); strips < last; strips += together) *to++ = folded(strips, together);
}

#define QSIM_INSTANTIATE(T)                                                              \
  template void Program<T>::read_outcomes(const Layers&, Bits, const std::vector<int>&); \
  template void Program<T>::add_weights(const T*, Bits, double, double*) const;          \
  template int Program<T>::weighed_bits(int) const;                                      \
  template void Program<T>::leave_weights(double*, Bits, const TileWeights&) const;
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu::tile
