// What the host hands to the kernels: one block of bytes per run, uploaded once, read by every launch.
//
// A launch is (amps, program, offset): `offset` leads to one of the structs below, whose own references are byte
// offsets from the start of the program. Angles and matrices are numbers in it: new values never recompile a kernel.
// This text is compiled by nvcc, NVRTC and g++ (lowering), so it includes nothing; all fields have the same size
// everywhere.
#pragma once

namespace qsim {
namespace cuda {

typedef unsigned long long u64;
typedef unsigned int u32;
typedef int i32;

// A tile is 2^tile_bits amplitudes in shared memory; every thread holds 2^register_bits of them in registers.
template <class T>
struct Shape;
template <>
struct Shape<float> {
  static constexpr int tile_bits = 12, register_bits = 4, bank_bits = 4;
};
template <>
struct Shape<double> {
  static constexpr int tile_bits = 11, register_bits = 3, bank_bits = 3;
};

constexpr int max_tile_bits = 12;
constexpr int max_register_bits = 4;
constexpr int max_thread_bits = 8;
constexpr int max_threads = 256;
constexpr int max_warps = max_threads / 32;
constexpr int max_slopes = 128;   // that one launch sums up
constexpr int max_staged = 3072;  // bytes of matrices and angles that a stage finds in shared memory

// Tiles of two states (adjoint differentiation): their highest bit tells the states apart, and this bit of an index.
constexpr u64 second_state = u64(1) << 62;

// Amplitudes lie in shared memory at `swizzled(index)`: a linear map over the bits, so the address of a sum of bits is
// the XOR of their addresses, and lanes that differ in bits 4 apart (f32) still meet different banks.
template <class T>
#ifdef __CUDACC__
__host__ __device__
#endif
    constexpr u32 swizzled(u32 index) {
  constexpr u32 bits = Shape<T>::bank_bits, low = (1u << bits) - 1;
  return index ^ (index >> bits & low) ^ (index >> 2 * bits & low) ^ (index >> 3 * bits & low);
}

enum StageKind : i32 {
  stage_registers = 0,  // ops on register bits, lane bits and diagonals
  stage_pauli = 1,      // one rotation about a Pauli string that flips bits across the tile
  stage_permute = 2,    // one permutation
  stage_slope = 3,      // the slope of a rotation of stage_pauli, of two states
};

enum TileOpKind : i32 {
  op_rotate_x = 0,  // coefficient cos, sin of half the angle; register bit `bit`
  op_rotate_y = 1,
  op_flip = 2,
  op_dense1 = 3,        // register bit `bit`
  op_dense2 = 4,        // register bits (0, 1), or (2, 3) when `bit` is 2
  op_dense3 = 5,        // register bits (0, 1, 2)
  op_dense4 = 6,        // register bits (0, 1, 2, 3)
  op_phase = 7,         // cos, sin: amplitudes whose controls hold are turned
  op_rotate_z = 8,      // cos, sin of half the angle; the sign is the parity of the bits in `z`
  op_diagonal = 9,      // a table, indexed by the bits listed at `places`
  op_rotate_pair = 10,  // cos, sin of half the angle; X and Y letters on register bits (bit, bit + 1), bit 0 or 2
  op_phases = 11,       // op_phase many times: the product of the factors of its terms, then one turn
  op_rotate_zs = 12,    // op_rotate_z likewise; all terms have one `register_z`
  op_slope = 13,        // of two states; XOR of register positions `bit`, number of Y letters `num_places`
  op_lane_x = 14,       // as op_rotate_x on lane bit `bit`
  op_lane_y = 15,
  op_lane_flip = 16,
};

struct TileOp {
  i32 kind;
  i32 bit;
  u32 register_controls, register_values;  // controls on register bits: mask and values over register positions
  u32 register_z, num_places;              // num_places: of op_rotate_pair the number of Y letters
  u64 controls, values;                    // other controls: mask and values over the bits of an amplitude index
  u64 z;                                   // bits whose parity gives the sign, register bits left out
  u64 numbers;  // which of the stage's numbers the matrix (row by row) or the angle begins with; number of a slope;
                // of op_phases and op_rotate_zs the number of a tile constant, to begin with
  u64 table;    // byte offset: 2^num_places factors, sources of a permutation, or Terms
  u64 places;   // byte offset: num_places positions (i32) in an amplitude index
};

// One phase or Z rotation of many that turn the same registers: it takes part where `controls` have `values`.
struct Term {
  u64 controls, values;
  u64 z;        // bits whose parity gives the sign of a rotation
  u64 numbers;  // as in TileOp; of a tile constant, in the row of this batch element
};

// What the Terms of a merged operation that look outside of the tile only come to: worked out once per tile.
struct TileConstant {
  u64 terms;  // byte offset
  i32 num_terms, unused;
};

// How a sub-stage deals the tile to threads. Address and index contributions add up over the bits that are set.
// Its numbers, complex, are brought to shared memory while the stage before it runs: matrices, then angles as (cos,
// sin).
struct TileStage {
  i32 kind, num_ops;
  u64 ops;                                                               // byte offset of its TileOps
  i32 num_entries, num_angles;                                           // of all matrices, and angles
  u64 matrices;                                                          // byte offset
  u64 angles;                                                            // where they begin in a row
  u32 register_address[max_register_bits];                               // swizzled address of each register bit
  u32 thread_address[max_thread_bits];                                   // and of each bit of the thread number
  u64 register_index[max_register_bits], thread_index[max_thread_bits];  // the same as bits of an amplitude index
  u32 register_tile[max_register_bits], thread_tile[max_thread_bits];    // and as bits of the tile index
};

// Tiles that can hold something: base indices whose bits `others` have the parity `odd` together with `pivot`, which is
// in no other row's `others`.
struct TileParity {
  u64 others, pivot;
  u64 odd;
};

// stage_pauli: op.kind is unused; `register_controls` is the XOR of tile indices, `z` all its Z letters, register_z the
// number of Y letters. stage_permute: places are the tile bits of its targets, table lists (i32) sources.
struct TilePass {
  u64 num_items;       // tiles of all batch elements: 2^count_bits each
  u64 num_amplitudes;  // of one batch element
  u64 fixed;           // bits of an amplitude index inside a tile, and pivots
  i32 count_bits, tile_bits, num_stages, num_parities;
  u64 stages;                // byte offset
  u64 numbers;               // byte offset of row 0: cosines and sines, side by side
  u64 stride;                // complex numbers from one batch element's row to the next; 0: one row for all
  u64 index[max_tile_bits];  // amplitude index of each tile bit
  u64 constants;             // byte offset of TileConstants
  i32 num_constants, num_slopes;
  // Two states: a block adds up slopes over tiles of one element, every 2^slice_bits-th of them.
  // Result: [elements][2^max_slice_bits][num_columns] in f64, where `slopes` leads.
  u64 second, slopes;  // addresses
  u64 slope_columns;   // byte offset: u64, one per slope
  u64 num_columns;
  i32 slice_bits, max_slice_bits;
  u64 parities;  // byte offset of TileParities: other tiles are left alone
  u64 staged;    // most numbers of a stage; even, so that matrices begin at multiples of 16 bytes
};

// The slope of one rotation that reaches beyond tiles; fields and result as in TilePass, x and z as in Overlap.
struct SlopeSweep {
  u64 num_amplitudes;
  u64 x, z, controls, values;
  u64 second, slopes;
  u64 column, num_columns;
  i32 num_y, slice_bits, max_slice_bits, unused;
};

// One dense matrix on k targets, a thread per group of 2^k amplitudes (twice as many in f32, so that loads are wide).
struct DenseSweep {
  u64 num_items, num_amplitudes;  // groups of all batch elements: 2^count_bits each
  u64 fixed;                      // bits of an amplitude index that the group number does not fill
  u64 controls, values;           // other than targets
  u64 matrix;                     // byte offset, row by row
  i32 count_bits, unused;
  u64 offset[32];  // amplitude index of each matrix index
};

// exp(-i angle/2 P) for a Pauli string whose X letters reach across tiles.
struct PauliSweep {
  u64 num_items, num_amplitudes;  // packs of amplitudes on one side, of all batch elements: 2^count_bits each
  u64 pivot;                      // one bit of `x`, at least bit 1: pairs are counted with it cleared
  u64 x, z;
  u64 controls, values;
  u64 numbers, stride;  // as in TilePass
  u64 column;           // of cos and sin of half the angle in a row
  i32 num_y, count_bits;
};

// Groups of 2^k amplitudes and a table: a permutation (a block per group, through shared memory, up to 12 targets;
// through a second buffer beyond), a dense matrix on 6 to 12 targets, or an initialisation.
struct TableSweep {
  u64 num_items, num_amplitudes;  // groups of all batch elements: 2^count_bits each
  u64 fixed;
  u64 controls, values;
  u64 table;  // byte offset: 2^k i32 sources, 4^k numbers row by row, or 2^k numbers
  i32 num_targets, count_bits;
  i32 targets[32];
};

// --- reading a state
// -----------------------------------------------------------------------------------------------------

// What readers leave behind are sums in f64, in an order that depends on the state's size alone. Amplitudes are taken
// in chunks of 2^chunk_bits neighbours.
constexpr int chunk_bits = 12;
constexpr int max_signs = 8;  // Pauli strings of one X mask that a launch sums at once

// Probabilities: block (outcome of the high qubits, slice of the rest) adds up chunks place by place, then sums over
// the low qubits that are not measured. Result: [num_slices][2^(low + high qubits measured)].
struct Marginal {
  u64 num_amplitudes;
  u64 measured;           // bits of an amplitude index
  u64 num_chunks;         // per outcome of the high qubits
  u64 num_slices;         // of these chunks
  i32 num_low, num_high;  // measured qubits below chunk_bits, and above
};

// Sums of conj(bra[i ^ x]) ket[i] (-1)^parity(i & z) for several z, over indices whose `controls` have `values`.
// Result: [blocks][max_signs] complex.
struct Overlap {
  u64 bra;  // address
  u64 num_amplitudes;
  u64 x, controls, values;
  u64 z[max_signs];
  i32 num_signs, unused;
};

// out[i] += sum over strings of weight (-1)^parity(i & z) in[i ^ x]; weights are complex.
struct PauliTermsSweep {
  u64 out;  // address
  u64 num_amplitudes;
  u64 x;
  u64 z[max_signs];
  double weight[max_signs][2];
  i32 num_signs, unused;
};

// Neighbouring amplitudes and their costs: turned by exp(-i angle cost), or summed up with their probabilities.
struct Costs {
  u64 num_items;
  u64 costs;  // address, f64
  double angle;
};

// Projection: amplitudes whose `mask` bits are `values` times `scale`, all others zero. num_items is over all states.
struct Projection {
  u64 num_items, num_amplitudes;
  u64 mask, values;
  double scale;
};

// Rows of amplitudes from another array on other qubits: row r of the target comes of rows[r] of the source, where the
// qubits `leaving` read outcomes[r], times scales[r]; the qubits `entering` of the target read values[r] (all as bits
// of an index).
struct Regrouping {
  u64 source;                      // address
  u64 num_items, num_out, num_in;  // amplitudes of all target rows, of a target row, of a source row
  u64 leaving, entering;
  u64 rows, outcomes, values, scales;  // byte offsets: u64, u64, u64, double
};

// Amplitudes of chosen basis states. Result: [states][num_indices] complex.
struct Gather {
  u64 num_items, num_indices, num_amplitudes;
  u64 indices;  // byte offset, u64
};

// Reduced density matrix: block (slice, row, column), row <= column, every 2^slice_bits-th part of what is traced out.
// Result: [2^slice_bits][2^k][2^k] complex.
struct Reduced {
  u64 num_amplitudes;
  u64 fixed;
  i32 num_targets, slice_bits;
  i32 targets[16];
};

// Sampling inside chunks: block per visited chunk; shots [first, last) of the sorted list, each with what is left of
// its random number below the chunk's sum. Result: basis states.
struct Visit {
  u64 chunk, first, last;
};
struct Sampling {
  u64 num_amplitudes;
  u64 visits, targets;  // byte offsets: Visit and double
};

}  // namespace cuda
}  // namespace qsim
