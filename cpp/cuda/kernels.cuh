// Every kernel that changes amplitudes. No includes: nvcc, NVRTC and g++ (through a shim) compile this one text.
//
// Shared memory is one dynamic array; grids are strided with 64-bit counters; no kernel waits for another block.
#pragma once

#include "program.cuh"

namespace qsim {
namespace cuda {

// Aligned as a whole, so that one amplitude is one load.
template <class T>
struct alignas(2 * sizeof(T)) Complex {
  T re, im;
};

// 128 bits of amplitudes: two in f32, one in f64.
template <class T>
struct alignas(16) Pack;
template <>
struct alignas(16) Pack<float> {
  Complex<float> amp[2];
};
template <>
struct alignas(16) Pack<double> {
  Complex<double> amp[1];
};

template <class T>
constexpr int pack_size = 16 / (2 * static_cast<int>(sizeof(T)));

#define QSIM_UNROLL _Pragma("unroll")

template <class T>
QSIM_DEVICE Pack<T> load_pack(const Complex<T>* place) {
  return *reinterpret_cast<const Pack<T>*>(place);
}

template <class T>
QSIM_DEVICE void store_pack(Complex<T>* place, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(place) = pack;
}

// Of `have` amplitudes that are left from a place on: a pack, or the only one of a register without qubits, beside
// which reads zero. Rows of one amplitude need not begin at multiples of 16 bytes.
template <class T>
QSIM_DEVICE Pack<T> load_some(const Complex<T>* place, u64 have) {
  if (have >= static_cast<u64>(pack_size<T>)) return load_pack<T>(place);
  Pack<T> values;
  QSIM_UNROLL
  for (int m = 0; m < pack_size<T>; ++m) values.amp[m] = Complex<T>{T(0), T(0)};
  if (have > 0) values.amp[0] = *place;
  return values;
}

template <class T>
QSIM_DEVICE void store_some(Complex<T>* place, const Pack<T>& values, u64 have) {
  if (have >= static_cast<u64>(pack_size<T>)) store_pack<T>(place, values);
  else if (have > 0) *place = values.amp[0];
}

// Amplitudes a thread takes at a time where it goes through rows of `num_amplitudes`: packs never straddle rows.
template <class T>
QSIM_DEVICE u64 step_of(u64 num_amplitudes) {
  return num_amplitudes < static_cast<u64>(pack_size<T>) ? 1 : static_cast<u64>(pack_size<T>);
}

// Where this thread begins, and how far its next item is, counted in amplitudes.
QSIM_DEVICE inline u64 first_item(u64 step) {
  return (u64(blockIdx.x) * blockDim.x + threadIdx.x) * step;
}

QSIM_DEVICE inline u64 stride_of(u64 step) {
  return u64(gridDim.x) * blockDim.x * step;
}

template <class T>
QSIM_DEVICE Complex<T> product_of(const Complex<T>& a, const Complex<T>& b) {
  return Complex<T>{a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class Struct>
QSIM_DEVICE const Struct* at(const void* program, u64 offset) {
  return reinterpret_cast<const Struct*>(static_cast<const char*>(program) + offset);
}

// Insert a zero into `item` at every set bit of `fixed`, lowest first.
QSIM_DEVICE inline u64 spread_around(u64 item, u64 fixed) {
  for (u64 rest = fixed; rest != 0; rest &= rest - 1) {
    const u64 low = (rest & (~rest + 1)) - 1;
    item = (item & ~low) << 1 | (item & low);
  }
  return item;
}

template <class T>
QSIM_DEVICE T signed_by(u32 odd, T value) {
  return odd & 1 ? -value : value;
}

// --- ops on registers
// ----------------------------------------------------------------------------------------------------

// A thread's amplitudes, and where they are: bits of the amplitude index that all of them share.
template <class T>
struct Held {
  static constexpr int count = 1 << Shape<T>::register_bits;
  T re[count], im[count];
};

// `odd` and `z` count the Z letters of a rotation beside its X or Y: outside the registers, and on them.
template <class T, int kind, int bit>
QSIM_DEVICE void turn_pairs(Held<T>& held, Complex<T> turn, u32 controls, u32 values, u32 odd = 0, u32 z = 0) {
  const T c = turn.re;
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    if (k >> bit & 1) continue;
    if ((k & controls) != values) continue;
    const int m = k | 1 << bit;
    const T s = signed_by(odd + __popc(k & z), turn.im);
    const T are = held.re[k], aim = held.im[k], bre = held.re[m], bim = held.im[m];
    if (kind == op_rotate_x) {  // [[c, -is], [-is, c]]
      held.re[k] = c * are + s * bim;
      held.im[k] = c * aim - s * bre;
      held.re[m] = c * bre + s * aim;
      held.im[m] = c * bim - s * are;
    } else if (kind == op_rotate_y) {  // [[c, -s], [s, c]]
      held.re[k] = c * are - s * bre;
      held.im[k] = c * aim - s * bim;
      held.re[m] = c * bre + s * are;
      held.im[m] = c * bim + s * aim;
    } else {
      held.re[k] = bre;
      held.im[k] = bim;
      held.re[m] = are;
      held.im[m] = aim;
    }
  }
}

// exp(-i angle/2 P) with X or Y on two neighbouring register bits; `z` holds the Y letters too.
template <class T, int first>
QSIM_DEVICE void turn_both(Held<T>& held, Complex<T> turn, const TileOp& op, u32 odd) {
  constexpr int both = 3 << first;
  const T c = turn.re;
  const u32 num_y = op.num_places;
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    if (k >> first & 1) continue;
    if ((k & op.register_controls) != op.register_values) continue;
    const int m = k ^ both;
    // <k|P|m> = i^y (-1)^parity(m & z), and the other direction is its conjugate.
    const T s = signed_by(odd + __popc(m & op.register_z) + (num_y >> 1 & 1), turn.im);
    const T are = held.re[k], aim = held.im[k], bre = held.re[m], bim = held.im[m];
    if (num_y & 1) {
      held.re[k] = c * are + s * bre;
      held.im[k] = c * aim + s * bim;
      held.re[m] = c * bre - s * are;
      held.im[m] = c * bim - s * aim;
    } else {
      held.re[k] = c * are + s * bim;
      held.im[k] = c * aim - s * bre;
      held.re[m] = c * bre + s * aim;
      held.im[m] = c * bim - s * are;
    }
  }
}

// Rows of a 2^width matrix on the register bits first, first + 1, ...; a small one is read once for all groups.
template <class T, int first, int width>
QSIM_DEVICE void multiply(Held<T>& held, const Complex<T>* matrix, u32 controls, u32 values) {
  constexpr int size = 1 << width, pack = pack_size<T>;
  constexpr bool small = size * size * sizeof(Complex<T>) <= 128;
  Pack<T> kept[small ? size * size / pack : 1];
  if constexpr (small) {
    QSIM_UNROLL
    for (int p = 0; p < size * size / pack; ++p) kept[p] = load_pack<T>(matrix + p * pack);
  }
  QSIM_UNROLL
  for (int group = 0; group < Held<T>::count; ++group) {
    if (group >> first & (size - 1)) continue;
    if ((group & controls) != values) continue;
    T re[size], im[size];
    QSIM_UNROLL
    for (int row = 0; row < size; ++row) {
      re[row] = 0;
      im[row] = 0;
      QSIM_UNROLL
      for (int column = 0; column < size; column += pack) {
        Pack<T> entries;
        if constexpr (small) entries = kept[(row * size + column) / pack];
        else entries = load_pack<T>(matrix + row * size + column);
        QSIM_UNROLL
        for (int m = 0; m < pack; ++m) {
          const Complex<T> entry = entries.amp[m];
          const T are = held.re[group | (column + m) << first], aim = held.im[group | (column + m) << first];
          re[row] += entry.re * are - entry.im * aim;
          im[row] += entry.re * aim + entry.im * are;
        }
      }
    }
    QSIM_UNROLL
    for (int row = 0; row < size; ++row) {
      held.re[group | row << first] = re[row];
      held.im[group | row << first] = im[row];
    }
  }
}

template <class T, int bit>
QSIM_DEVICE void one_bit(Held<T>& held, const TileOp& op, const Complex<T>* numbers, u32 odd) {
  const u32 controls = op.register_controls, values = op.register_values;
  switch (op.kind) {
    case op_rotate_x: turn_pairs<T, op_rotate_x, bit>(held, *numbers, controls, values, odd, op.register_z); break;
    case op_rotate_y: turn_pairs<T, op_rotate_y, bit>(held, *numbers, controls, values, odd, op.register_z); break;
    case op_flip: turn_pairs<T, op_flip, bit>(held, {T(0), T(0)}, controls, values); break;
    default: multiply<T, bit, 1>(held, numbers, controls, values);
  }
}

template <class T>
QSIM_DEVICE void turn_all(Held<T>& held, T c, T s, const TileOp& op, u32 odd) {
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    if ((k & op.register_controls) != op.register_values) continue;
    const T turned =
        op.kind == op_phase || op.kind == op_phases ? s : signed_by(odd + __popc(k & op.register_z) + 1, s);
    const T re = held.re[k], im = held.im[k];
    held.re[k] = c * re - turned * im;
    held.im[k] = c * im + turned * re;
  }
}

// Rotations about X and Y, and X itself, on a bit of the lane number: the partner's amplitude comes by shuffle, times
// y - ix. One form of all three: a branch for each would fill registers.
template <class T>
QSIM_DEVICE void turn_lanes(Held<T>& held, const TileOp& op, const Complex<T>* numbers, bool active, u32 odd,
                            u32 lane) {
  const bool flip = op.kind == op_lane_flip;
  const T c = flip ? T(0) : numbers->re, sine = flip ? T(1) : numbers->im;
  const T x = op.kind == op_lane_x ? sine : T(0);
  const T y = op.kind == op_lane_x ? T(0) : flip || (lane >> op.bit & 1) ? sine : -sine;
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    const T bre = __shfl_xor_sync(0xffffffffu, held.re[k], 1 << op.bit);
    const T bim = __shfl_xor_sync(0xffffffffu, held.im[k], 1 << op.bit);
    if (!active || (k & op.register_controls) != op.register_values) continue;
    const u32 parity = odd + __popc(k & op.register_z);
    const T sx = signed_by(parity, x), sy = signed_by(parity, y);
    held.re[k] = c * held.re[k] + sx * bim + sy * bre;
    held.im[k] = c * held.im[k] - sx * bre + sy * bim;
  }
}

template <class T>
QSIM_DEVICE void look_up(Held<T>& held, const TileOp& op, const void* program, const TileStage& stage, u64 index) {
  const Complex<T>* table = at<Complex<T>>(program, op.table);
  const i32* places = at<i32>(program, op.places);
  // The entry is linear in the bits of the index: the thread's, and those of each register position.
  u32 own = 0, of_register[Shape<T>::register_bits] = {};
#pragma unroll 1
  for (u32 p = 0; p < op.num_places; ++p) {
    const i32 place = places[p];
    own |= static_cast<u32>(index >> place & 1) << p;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r)
      of_register[r] |= static_cast<u32>(stage.register_index[r] >> place & 1) << p;
  }
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    if ((k & op.register_controls) != op.register_values) continue;
    u32 entry = own;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r) entry |= k >> r & 1 ? of_register[r] : 0;
    const Complex<T> factor = table[entry];
    const T re = held.re[k], im = held.im[k];
    held.re[k] = factor.re * re - factor.im * im;
    held.im[k] = factor.re * im + factor.im * re;
  }
}

// The product of the factors of some Terms, whose angles are among `numbers`.
template <class T>
QSIM_DEVICE Complex<T> product(const Term* terms, int count, const Complex<T>* numbers, u64 index, Complex<T> result) {
  for (int k = 0; k < count; ++k) {
    const Term& term = terms[k];
    const Complex<T> turn = numbers[term.numbers];
    const bool active = (index & term.controls) == term.values;
    const T c = active ? turn.re : T(1);
    const T s = active ? signed_by(static_cast<u32>(__popcll(index & term.z)), turn.im) : T(0);
    result = Complex<T>{result.re * c - result.im * s, result.re * s + result.im * c};
  }
  return result;
}

// Im(i^num_y (-1)^odd conj(bra) ket).
template <class T>
QSIM_DEVICE T slope_of(T bre, T bim, T are, T aim, u32 num_y, u32 odd) {
  const T value = num_y & 1 ? bre * are + bim * aim : bre * aim - bim * are;
  return signed_by(odd + (num_y >> 1 & 1), value);
}

// Add what the threads of every warp found to the warp's own sum of a slope, in a fixed order.
QSIM_DEVICE inline void add_slope(double value, double* sums, u64 slope) {
  for (int lane = 16; lane > 0; lane >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lane);
  if ((threadIdx.x & 31) == 0) sums[slope * max_warps + (threadIdx.x >> 5)] += value;
}

// The slope of an operation whose partners are in the registers: those of the second state lie at the highest position.
template <class T>
QSIM_DEVICE void read_slope(const Held<T>& held, const TileOp& op, u64 index, double* sums) {
  constexpr int second = Held<T>::count / 2;
  T sum = 0;
  if ((index & op.controls) == op.values) {
    T re[second], im[second];
    QSIM_UNROLL
    for (int k = 0; k < second; ++k) re[k] = held.re[k | second], im[k] = held.im[k | second];
    // Partners change places bit by bit, so that registers have numbers the compiler knows.
    QSIM_UNROLL
    for (int bit = 1; bit < second; bit <<= 1) {
      const bool crossed = (op.bit & bit) != 0;
      QSIM_UNROLL
      for (int k = 0; k < second; ++k) {
        if (k & bit) continue;
        const T lre = re[k], lim = im[k], rre = re[k | bit], rim = im[k | bit];
        re[k] = crossed ? rre : lre;
        im[k] = crossed ? rim : lim;
        re[k | bit] = crossed ? lre : rre;
        im[k | bit] = crossed ? lim : rim;
      }
    }
    const u32 outside = static_cast<u32>(__popcll(index & op.z)) + (op.num_places >> 1 & 1);
    QSIM_UNROLL
    for (int k = 0; k < second; ++k) {
      if ((k & op.register_controls) != op.register_values) continue;
      const T value =
          op.num_places & 1 ? re[k] * held.re[k] + im[k] * held.im[k] : re[k] * held.im[k] - im[k] * held.re[k];
      sum += signed_by(outside + __popc(k & op.register_z), value);
    }
  }
  add_slope(static_cast<double>(sum), sums, op.numbers);
}

template <class T>
QSIM_DEVICE void apply_op(Held<T>& held, const TileOp& op, const void* program, const TileStage& stage,
                          const Complex<T>* staged, u64 index, const Complex<T>* constants, double* sums) {
  if (op.kind == op_slope) {
    read_slope<T>(held, op, index, sums);
    return;
  }
  const bool active = (index & op.controls) == op.values;
  const Complex<T>* numbers = staged + op.numbers;
  const u32 odd = static_cast<u32>(__popcll(index & op.z));
  if (op.kind >= op_lane_x) {  // all lanes take part in a shuffle
    turn_lanes<T>(held, op, numbers, active, odd, threadIdx.x & 31);
    return;
  }
  if (!active) return;
  switch (op.kind) {
    case op_phase:
    case op_rotate_z:
    case op_phases:
    case op_rotate_zs: {
      const Complex<T> turn = op.kind <= op_rotate_z
                                  ? *numbers
                                  : product<T>(at<Term>(program, op.table), static_cast<int>(op.num_places), staged,
                                               index, constants[op.numbers]);
      turn_all<T>(held, turn.re, turn.im, op, odd);
      return;
    }
    case op_diagonal: look_up<T>(held, op, program, stage, index); return;
    case op_dense2:
      if (op.bit == 0) multiply<T, 0, 2>(held, numbers, op.register_controls, op.register_values);
      else if constexpr (Shape<T>::register_bits == 4)
        multiply<T, 2, 2>(held, numbers, op.register_controls, op.register_values);
      return;
    case op_rotate_pair:
      if (op.bit == 0) turn_both<T, 0>(held, *numbers, op, odd);
      else if constexpr (Shape<T>::register_bits == 4) turn_both<T, 2>(held, *numbers, op, odd);
      return;
    case op_dense3: multiply<T, 0, 3>(held, numbers, op.register_controls, op.register_values); return;
    case op_dense4:
      if constexpr (Shape<T>::register_bits == 4)
        multiply<T, 0, 4>(held, numbers, op.register_controls, op.register_values);
      return;
    default: break;
  }
  switch (op.bit) {
    case 0: one_bit<T, 0>(held, op, numbers, odd); break;
    case 1: one_bit<T, 1>(held, op, numbers, odd); break;
    case 2: one_bit<T, 2>(held, op, numbers, odd); break;
    default:
      if constexpr (Shape<T>::register_bits == 4) one_bit<T, 3>(held, op, numbers, odd);
  }
}

// --- the tile pass
// -------------------------------------------------------------------------------------------------------

// The amplitude index of the bits first, first + 1, ... of a tile index.
QSIM_DEVICE inline u64 tile_index(const TilePass& pass, u32 tile, int first) {
  u64 index = 0;
  for (int bit = first; bit < pass.tile_bits; ++bit) index |= tile >> bit & 1 ? pass.index[bit] : 0;
  return index;
}

// The amplitude index of a tile's first amplitude.
QSIM_DEVICE inline u64 tile_base(const TilePass& pass, const TileParity* parities, u64 tile) {
  u64 base = spread_around(tile, pass.fixed);
  for (int k = 0; k < pass.num_parities; ++k)
    if ((static_cast<u64>(__popcll(base & parities[k].others)) & 1) != parities[k].odd) base |= parities[k].pivot;
  return base;
}

// The batch element of a tile. (What follows from an item is worked out where it is used: it would fill registers.)
QSIM_DEVICE inline u64 element_of(const TilePass& pass, u64 item) {
  return item >> pass.count_bits;
}

// Copy a tile between memory and shared memory, 128 bits at a time. What lies beyond a small register reads as zero.
template <class T, bool in>
QSIM_DEVICE void copy_tile(Complex<T>* amps, Complex<T>* shared, const TilePass& pass, u64 item, u64 base) {
  const u64 start = element_of(pass, item) * pass.num_amplitudes;
  Complex<T>* first = amps + start;
  Complex<T>* second = reinterpret_cast<Complex<T>*>(pass.second) + start;
  constexpr u32 pack = pack_size<T>;
  const u32 size = 1u << pass.tile_bits, step = blockDim.x * pack;
  const int step_bit = 31 - __clz(static_cast<int>(step));
  const u32 own = threadIdx.x * pack;
  base |= tile_index(pass, own, 0);
  for (u32 rest = 0; rest < size; rest += step) {
    const u32 tile = rest | own;
    const u64 place = base | tile_index(pass, rest, step_bit), index = place & ~second_state;
    Complex<T>* state = place & second_state ? second : first;
    const u64 have = index < pass.num_amplitudes ? pass.num_amplitudes - index : 0;
    Pack<T> values;
    if (in) {
      values = load_some<T>(state + index, have);
      QSIM_UNROLL
      for (u32 k = 0; k < pack; ++k) shared[swizzled<T>(tile + k)] = values.amp[k];
    } else {
      QSIM_UNROLL
      for (u32 k = 0; k < pack; ++k) values.amp[k] = shared[swizzled<T>(tile + k)];
      store_some<T>(state + index, values, have);
    }
  }
}

// A stage that moves amplitudes across the tile: every thread reads what its amplitudes become, then all write.
template <class T>
QSIM_DEVICE void exchange(Complex<T>* shared, const TileStage& stage, const void* program, const Complex<T>* staged,
                          u64 index, u32 address, u32 tile) {
  const TileOp& op = *at<TileOp>(program, stage.ops);
  Complex<T> next[Held<T>::count];
  const i32* table = at<i32>(program, op.table);
  const i32* places = at<i32>(program, op.places);
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    u32 here = tile, place = address;
    u64 amplitude = index;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r) {
      if (!(k >> r & 1)) continue;
      here |= stage.register_tile[r];
      place ^= stage.register_address[r];
      amplitude |= stage.register_index[r];
    }
    next[k] = shared[place];
    if ((amplitude & op.controls) != op.values) continue;
    if (stage.kind == stage_pauli) {
      const Complex<T> other = shared[swizzled<T>(here ^ op.register_controls)];
      const T c = staged[op.numbers].re, s = staged[op.numbers].im;
      // P|j> = i^(number of Y) (-1)^parity(j & z) |j ^ x>, and the amplitude of j ^ x is read at j.
      const u32 odd = static_cast<u32>(__popcll(amplitude & op.z)) + op.register_z;
      const T turned = signed_by(odd + (op.register_z >> 1 & 1), s);
      if (op.register_z & 1) {
        next[k].re = c * next[k].re + turned * other.re;
        next[k].im = c * next[k].im + turned * other.im;
      } else {
        next[k].re = c * next[k].re + turned * other.im;
        next[k].im = c * next[k].im - turned * other.re;
      }
    } else {
      u32 entry = 0, source = here;
      for (u32 p = 0; p < op.num_places; ++p) {
        entry |= (here >> places[p] & 1) << p;
        source &= ~(1u << places[p]);
      }
      const u32 from = static_cast<u32>(table[entry]);
      for (u32 p = 0; p < op.num_places; ++p) source |= (from >> p & 1) << places[p];
      next[k] = shared[swizzled<T>(source)];
    }
  }
  __syncthreads();
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    u32 place = address;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r) place ^= k >> r & 1 ? stage.register_address[r] : 0;
    shared[place] = next[k];
  }
}

// The slope of a rotation whose partners are elsewhere in the tile.
template <class T>
QSIM_DEVICE void read_slope_across(const Complex<T>* shared, const TileStage& stage, const TileOp& op, u64 index,
                                   u32 address, u32 tile, double* sums) {
  constexpr int top = Shape<T>::register_bits - 1;  // where the second state is
  T sum = 0;
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count / 2; ++k) {
    u32 here = tile, place = address;
    u64 amplitude = index;
    QSIM_UNROLL
    for (int r = 0; r < top; ++r) {
      if (!(k >> r & 1)) continue;
      here |= stage.register_tile[r];
      place ^= stage.register_address[r];
      amplitude |= stage.register_index[r];
    }
    if ((amplitude & op.controls) != op.values) continue;
    const Complex<T> a = shared[place];
    const Complex<T> b = shared[swizzled<T>((here ^ op.register_controls) | stage.register_tile[top])];
    sum += slope_of<T>(b.re, b.im, a.re, a.im, op.register_z, static_cast<u32>(__popcll(amplitude & op.z)));
  }
  add_slope(static_cast<double>(sum), sums, op.numbers);
}

template <class T>
QSIM_DEVICE void run_stage(Complex<T>* shared, const TileStage& stage, const void* program, const Complex<T>* staged,
                           u64 base, const Complex<T>* constants, double* sums) {
  u32 address = 0, tile = 0;
  u64 index = base;
  for (int bit = 0; 1u << bit < blockDim.x; ++bit) {
    if (!(threadIdx.x >> bit & 1)) continue;
    address ^= stage.thread_address[bit];
    tile |= stage.thread_tile[bit];
    index |= stage.thread_index[bit];
  }
  if (stage.kind == stage_slope) {
    read_slope_across<T>(shared, stage, *at<TileOp>(program, stage.ops), index, address, tile, sums);
    return;
  }
  if (stage.kind != stage_registers) {
    exchange<T>(shared, stage, program, staged, index, address, tile);
    return;
  }
  Held<T> held;
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    u32 place = address;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r) place ^= k >> r & 1 ? stage.register_address[r] : 0;
    held.re[k] = shared[place].re;
    held.im[k] = shared[place].im;
  }
  const TileOp* ops = at<TileOp>(program, stage.ops);
  for (int op = 0; op < stage.num_ops; ++op) apply_op<T>(held, ops[op], program, stage, staged, index, constants, sums);
  // Addresses are worked out again: kept from the loads they would fill registers, and halves would be stored apart.
  QSIM_HIDE(address);
  QSIM_UNROLL
  for (int k = 0; k < Held<T>::count; ++k) {
    u32 place = address;
    QSIM_UNROLL
    for (int r = 0; r < Shape<T>::register_bits; ++r) place ^= k >> r & 1 ? stage.register_address[r] : 0;
    shared[place] = Complex<T>{held.re[k], held.im[k]};
  }
}

// A row's angles, of the batch element that a tile is of.
template <class T>
QSIM_DEVICE const Complex<T>* angles_of(const void* program, const TilePass& pass, u64 item) {
  return at<Complex<T>>(program, pass.numbers) + element_of(pass, item) * pass.stride;
}

// Bring the numbers of a stage to shared memory: matrices, which all batch elements share, and angles of this one.
template <class T>
QSIM_DEVICE void fetch_numbers(Complex<T>* staged, const TilePass& pass, int number, const void* program, u64 item) {
  const TileStage& stage = at<TileStage>(program, pass.stages)[number];
  const Complex<T>* matrices = at<Complex<T>>(program, stage.matrices);
  const Complex<T>* angles = angles_of<T>(program, pass, item) + stage.angles;
  staged += (number & 1) * pass.staged;
  for (int k = static_cast<int>(threadIdx.x); k < stage.num_entries; k += static_cast<int>(blockDim.x))
    staged[k] = matrices[k];
  staged += stage.num_entries;
  for (int k = static_cast<int>(threadIdx.x); k < stage.num_angles; k += static_cast<int>(blockDim.x))
    staged[k] = angles[k];
}

// The tiles of a block of which slopes are asked are of one element: which, and which slice of it.
QSIM_DEVICE inline u64 own_element(const TilePass& pass) {
  return u64(blockIdx.x) >> pass.slice_bits;
}

QSIM_DEVICE inline u64 own_slice(const TilePass& pass) {
  return blockIdx.x & ((u64(1) << pass.slice_bits) - 1);
}

template <class T>
QSIM_DEVICE void tile_pass(Complex<T>* amps, const void* program, u64 offset, Complex<T>* shared) {
  const TilePass& pass = *at<TilePass>(program, offset);
  // Behind the tile: numbers of two stages, the tile's constants, then the sums of slopes, warp by warp.
  Complex<T>* staged = shared + (u64(1) << pass.tile_bits);
  Complex<T>* constants = staged + 2 * pass.staged;
  double* sums = reinterpret_cast<double*>(constants + (pass.num_constants + 1) / 2 * 2);
  u64 item = blockIdx.x, step = gridDim.x, end = pass.num_items;
  if (pass.num_slopes > 0) {
    item = own_element(pass) << pass.count_bits | own_slice(pass);
    step = u64(1) << pass.slice_bits;
    end = (own_element(pass) + 1) << pass.count_bits;
    for (int k = static_cast<int>(threadIdx.x); k < pass.num_slopes * max_warps; k += static_cast<int>(blockDim.x))
      sums[k] = 0;
  }
  for (; item < end; item += step) {
    const u64 base = tile_base(pass, at<TileParity>(program, pass.parities), item & ((u64(1) << pass.count_bits) - 1));
    copy_tile<T, true>(amps, shared, pass, item, base);
    fetch_numbers<T>(staged, pass, 0, program, item);
    const TileConstant* recipes = at<TileConstant>(program, pass.constants);
    for (int k = static_cast<int>(threadIdx.x); k < pass.num_constants; k += static_cast<int>(blockDim.x))
      constants[k] = product<T>(at<Term>(program, recipes[k].terms), recipes[k].num_terms,
                                angles_of<T>(program, pass, item), base, {T(1), T(0)});
    for (int stage = 0; stage < pass.num_stages; ++stage) {
      __syncthreads();
      // The other half was last read before this barrier, and is next after another.
      if (stage + 1 < pass.num_stages) fetch_numbers<T>(staged, pass, stage + 1, program, item);
      run_stage<T>(shared, at<TileStage>(program, pass.stages)[stage], program, staged + (stage & 1) * pass.staged,
                   base, constants, sums);
    }
    __syncthreads();
    copy_tile<T, false>(amps, shared, pass, item, base);
  }
  double* result = reinterpret_cast<double*>(pass.slopes) +
                   (own_element(pass) << pass.max_slice_bits | own_slice(pass)) * pass.num_columns;
  for (int k = static_cast<int>(threadIdx.x); k < pass.num_slopes; k += static_cast<int>(blockDim.x)) {
    double total = 0;
    for (u32 warp = 0; warp < blockDim.x >> 5; ++warp) total += sums[k * max_warps + static_cast<int>(warp)];
    result[at<u64>(program, pass.slope_columns)[k]] = total;
  }
}

// --- sweeps
// --------------------------------------------------------------------------------------------------------------

// A dense matrix on k targets. In f32 a thread takes two amplitudes at a time: where the lowest bit is a target
// (`paired`) they belong to one group and it is bit 0 of the matrix index, otherwise they are two groups side by side.
template <class T, int k, bool paired>
QSIM_DEVICE void dense_sweep(Complex<T>* amps, const void* program, u64 offset, T* matrix) {
  constexpr int size = 1 << k, pack = pack_size<T>;
  constexpr int vectors = paired ? 1 : pack;  // groups a thread works on at once
  constexpr int step = paired ? pack : 1;     // matrix indices a load brings
  const DenseSweep& sweep = *at<DenseSweep>(program, offset);
  const T* numbers = at<T>(program, sweep.matrix);
  for (u32 entry = threadIdx.x; entry < 2 * size * size; entry += blockDim.x) matrix[entry] = numbers[entry];
  __syncthreads();
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < sweep.num_items;
       item += u64(gridDim.x) * blockDim.x) {
    const u64 element = item >> sweep.count_bits, number = item & ((u64(1) << sweep.count_bits) - 1);
    Complex<T>* group = amps + element * sweep.num_amplitudes + (spread_around(number, sweep.fixed) | sweep.values);
    Complex<T> in[size][vectors];
    QSIM_UNROLL
    for (int j = 0; j < size; j += step) {
      const Pack<T> values = load_pack<T>(group + sweep.offset[j]);
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) in[paired ? j + m : j][paired ? 0 : m] = values.amp[m];
    }
    // The rows stay a loop: unrolled, the compiler would hold the whole matrix in registers and spill.
#pragma unroll 1
    for (int i = 0; i < size; i += step) {
      QSIM_KEEP_IN_LOOP;
      Pack<T> out;
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) {
        const int row = paired ? i + m : i, vector = paired ? 0 : m;
        T re = 0, im = 0;
        QSIM_UNROLL
        for (int j = 0; j < size; ++j) {
          const T mre = matrix[2 * (row * size + j)], mim = matrix[2 * (row * size + j) + 1];
          re += mre * in[j][vector].re - mim * in[j][vector].im;
          im += mre * in[j][vector].im + mim * in[j][vector].re;
        }
        out.amp[m] = Complex<T>{re, im};
      }
      store_pack<T>(group + sweep.offset[i], out);
    }
  }
}

template <class T>
QSIM_DEVICE void pauli_sweep(Complex<T>* amps, const void* program, u64 offset) {
  constexpr int pack = pack_size<T>;
  const PauliSweep& sweep = *at<PauliSweep>(program, offset);
  const bool crossed = pack == 2 && (sweep.x & 1);
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < sweep.num_items;
       item += u64(gridDim.x) * blockDim.x) {
    const u64 element = item >> sweep.count_bits, pair = (item & ((u64(1) << sweep.count_bits) - 1)) * pack;
    const u64 left = spread_around(pair, sweep.pivot), right = (left ^ sweep.x) & ~u64(pack - 1);
    Complex<T>* state = amps + element * sweep.num_amplitudes;
    const Complex<T> turn = at<Complex<T>>(program, sweep.numbers)[element * sweep.stride + sweep.column];
    const T c = turn.re, s = turn.im;
    Pack<T> a = load_pack<T>(state + left), b = load_pack<T>(state + right);
    QSIM_UNROLL
    for (int m = 0; m < pack; ++m) {
      const u64 index = left + u64(m);
      if ((index & sweep.controls) != sweep.values) continue;
      constexpr int last = pack - 1;  // written out, because registers have no index that is known at run time only
      const Complex<T> x = a.amp[m], y = crossed ? b.amp[last - m] : b.amp[m];
      // <j|P|j ^ x> = i^y (-1)^parity((j ^ x) & z); conjugate it for the other direction.
      const u32 odd = static_cast<u32>(__popcll((index ^ sweep.x) & sweep.z));
      const T turned = signed_by(odd + (static_cast<u32>(sweep.num_y) >> 1 & 1), s);
      Complex<T> p, q;
      if (sweep.num_y & 1) {  // -i·i = 1 and, conjugated, -i·(-i) = -1
        p = Complex<T>{c * x.re + turned * y.re, c * x.im + turned * y.im};
        q = Complex<T>{c * y.re - turned * x.re, c * y.im - turned * x.im};
      } else {
        p = Complex<T>{c * x.re + turned * y.im, c * x.im - turned * y.re};
        q = Complex<T>{c * y.re + turned * x.im, c * y.im - turned * x.re};
      }
      a.amp[m] = p;
      if (crossed) b.amp[last - m] = q;
      else b.amp[m] = q;
    }
    store_pack<T>(state + left, a);
    store_pack<T>(state + right, b);
  }
}

// The amplitude index of entry `value` of a group.
QSIM_DEVICE inline u64 entry_index(const TableSweep& sweep, u32 value) {
  u64 index = 0;
  for (int t = 0; t < sweep.num_targets; ++t) index |= u64(value >> t & 1) << sweep.targets[t];
  return index;
}

template <class T>
QSIM_DEVICE Complex<T>* group_of(Complex<T>* amps, const TableSweep& sweep, u64 item) {
  const u64 number = item & ((u64(1) << sweep.count_bits) - 1);
  return amps + (item >> sweep.count_bits) * sweep.num_amplitudes + (spread_around(number, sweep.fixed) | sweep.values);
}

// The target that is qubit 0; num_targets where none is.
QSIM_DEVICE inline int place_of_zero(const TableSweep& sweep) {
  int place = 0;
  while (place < sweep.num_targets && sweep.targets[place] != 0) ++place;
  return place;
}

// Entries of a group that lie side by side in f32 are those that differ in qubit 0. Return the entry of pack `number`
// in amplitude m of it, where qubit 0 is the target at `zero`.
template <class T>
QSIM_DEVICE u32 entry_of(u32 number, int zero, int m) {
  if (pack_size<T> == 1) return number;
  return static_cast<u32>(spread_around(number, u64(1) << zero)) | static_cast<u32>(m) << zero;
}

// Qubit 0 is a target in f32: the host adds it.
template <class T>
QSIM_DEVICE void permute_sweep(Complex<T>* amps, const void* program, u64 offset, Complex<T>* shared) {
  constexpr int pack = pack_size<T>;
  const TableSweep& sweep = *at<TableSweep>(program, offset);
  const i32* sources = at<i32>(program, sweep.table);
  const u32 packs = (1u << sweep.num_targets) / pack;
  const int zero = place_of_zero(sweep);
  for (u64 item = blockIdx.x; item < sweep.num_items; item += gridDim.x) {
    Complex<T>* group = group_of<T>(amps, sweep, item);
    for (u32 p = threadIdx.x; p < packs; p += blockDim.x) {
      const Pack<T> values = load_pack<T>(group + entry_index(sweep, entry_of<T>(p, zero, 0)));
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) shared[entry_of<T>(p, zero, m)] = values.amp[m];
    }
    __syncthreads();
    for (u32 p = threadIdx.x; p < packs; p += blockDim.x) {
      Pack<T> values;
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) values.amp[m] = shared[static_cast<u32>(sources[entry_of<T>(p, zero, m)])];
      store_pack<T>(group + entry_index(sweep, entry_of<T>(p, zero, 0)), values);
    }
    __syncthreads();
  }
}

// A permutation too wide for shared memory: all amplitudes go to a second buffer, then back to their new places.
template <class T>
QSIM_DEVICE void copy_out(const Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {
  const TableSweep& sweep = *at<TableSweep>(program, offset);
  const u64 total = (sweep.num_items >> sweep.count_bits) * sweep.num_amplitudes;
  for (u64 item = first_item(pack_size<T>); item < total; item += stride_of(pack_size<T>))
    store_pack<T>(scratch + item, load_pack<T>(amps + item));
}

// Qubit 0 is a target in f32, as above. What comes to lie side by side may come of two places: those loads are single.
template <class T>
QSIM_DEVICE void permute_back(Complex<T>* amps, const void* program, u64 offset, const Complex<T>* scratch) {
  constexpr int pack = pack_size<T>;
  const TableSweep& sweep = *at<TableSweep>(program, offset);
  const i32* sources = at<i32>(program, sweep.table);
  const u64 packs = (u64(1) << sweep.num_targets) / pack;
  const int zero = place_of_zero(sweep);
  for (u64 item = first_item(1); item < sweep.num_items * packs; item += stride_of(1)) {
    // Neighbouring threads take neighbouring groups, whose amplitudes lie side by side.
    const u64 group = item % sweep.num_items;
    const u32 p = static_cast<u32>(item / sweep.num_items);
    const u64 start = static_cast<u64>(group_of<T>(amps, sweep, group) - amps);
    Pack<T> values;
    QSIM_UNROLL
    for (int m = 0; m < pack; ++m)
      values.amp[m] = scratch[start | entry_index(sweep, static_cast<u32>(sources[entry_of<T>(p, zero, m)]))];
    store_pack<T>(amps + (start | entry_index(sweep, entry_of<T>(p, zero, 0))), values);
  }
}

// In f32 a pack is two entries of a group where qubit 0 is a target (the host makes it the first), else one of each of
// two groups side by side; it is no control.
template <class T>
QSIM_DEVICE void wide_dense_sweep(Complex<T>* amps, const void* program, u64 offset, Complex<T>* shared) {
  constexpr int pack = pack_size<T>;
  const TableSweep& sweep = *at<TableSweep>(program, offset);
  const Complex<T>* matrix = at<Complex<T>>(program, sweep.table);
  const u32 size = 1u << sweep.num_targets;
  const u32 step = sweep.targets[0] == 0 ? pack : 1, groups = pack / step;  // entries in a pack, and groups
  for (u64 item = u64(blockIdx.x) * groups; item < sweep.num_items; item += u64(gridDim.x) * groups) {
    Complex<T>* group = group_of<T>(amps, sweep, item);
    for (u32 j = threadIdx.x * step; j < size; j += blockDim.x * step)
      store_pack<T>(shared + j * groups, load_pack<T>(group + entry_index(sweep, j)));
    __syncthreads();
    for (u32 i = threadIdx.x * step; i < size; i += blockDim.x * step) {
      Pack<T> sum;
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) sum.amp[m] = Complex<T>{T(0), T(0)};
      for (u32 j = 0; j < size; ++j) {
        QSIM_UNROLL
        for (int m = 0; m < pack; ++m) {
          const u32 row = i + static_cast<u32>(m) % step, side = static_cast<u32>(m) % groups;
          const Complex<T> term = product_of(matrix[u64(row) * size + j], shared[j * groups + side]);
          sum.amp[m] = Complex<T>{sum.amp[m].re + term.re, sum.amp[m].im + term.im};
        }
      }
      store_pack<T>(group + entry_index(sweep, i), sum);
    }
    __syncthreads();
  }
}

// Packs as above. It has no controls.
template <class T>
QSIM_DEVICE void initialize_sweep(Complex<T>* amps, const void* program, u64 offset) {
  constexpr int pack = pack_size<T>;
  const TableSweep& sweep = *at<TableSweep>(program, offset);
  const Complex<T>* values = at<Complex<T>>(program, sweep.table);
  const int zero = place_of_zero(sweep);
  const bool inside = zero < sweep.num_targets;  // qubit 0 is a target
  const u32 packs = (1u << sweep.num_targets) / (inside ? pack : 1);
  const u64 groups = inside ? 1 : pack;
  for (u64 item = first_item(groups); item < sweep.num_items; item += stride_of(groups)) {
    Complex<T>* group = group_of<T>(amps, sweep, item);
    Pack<T> start = load_pack<T>(group);
    if (inside) start.amp[pack - 1] = start.amp[0];
    for (u32 p = 0; p < packs; ++p) {
      Pack<T> result;
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m)
        result.amp[m] = product_of(values[inside ? entry_of<T>(p, zero, m) : p], start.amp[m]);
      store_pack<T>(group + entry_index(sweep, inside ? entry_of<T>(p, zero, 0) : p), result);
    }
  }
}

}  // namespace cuda
}  // namespace qsim
