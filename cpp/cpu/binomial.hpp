// Exact draws of how many trials succeed, and of how many fall to each of several outcomes.
#pragma once

#include "philox.hpp"

namespace qsim::cpu {

// The numbers of a stream, one after the other.
class Draws {
 public:
  explicit Draws(const Philox& source) : source_(source) {}
  double next() {
    if (place_ == Philox::words_per_block) words_ = source_.words(block_++), place_ = 0;
    return Philox::unit(words_[static_cast<std::size_t>(place_++)]);
  }

 private:
  Philox source_;
  std::array<Bits, Philox::words_per_block> words_{};
  Bits block_ = 0;
  int place_ = Philox::words_per_block;
};

// How many of `trials` succeed, with the odds `yes` : `no`. Nothing is approximated but by rounding: inversion where
// few are expected, otherwise rejection (W. Hörmann, "The generation of binomial random variates", J. Stat. Comput.
// Simul. 46, 1993, algorithm BTRS).
Index binomial(Draws& draws, Index trials, double yes, double no);

// result[i]: how many of `trials` fall to outcome i, in proportion to weights[i]: binomial draws of each outcome
// against all that follow it. One of weight zero gets none. Weights are not negative and their sum is positive and
// finite.
void multinomial(Draws& draws, const double* weights, Index size, Index trials, Index* result);

}  // namespace qsim::cpu
