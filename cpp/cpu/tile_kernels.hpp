// The border between the tile engine's host code and its kernels: what a kernel does to one tile in cache.
//
// A tile holds 2^b amplitudes as vectors of W = E<T> lanes, real parts then imaginary parts: vector v, lane l is tile
// index v * W + l. Positions 0 to log2(W) - 1 of a tile index are lane positions, the others vector positions;
// "vector bits" below are numbered from zero. Vector v lies at the place A v, A linear over GF(2): a CX between vector
// bits changes A and moves nothing. Included by every instruction set: structs only, nothing of std::.
#pragma once

#include "kernels.hpp"
#include "qsim/types.hpp"

namespace qsim::cpu::tile {

// Multiplies vector v by low[v & low_mask] (lane by lane) and by the scalar high[v >> high_shift], where v has all
// bits of `condition`. A null table is one.
template <class T>
struct Factor {
  const T* low;   // W reals, W imaginaries per entry
  const T* high;  // re, im per entry
  Bits low_mask;
  Bits condition;
  int high_shift;
};

// The places of vectors with some bits fixed, in ascending order of the others: the first, and what to XOR when a
// counter of the others carries into bit k.
struct Course {
  Bits first;
  const Bits* steps;
};

constexpr int max_rotations = 3;
constexpr int max_lane_bits = 4;

// Diagonal factors, then rotations (a, b) -> (a - t b, b + t a) on vector bits and lanes.
template <class T>
struct SweepStep {
  int first_factor, num_factors;
  int rotated;  // mask of the sweep's positions
  T tangent[max_rotations];
  int lanes;  // mask of lane positions to rotate
  T lane_tangent[max_lane_bits];
};

// One load and store of a tile, its vectors in groups that differ in some positions. A single step rotates them all.
template <class T>
struct Sweep {
  Index vectors;
  const Factor<T>* factors;
  const SweepStep<T>* steps;
  int num_steps;
  int num_positions;
  Course course;  // without the positions
  int position[max_rotations];
  Bits place[max_rotations];  // of the vector with only that bit
};

// Where the vectors of a sweep lie in the state: offsets in amplitudes, as it has places in the tile.
struct Abroad {
  Course course;
  Bits place[max_rotations];
};

// The first sweep or pair on a tile can load its vectors from the state, and the last one store them there: then
// nothing is gathered, or scattered.
template <class T>
struct Ends {
  const T* from;  // first amplitude of the tile in the state; null: vectors are in the tile
  T* to;          // the same; null: they go to the tile
  const T* next;  // `to` of the tile after this one, whose lines are fetched between stores
  Abroad entrance, exit;
  T re, im;       // what amplitudes are multiplied by on their way out,
  int lane_flip;  // and their lanes XOR this
};

// a *= factor[parity of item & z], lane by lane, on the vectors of a course. factor: two entries of W reals, W
// imaginaries.
template <class T>
struct Scale {
  Index items;
  Course course;
  Bits parity;
  const T* factor;
};

// A dense matrix on vector bits: rows[r] is the place of row r. `active`: W ones and zeros, or null.
// With lanes among its targets, an output takes from every input row the lanes l ^ flips[f] of all flips, the first of
// which is 0; elements are vectors then, different in every lane, and lanes that are not active are in them.
template <class T>
struct Block {
  Index items;
  Course course;
  const Bits* rows;
  const T* matrix;  // re, im; row by row, and flip by flip
  const T* active;
  int num_rows;
  int num_flips;
  const int* flips;
};

// A Pair (tile_pair.hpp): on vector bits, `numbers` scalars,
//     before (the first real, then re, im of three), rotation (2), between (re, im of two), crossing (2);
// or with lanes: then they are vectors, different in every lane, and there are one or two rows, (0, c) and (1, c):
//     for every row before (re, im); rotation; between (re, im); for every row crossing.
// Rotations take the lanes l ^ flips[0] of one row and the same of two, crossings l ^ flips[1] of the other one.
template <class T>
struct PairStep {
  Index items;
  Course course;
  const T* numbers;
  int num_positions;
  int position[2];  // of p, or of p and c
  Bits place[2];    // of the vector with only that bit
  int flips[2];
};

// X on a vector bit or on a lane, under controls: vectors of a course change places with those at `place` from them, in
// `active` lanes (all for null); or take the lanes `source` of themselves where `place` is 0.
template <class T>
struct ControlledX {
  Index items;
  Course course;
  Bits place;
  const T* active;  // W ones and zeros
  const int* source;
};

// Exchanges lane positions with as many vector bits.
struct Exchange {
  Index items;
  Course course;
  int num;
  Bits place[max_lane_bits];  // of the vector with only that bit
  int lane[max_lane_bits];
};

// Where a tile lies in the state: contiguous rows.
struct Rows {
  const Bits* offset;  // of each row, in amplitudes
  const Bits* coming;  // of each row where the next tile is gathered from
  Index num_rows;
  Index row_vectors;
  const Bits* row_source;  // scatter: place of the first vector of each row ...
  const Bits* source;      // ... XOR this for each vector in a row
  int lane_flip;           // ... and lanes XOR this
};

// What of a tile another state holds: vectors whose number has the bits `value` on `mask`, lane by lane times `lanes`.
template <class T>
struct Part {
  Bits mask, value;
  const T* lanes;
};

// Sums over two tiles, bra and ket: Im<bra|X|ket> (bit 0 of `which`) and Im<bra|Y|ket> (bit 1) on one or two vector
// bits. Results: X, Y of the first, X, Y of the second.
struct Moments {
  Index vectors;
  Course course;  // without these bits
  int num;
  Bits place[2];  // of the vector with only that bit
  int which;
};

// Im(conj(bra) ket) per tile index, summed over the lowest vector bits under the signs (-1)^parity(v & b), for every b
// in `wanted` (bit b): `vectors` / 2^weight_bits vectors of sums for b = 0, as many for b = 1, ...
constexpr int weight_bits = 3;
struct Weights {
  Index vectors;
  Course course;  // without these bits
  Bits place[1 << weight_bits];
  unsigned wanted;
};

template <class T>
struct Kernels {
  void (*sweep)(const Sweep<T>&, T* tile);
  // With an end in the state at least.
  void (*sweep_ends)(const Sweep<T>&, const Ends<T>&, T* tile);
  void (*scale)(const Scale<T>&, T* tile);
  void (*block)(const Block<T>&, T* tile);
  void (*pair)(const PairStep<T>&, T* tile);
  // The same with one end in the state, or both.
  void (*pair_ends)(const PairStep<T>&, const Ends<T>&, T* tile);
  void (*controlled_x)(const ControlledX<T>&, T* tile);
  void (*exchange)(const Exchange&, T* tile);
  void (*gather)(const Rows&, const T* state, T* tile);
  // From another state, whose rows start at `offset`; the other vectors are zero.
  void (*gather_part)(const Rows&, const Part<T>&, const T* state, T* tile);
  // `next`: where the next tile will be gathered from. Its lines are fetched between the stores of this one.
  // `weights`: of the strips of all rows, as they are stored; null: not wanted.
  void (*scatter)(const Rows&, const T* tile, T* state, const T* next, double re, double im, double* weights);
  // Multiply the entries of a table whose index has the bit (all of them for -1).
  void (*adjust_low)(T* table, int vector_bits, int position, double re, double im);
  void (*adjust_high)(T* table, int bits, int position, double re, double im);
  void (*moments)(const Moments&, const T* ket, const T* bra, double* sums);
  void (*lane_moments)(Index vectors, int lane, const T* ket, const T* bra, double* sums);
  void (*weigh)(const Weights&, const T* ket, const T* bra, double* weights);
  // Add |a|^2 of the vectors of a course to `sums`, lane by lane.
  void (*weights)(Index vectors, const Course&, const T* tile, double* sums);
  // Sums (bit 0) and differences (bit 1) of two rows of weights.
  void (*fold)(double* low, double* high, Index count, int which);
};

struct KernelTable {
  int rotations;     // vector bits one sweep should rotate: what fits in the registers
  int lane_bits[2];  // f32, f64
  Kernels<float> f32;
  Kernels<double> f64;
  // e^(i angle) as re, im for a multiple of max_doubles angles, none of them beyond widest_angle.
  void (*units)(const double* angles, Index count, double* result);
};

constexpr Index max_doubles = 8;  // in a vector of any instruction set
constexpr double widest_angle = 1e6;
// Larger angles are taken as they stand: which multiple of pi / 2 one was meant to be is lost in its rounding.
constexpr double widest_multiple = 1e3;

}  // namespace qsim::cpu::tile
