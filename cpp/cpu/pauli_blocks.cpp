#include "pauli_blocks.hpp"

#include <numeric>

namespace qsim::cpu {

PauliBlocks::PauliBlocks(const std::vector<PauliString>& strings, int num_qubits, int block_bits)
    : order(strings.size()), num_qubits_(num_qubits), block_bits_(block_bits) {
  const auto imaginary = [&](std::size_t s) { return (num_y(strings[s]) & 1) != 0; };
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return strings[a].x != strings[b].x ? strings[a].x < strings[b].x : imaginary(a) < imaginary(b);
  });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t s = order[i];
    const Bits x = strings[s].x;
    if (groups.empty() || groups.back().x != x || groups.back().imaginary != imaginary(s))
      groups.push_back({x, imaginary(s), i, i});
    groups.back().last = i + 1;
    const std::size_t group = groups.size();
    if (steps.empty() || steps.back().x_block != x >> block_bits) steps.push_back({x >> block_bits, group - 1, group});
    steps.back().last = group;
  }
}

}  // namespace qsim::cpu
