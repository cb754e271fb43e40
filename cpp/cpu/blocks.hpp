// The weights |amplitude|^2 of a state by blocks of amplitudes, and where a cumulative weight falls within a block.
#pragma once

#include <limits>
#include <vector>

#include "executor.hpp"

namespace qsim::cpu {

// A block fits in the cache; there are 2^14 of them at most. Its weight is a sum over a tree that the instruction set
// alone decides on: strips of vectors, then neighbours two by two (`folded`). So whoever has the amplitudes in cache
// may sum any part of a block, and the weights are the same numbers, whoever left them.
struct Blocks {
  // One read of the state.
  template <class T>
  Blocks(const Runner& runner, const T* amps, int num_qubits);
  // What a run has left behind.
  Blocks(const double* block_weights, int num_qubits);

  static int bits(int num_qubits);
  static Index number(int num_qubits) { return Index{1} << (num_qubits - bits(num_qubits)); }

  Index size;                   // amplitudes of a block, a power of two
  std::vector<double> weights;  // of the blocks
};

// The sum of weights, a power of two of them, which are overwritten.
inline double folded(double* weights, Index count) {
  for (Index half = count / 2; half > 0; half /= 2)
    for (Index i = 0; i < half; ++i) weights[i] = weights[2 * i] + weights[2 * i + 1];
  return weights[0];
}

// Whether shots can be drawn from a state of this squared norm.
inline bool can_be_drawn(double norm) {
  return norm > 0 && norm <= std::numeric_limits<double>::max();
}

// One block at a time, ready to be searched: a tree of the weights of its segments, and a segment one by one.
template <class T>
class BlockSearch {
 public:
  BlockSearch(const Runner& runner, const T* amps, Index block_size);

  void read(Index block);

  // Weight of the block that was read.
  [[nodiscard]] double weight() const { return weight_; }

  // places[k]: the amplitude at which the cumulative weight of the block passes targets[k], or the last one with
  // weight. The block after this one is fetched meanwhile if it comes next.
  void find(const double* targets, Index count, bool next_follows, std::uint32_t* places);

  // |amplitude|^2 one by one.
  void weights(double* result) const;

 private:
  static constexpr Index node = 8, most_at_top = 32;

  const Kernels<T>& kernels_;
  const T* amps_;
  Index block_size_;
  double weight_ = 0;
  SearchArgs<T> block_{};
  std::vector<std::vector<double>> levels_;
};

// The first of `count` ascending numbers above `target`, or the last one; no branch depends on the numbers.
inline Index first_above(const double* numbers, Index count, double target) {
  const double* at = numbers;
  for (Index half = count / 2; half > 0; half = count / 2) {
    at += half * static_cast<Index>(at[half - 1] <= target);
    count -= half;
  }
  return at - numbers;
}

}  // namespace qsim::cpu
