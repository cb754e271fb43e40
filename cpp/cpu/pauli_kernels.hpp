// The border between the host part of expectation values of Pauli strings and their kernels. Structs only, as in
// kernels.hpp.
//
// All strings with one X mask need the same products conj(a[i ^ x]) a[i], summed under the signs (-1)^parity(i & z) of
// their Z masks. Vectors of products are transformed a few bits of their number at a time (Walsh-Hadamard), lowest
// first, in registers: of the signed sums so formed, those that several strings go on with are kept, as products of
// fewer bits, those that one mask goes on with are added up under its signs, the others are not wanted. So the work
// shrinks eightfold per step where few masks are asked for, and m masks cost 2^b (log2 m + 2) additions at most.
#pragma once

#include "qsim/types.hpp"

namespace qsim::cpu::pauli {

constexpr int lane_order = 3;  // a state has at least 2^3 amplitudes here, whatever the vectors

constexpr int digit = 3;       // bits transformed at a time,
constexpr int last_digit = 4;  // and no more than these at the end

// Strings [first, last) share their Z mask within a block. `entry`: its place among the signed sums of lanes.
struct Output {
  int entry;
  Index first, last;
};

// What becomes of the signed sums of digit `number`: vectors of node `node`, or, where it is -1, added up under the
// signs `z` of their place, for the outputs.
struct Branch {
  int number;
  int node;
  Bits z;
  int first_output, last_output;
};

// 2^bits vectors of products, of which the lowest `digit` bits are transformed; branches that are kept come first.
struct Node {
  int bits, digit;
  int first_branch, kept, last_branch;
};

// The strings of one X mask with real products, or those with imaginary ones (an odd number of Y). Its root is a
// branch: one mask only needs no transform.
struct Group {
  Bits x;      // vectors of products
  int x_lane;  // lanes of a vector of products, in the order of amplitudes
  bool imaginary;
  Branch root;
};

struct Forest {
  const Group* groups;
  const Node* nodes;
  const Branch* branches;
  const Output* outputs;
  const Bits* z_high;  // per string: signs by the number of the block
  int block_bits;      // log2 of the amplitudes of a block
};

struct KernelTable {
  // Amplitudes `own` of block number `block` with those of `partner` for groups [first, last): sums[string] += its sum.
  // `scratch` has room for two blocks of doubles. `bytes` at `next` are fetched meanwhile.
  void (*block_sums)(const Forest&, Index first, Index last, const double* own, const double* partner, const void* next,
                     Index bytes, Bits block, double* scratch, double* sums);
  // `count` numbers, a multiple of 16.
  void (*to_doubles)(const float* from, Index count, double* to);
};

}  // namespace qsim::cpu::pauli
