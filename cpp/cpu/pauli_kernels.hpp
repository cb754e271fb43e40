// The border between the host part of Pauli sums and their kernels. Structs only, as in kernels.hpp.
//
// All strings with one X mask need the same products conj(a[i ^ x]) a[i], summed under the signs (-1)^parity(i & z) of
// their Z masks. A block of products is halved bit by bit, top bit first: the sum of its halves serves the strings
// without Z on that bit, their difference the others. Only halves that some string needs are formed (the nodes of a
// tree over the Z masks), so m masks cost 2^b (log2 m + 2) additions at most, and those that share their low part cost
// one.
#pragma once

#include "qsim/types.hpp"

namespace qsim::cpu::pauli {

constexpr int block_qubits = 10;  // amplitudes of a block: 2^10
constexpr int lane_order = 3;     // a state has at least 2^3 amplitudes here, whatever the vectors

constexpr int leaf_bits = 2;  // up to so many vector bits a leaf is transformed as a whole

// A node holds 2^bits vectors of products. A leaf takes one signed sum of them, of vector signs `z`, or, where `whole`,
// all of them; then those of the lanes.
struct Node {
  int bits;
  int sum, difference;  // children, -1: not needed; a leaf has none
  bool leaf, whole;
  Bits z;
  int first_output, last_output;
};

// The strings [first, last) share the low part of their Z mask; `entry` is its place among the sums of a leaf.
struct Output {
  int entry;
  Index first, last;
};

// The strings of one X mask with real products, or those with imaginary ones (an odd number of Y).
struct Group {
  Bits x;      // vectors of products
  int x_lane;  // lanes of a vector of products, in the order of amplitudes
  bool imaginary;
  int root;
};

struct Forest {
  const Group* groups;
  const Node* nodes;
  const Output* outputs;
  const Bits* z_high;  // per string: signs by the number of the block
  int block_bits;      // log2 of the amplitudes of a block
};

struct KernelTable {
  // Amplitudes `own` of block number `block` with those of `partner` for groups [first, last): sums[string] += its sum.
  // `scratch` has room for two blocks of doubles. The block at `next`, if any, is fetched meanwhile.
  void (*block_sums)(const Forest&, Index first, Index last, const double* own, const double* partner,
                     const double* next, Bits block, double* scratch, double* sums);
  // `count` numbers, a multiple of 16; as many at `next` are fetched meanwhile.
  void (*to_doubles)(const float* from, Index count, const float* next, double* to);
};

}  // namespace qsim::cpu::pauli
