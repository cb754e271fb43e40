// The border between host code and kernels: plain structs in, one table of function pointers per instruction set out.
//
// A kernel works on items [begin, end) of an operation: an item is the set of amplitudes (or vectors of them) that mix
// with each other. `T` is the real type of interleaved complex amplitudes. A vector holds E = bytes / sizeof(T) reals,
// W = E / 2 amplitudes ("lanes"); the low log2(W) qubits are lane qubits, the others high. Offsets, masks and indices
// count vectors where a struct says so, amplitudes otherwise. Tables are in memory the caller owns.
//
// Included by every instruction set: structs only, no functions, nothing of std::.
#pragma once

#include "qsim/types.hpp"

namespace qsim::cpu {

// Indices whose `fixed` bits have the bits of `value`; item i is the i-th of them.
struct Space {
  Bits fixed;
  Bits value;
};

// table[l][j] holds the output bits of digit l (6 bits) with value j: index bits moved in 64-wide steps.
struct BitMap {
  static constexpr int digit = 6;
  static constexpr int width = 1 << digit;
  int levels;
  const Bits* table;
};

// Dense matrix with the targets split into high ones (rows, 2^H vectors) and lane ones. Lane pattern p is an XOR of
// lanes. coefficients[out row][in row][p] is a pair (real, imaginary) of vectors of E, or of scalars when `uniform` (no
// lane targets, no lane controls).
template <class T>
struct DenseArgs {
  Space space;  // vectors
  const Bits* rows;
  const int* patterns;  // element XOR masks, patterns[0] = 0
  const T* coefficients;
  int num_rows;
  int num_patterns;
  bool uniform;
};

// new[i] = keep . a[i] + mix[parity(partner & z)] . permute(a[partner]), partner = i ^ x
template <class T>
struct RotationArgs {
  Space space;  // vectors
  Bits x;       // vectors
  Bits z;       // vectors
  int pattern;  // element XOR mask: lanes of x, and re <-> im where the factor is imaginary
  const T* keep;
  const T* mix;  // two vectors
};

// new = re . a + im . swap(a)
template <class T>
struct ScaleArgs {
  Space space;  // vectors
  const T* re;
  const T* im;
};

// a *= table[map(item) * 2^L + lane part]
template <class T>
struct DiagonalArgs {
  Space space;  // vectors
  BitMap map;   // item -> first table entry
  const T* table;
  const int* re_source;  // E element indices into the E reals at the first entry
  const int* im_source;
  const T* active;  // E ones and zeros, or null: lanes where the controls hold
};

struct LanePermutationArgs {
  Space space;  // vectors
  const int* source;
};

struct RowPair {
  Bits first;
  Bits second;
};

struct SwapRowsArgs {
  Space space;  // vectors
  const RowPair* pairs;
  Index num_pairs;
};

// Lanes `active` of the output row come from lanes `source` of an input row.
template <class T>
struct BlendSource {
  int out;
  int in;
  bool last;  // of this output row
  const int* source;
  const T* active;
};

template <class T>
struct BlendArgs {
  Space space;  // vectors
  const Bits* rows;
  const BlendSource<T>* sources;
  int num_rows;
  int num_sources;
};

// Rows of a table in cycle order: the row at order[j] moves to order[j + 1]; `head` marks where a cycle starts.
// An item is a chunk of this list for one setting of the other qubits. A chunk needs two rows that its
// neighbours overwrite: the one before it, and the end of the cycle it starts last. They are saved first.
struct CycleArgs {
  static constexpr std::uint32_t head = 0x80000000U;
  static constexpr std::uint32_t none = 0xffffffffU;
  Space space;  // vectors or amplitudes
  const std::uint32_t* order;
  Index length;
  Index chunk;
  Index num_chunks;
  const std::uint32_t* wraps;  // per chunk: last row of the cycle it starts last, or none
  BitMap map;                  // row number -> offset
  void* saved;                 // two units per item, null for a single chunk
};

template <class T>
struct InitializeArgs {
  Space space;  // amplitudes
  const T* vector;
  Index length;
  Index chunk;
  Index num_chunks;
  BitMap map;  // row number -> offset
  T* saved;    // one amplitude per setting of the other qubits, null for a single chunk
};

template <class T>
struct CollapseArgs {
  Space kept;      // vectors
  const T* scale;  // E reals
};

// Sum over items of conj(bra[i ^ x]) ket[i] (-1)^parity(i & z), re and im.
template <class T>
struct OverlapArgs {
  Space space;  // vectors
  Bits x;
  Bits z;
  int pattern;     // element XOR mask of the lanes of x
  const T* signs;  // two vectors: lane signs for even and odd parity of the high bits
};

// out[i] += the sum over groups of mix[parity(j & z)] . permute(factors[j] . in[j]), j = i ^ x; null factors are one.
// in[i ^ fetched] is fetched meanwhile: XOR hides from the hardware what comes next.
template <class T>
struct AddPauliArgs {
  Bits x;  // vectors
  Bits z;  // vectors
  Bits fetched;
  int pattern;       // element XOR mask: lanes of x, and re <-> im where the string is imaginary
  const T* mix;      // two vectors
  const T* factors;  // of vector `first_factor` and those that follow it
  Bits first_factor;
};

// histogram[map(item)] += |a|^2, E doubles each: outcomes of the high qubits, lanes and re/im kept apart.
struct MarginalArgs {
  BitMap map;
  Index run;  // items with the same outcome come in runs of this length
};

// Weights |a|^2 are summed by strips of so many vectors of memory, in one order, by whoever reads or writes them.
constexpr int strip_vectors = 8;

constexpr int max_register_targets = 4;

// A block of amplitudes to find cumulative weights in: a tree of the ends of its segments, eight to a node, all from
// the start of the block. ends[k] has one number for every 8^k segments, filled up to eights with infinity.
constexpr int segment_size = 8;  // amplitudes: a whole number of vectors in every instruction set
constexpr int max_search_levels = 12;
template <class T>
struct SearchArgs {
  const T* amps;
  int size;  // amplitudes of a segment: segment_size, or all of a smaller register
  int levels;
  Index top;  // numbers in the highest level
  const double* ends[max_search_levels];
  double highest;      // below the weight of the block: what rounding leaves above it is looked for here
  const T* next_amps;  // of `next_size` amplitudes that will be read soon: fetched meanwhile
  Index next_size;
};

template <class T>
using RangeKernel = void (*)(const void* args, T* amps, Index begin, Index end, void* scratch);

template <class T>
struct Kernels {
  RangeKernel<T> dense[5][4][2][2];  // [high targets][lane targets][real matrix][uniform], up to max_register_targets
  RangeKernel<T> dense_block;
  RangeKernel<T> rotate_pairs;
  RangeKernel<T> rotate_lanes;
  RangeKernel<T> scale;
  RangeKernel<T> diagonal;
  RangeKernel<T> permute_lanes;
  RangeKernel<T> swap_rows;
  RangeKernel<T> blend_rows;
  RangeKernel<T> save_cycles[2];  // [unit: amplitude, vector]
  RangeKernel<T> move_cycles[2];
  RangeKernel<T> save_initialize;
  RangeKernel<T> initialize;
  RangeKernel<T> collapse;
  double (*norm)(const T* amps, Index begin, Index end);
  void (*strip_weights)(const T* amps, Index strips, double* weights);
  // cumulative weights at the ends of segments; returns the last
  double (*segment_ends)(const T* amps, Index count, double* ends);
  // places[k]: the amplitude at which the cumulative weight passes targets[k]; its own weight is never zero
  void (*search)(const SearchArgs<T>& args, const double* targets, Index count, std::uint32_t* places);
  void (*overlap)(const OverlapArgs<T>& args, const T* bra, const T* ket, Index begin, Index end, double* result);
  void (*add_paulis)(const AddPauliArgs<T>* groups, Index count, const T* in, T* out, Index begin, Index end);
  void (*marginal)(const MarginalArgs& args, Space space, const T* amps, Index count, double* histogram);
};

struct KernelTable {
  const char* name;
  int vector_bytes;
  int block_columns;  // vectors a dense block holds per row
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace qsim::cpu
