// Basis states drawn from a state: shots in order, or only how often each outcome was seen.
#pragma once

#include <functional>
#include <vector>

#include "executor.hpp"
#include "philox.hpp"

namespace qsim::cpu {

// result[k]: the number of shot first + k.
void uniforms(const Runner& runner, const Philox& source, Index first, Index count, double* result);

// Inverts the cumulative distribution at numbers in [0, 1), in any order: what a number gives depends on the state and
// on that number only. A basis state of probability zero is never drawn.
class Sampler {
 public:
  template <class T>
  Sampler(const Runner& runner, const T* amps, int num_qubits);

  // The squared norm: nothing is sampled unless it is positive and finite, the caller checks it.
  [[nodiscard]] double norm() const { return norm_; }

  // result[k]: the basis state of uniforms[k].
  template <class T>
  void draw(const Runner& runner, const T* amps, const double* uniforms, Index count, Index* result) const;

  // How often each basis state is drawn: result(number of different ones) gives room for them, ascending, and the
  // counts.
  struct Tally {
    Index* outcomes;
    Index* counts;
  };
  template <class T>
  void tally(const Runner& runner, const T* amps, const double* uniforms, Index count,
             const std::function<Tally(Index)>& result) const;

 private:
  struct Hits;
  [[nodiscard]] Hits sorted(const Runner& runner, const double* uniforms, Index count) const;
  // found(place, basis state) for hits [first, last) of a block, in order of place.
  template <class T, class Found>
  void invert(const T* amps, Index block, const Hits& hits, double* cumulative, Found found) const;

  int num_qubits_, block_bits_;
  std::vector<double> ends_;          // cumulative weight up to the end of each block
  std::vector<std::uint32_t> guide_;  // block to start from, by number
  Index last_block_ = 0;              // the last one with weight
  double norm_ = 0;
};

}  // namespace qsim::cpu
