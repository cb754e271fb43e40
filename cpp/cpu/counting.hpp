// How often each basis state is seen in a number of shots, without the shots.
#pragma once

#include "blocks.hpp"
#include "philox.hpp"

namespace qsim::cpu {

struct Tally {
  double norm;    // squared, of the state: nothing is counted unless it is positive and finite
  Index entries;  // different basis states seen
};

// Counts with the multinomial distribution of independent shots, drawn from coarse to fine: how many fall into each
// group of blocks of the state, from there into each block, and in a block one by one, or by amplitude where that is
// less. What a part is given depends on the state, the source and the number of shots only. A basis state of
// probability zero is never seen.
//
// The state is read where shots fall. `outcomes`, ascending, and `counts`
// have room for min(shots, 2^num_qubits) entries each.
template <class T>
Tally count_shots(const Runner& runner, const T* amps, const Blocks& blocks, const Philox& source, Index shots,
                  Index* outcomes, Index* counts);

}  // namespace qsim::cpu
