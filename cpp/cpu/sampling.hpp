// Basis states drawn from a state, shot by shot.
#pragma once

#include <vector>

#include "blocks.hpp"
#include "philox.hpp"

namespace qsim::cpu {

// result[k]: the number of shot first + k.
void uniforms(const Runner& runner, const Philox& source, Index first, Index count, double* result);

// Inverts the cumulative distribution at numbers in [0, 1), in any order: what a number gives depends on the state and
// on that number only. A basis state of probability zero is never drawn.
//
// The state is read where numbers fall. These are sorted by their leading bits into buckets, which takes no search, and
// within a bucket by block.
class Sampler {
 public:
  explicit Sampler(Blocks blocks);

  // The squared norm: nothing is sampled unless it is positive and finite, the caller checks it.
  [[nodiscard]] double norm() const { return ends_.back(); }

  // result[k]: the basis state of uniforms[k].
  template <class T>
  void draw(const Runner& runner, const T* amps, const double* uniforms, Index count, Index* result) const;

 private:
  struct Buckets;
  template <class T>
  class Search;

  // Cumulative weight before a block.
  [[nodiscard]] double start_of(Index block) const {
    return block == 0 ? 0 : ends_[static_cast<std::size_t>(block - 1)];
  }
  [[nodiscard]] Index block_above(double target, Index from, Index last) const;

  Index block_size_;
  std::vector<double> ends_;  // cumulative weight up to the end of each block
  Index last_block_ = 0;      // the last one with weight
};

}  // namespace qsim::cpu
