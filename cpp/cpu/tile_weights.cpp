#include "tile_weights.hpp"

#include <algorithm>
#include <vector>

#include "blocks.hpp"
#include "lanes.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr Index parts_of_task = Index{1} << 13;

}  // namespace

TileWeights::TileWeights(int num_qubits, Bits local, int part_bits, double* memory)
    : num_qubits_(num_qubits), part_bits_(part_bits), weights_(memory) {
  Bits moved[64];
  int inside = 0, outside = count_bits(local >> part_bits);
  for (int q = part_bits; q < num_qubits; ++q) moved[q - part_bits] = bit((local >> q & 1) != 0 ? inside++ : outside++);
  place_ = make_bit_map(moved, num_qubits - part_bits, arena_);
}

double* TileWeights::of_tile(Bits base) const {
  return weights_ + lookup(place_, base >> part_bits_);
}

void TileWeights::sum(const Runner& runner, double* blocks) const {
  const int parts_bits = Blocks::bits(num_qubits_) - part_bits_;
  const Index parts = Index{1} << parts_bits;
  std::vector<Bits> within;
  for (Index p = 0; p < parts; ++p) within.push_back(lookup(place_, static_cast<Bits>(p)));
  auto task = [&](Index begin, Index end, int, Watch&) {
    std::vector<double> own(within.size());
    for (Index b = begin; b < end; ++b) {
      const double* first = weights_ + lookup(place_, static_cast<Bits>(b) << parts_bits);
      for (std::size_t p = 0; p < within.size(); ++p) own[p] = first[within[p]];
      blocks[b] = folded(own.data(), parts);
    }
  };
  const Index together = std::max<Index>(1, parts_of_task >> parts_bits), number = Blocks::number(num_qubits_);
  const auto threads = static_cast<int>(std::clamp<Index>(number / together, 1, runner.threads));
  parallel_for(threads, number, together, runner.watch, task);
}

}  // namespace qsim::cpu::tile
