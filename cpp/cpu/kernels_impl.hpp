// All kernels, from one text: compiled once per instruction set with QSIM_ISA and QSIM_VECTOR_BYTES set.
//
// Vectors are GCC/Clang vector extensions; complex numbers lie interleaved in them, so that
//     c . a = re(c) a + im(c) swap(a) (-1, 1, -1, 1, ...),   swap exchanges re and im.
// Everything lives in an unnamed namespace and uses nothing of std::, so no weak symbol compiled for a wide instruction
// set can end up serving the rest of the library. Loops have no remainders: an item is whole vectors, and the same
// arithmetic is done for it wherever a range begins or ends. That is why results don't depend on the number of threads.

#include "kernels.hpp"
#include "qsim/bits.hpp"

#if QSIM_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace qsim::cpu::QSIM_ISA {
namespace {

#define QSIM_INLINE static inline __attribute__((always_inline))

template <class T>
struct Vector {
  static constexpr int bytes = QSIM_VECTOR_BYTES;
  static constexpr int elements = bytes / static_cast<int>(sizeof(T));
  typedef T type __attribute__((vector_size(QSIM_VECTOR_BYTES)));
  typedef T loose __attribute__((vector_size(QSIM_VECTOR_BYTES), aligned(alignof(T)), may_alias));
};
template <class T>
using V = typename Vector<T>::type;
template <class T>
constexpr int E = Vector<T>::elements;

typedef double Doubles __attribute__((vector_size(QSIM_VECTOR_BYTES)));

template <class T>
QSIM_INLINE V<T> load(const T* from) {
  return *reinterpret_cast<const typename Vector<T>::loose*>(from);
}

template <class T>
QSIM_INLINE void store(T* to, V<T> value) {
  *reinterpret_cast<typename Vector<T>::loose*>(to) = value;
}

// (0, 1, 2, 3, ...) ^ 1: exchanges re and im in every lane.
template <class T>
QSIM_INLINE V<T> swap_parts(V<T> v) {
#if QSIM_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) return reinterpret_cast<V<T>>(_mm512_permute_ps(reinterpret_cast<__m512>(v), 0xb1));
  else return reinterpret_cast<V<T>>(_mm512_permute_pd(reinterpret_cast<__m512d>(v), 0x55));
#elif QSIM_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) return reinterpret_cast<V<T>>(_mm256_permute_ps(reinterpret_cast<__m256>(v), 0xb1));
  else return reinterpret_cast<V<T>>(_mm256_permute_pd(reinterpret_cast<__m256d>(v), 0x5));
#else
  if constexpr (E<T> == 4) return V<T>{v[1], v[0], v[3], v[2]};
  else return V<T>{v[1], v[0]};
#endif
}

// (-1, 1, -1, 1, ...)
template <class T>
QSIM_INLINE V<T> alternating() {
  V<T> signs{};
  for (int e = 0; e < E<T>; ++e) signs[e] = e % 2 == 0 ? T(-1) : T(1);
  return signs;
}

// re + i im for vectors that hold re(c) a and im(c) a.
template <class T>
QSIM_INLINE V<T> combine(V<T> re, V<T> im) {
  return re + alternating<T>() * swap_parts<T>(im);
}

// Any rearrangement of the elements of a vector, one instruction to apply.
template <class T>
struct Shuffle {
#if QSIM_VECTOR_BYTES == 64
  __m512i index;
  QSIM_INLINE Shuffle from(const int* source) {
    typedef long long Wide __attribute__((vector_size(64)));
    typedef int Narrow __attribute__((vector_size(64)));
    Narrow narrow{};
    Wide wide{};
    for (int e = 0; e < E<T>; ++e) {
      if constexpr (sizeof(T) == 4) narrow[e] = source[e];
      else wide[e] = source[e];
    }
    if constexpr (sizeof(T) == 4) return {reinterpret_cast<__m512i>(narrow)};
    else return {reinterpret_cast<__m512i>(wide)};
  }
  inline __attribute__((always_inline)) V<T> operator()(V<T> v) const {
    if constexpr (sizeof(T) == 4)
      return reinterpret_cast<V<T>>(_mm512_permutexvar_ps(index, reinterpret_cast<__m512>(v)));
    else return reinterpret_cast<V<T>>(_mm512_permutexvar_pd(index, reinterpret_cast<__m512d>(v)));
  }
#elif QSIM_VECTOR_BYTES == 32
  __m256i index;  // in units of 4 bytes for both precisions
  QSIM_INLINE Shuffle from(const int* source) {
    typedef int Narrow __attribute__((vector_size(32)));
    constexpr int parts = sizeof(T) / 4;
    Narrow narrow{};
    for (int e = 0; e < 8; ++e) narrow[e] = source[e / parts] * parts + e % parts;
    return {reinterpret_cast<__m256i>(narrow)};
  }
  inline __attribute__((always_inline)) V<T> operator()(V<T> v) const {
    return reinterpret_cast<V<T>>(_mm256_permutevar8x32_ps(reinterpret_cast<__m256>(v), index));
  }
#elif defined(__aarch64__)
  uint8x16_t index;
  QSIM_INLINE Shuffle from(const int* source) {
    uint8x16_t table{};
    constexpr int size = static_cast<int>(sizeof(T));
    for (int e = 0; e < 16; ++e) table[e] = static_cast<unsigned char>(source[e / size] * size + e % size);
    return {table};
  }
  inline __attribute__((always_inline)) V<T> operator()(V<T> v) const {
    return reinterpret_cast<V<T>>(vqtbl1q_u8(reinterpret_cast<uint8x16_t>(v), index));
  }
#else
  // No such instruction: a branch on the pattern, the same way every time, before a constant shuffle.
  int code;
  QSIM_INLINE Shuffle from(const int* source) {
    int packed = 0;
    for (int e = 0; e < E<T>; ++e) packed |= source[e] << (2 * e);
    return {packed};
  }
  inline __attribute__((always_inline)) V<T> operator()(V<T> v) const {
    if constexpr (E<T> == 4) {
      switch (code) {
        case 0xe4: return v;                             // 0 1 2 3
        case 0xb1: return V<T>{v[1], v[0], v[3], v[2]};  // ^ 1
        case 0x4e: return V<T>{v[2], v[3], v[0], v[1]};  // ^ 2
        case 0x1b: return V<T>{v[3], v[2], v[1], v[0]};  // ^ 3
        case 0x00: return V<T>{v[0], v[0], v[0], v[0]};
        case 0x55: return V<T>{v[1], v[1], v[1], v[1]};
        case 0xa0: return V<T>{v[0], v[0], v[2], v[2]};
        case 0xf5: return V<T>{v[1], v[1], v[3], v[3]};
        default: return V<T>{v[code & 3], v[code >> 2 & 3], v[code >> 4 & 3], v[code >> 6 & 3]};
      }
    } else {
      switch (code) {
        case 0x4: return v;
        case 0x1: return V<T>{v[1], v[0]};
        case 0x0: return V<T>{v[0], v[0]};
        default: return V<T>{v[1], v[1]};
      }
    }
  }
#endif
  QSIM_INLINE Shuffle exchange(int mask) {
    int source[E<T>];
    for (int e = 0; e < E<T>; ++e) source[e] = e ^ mask;
    return from(source);
  }
};

// The lanes of v where `active` is one, the lanes of other elsewhere.
template <class T>
QSIM_INLINE V<T> choose(V<T> active, V<T> v, V<T> other) {
  return active != 0 ? v : other;
}

// Visits the indices of a space in order, and prefetches what comes. Where targets or controls among the lowest bits
// make an item's vectors lie some cache lines apart, or leave gaps, the hardware does not see the stream: `ahead` runs
// through such a region in plain order, `lines` vectors per item, gaps included. (Fetching the item's own vectors ahead
// of time instead took up to 2.4 times as long as a plain sweep.)
struct Walk {
  static constexpr int distance = 24;       // in vectors
  static constexpr int region_bits = 6;     // widest region taken in plain order
  static constexpr int region_targets = 2;  // at most this many fixed bits in it
  Bits fixed;
  Bits value;
  Bits index;
  Bits outer;  // fixed bits above the region
  Bits outer_value;
  Bits inside;  // all bits of the region
  Bits lines;
  Bits ahead;
  Walk(Space space, Index item)
      : fixed(space.fixed),
        value(space.value),
        index(spread_around(static_cast<Bits>(item), space.fixed) | space.value) {
    Bits above = space.fixed;
    for (int k = 0; k < region_targets; ++k) above &= above - 1;
    const int region = above != 0 && lowest_bit(above) < region_bits ? lowest_bit(above) : region_bits;
    inside = bit(region) - 1;
    outer = fixed & ~inside;
    outer_value = value & outer;
    const int inner = count_bits(fixed ^ outer);
    lines = bit(inner);
    const Bits start = static_cast<Bits>(item) + static_cast<Bits>(distance >> inner);
    ahead = spread_around(start << inner, outer) | outer_value;
  }
  inline __attribute__((always_inline)) void next() {
    index = (((index | fixed) + 1) & ~fixed) | value;
    ahead = (((ahead | outer) + lines) & ~outer) | outer_value;
  }
  // Fetch the lines of the item ahead whose outer bits are changed by `offset`. They may lie outside the state: then
  // nothing happens.
  template <class T>
  inline __attribute__((always_inline)) void prefetch(const T* amps, Bits offset) const {
    const Bits place = ahead ^ offset;
    for (Bits line = 0; line < lines; ++line)
      __builtin_prefetch(
          reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(amps) + (place + line) * QSIM_VECTOR_BYTES),
          1);
  }
  // The same for items of two rows.
  template <class T>
  inline __attribute__((always_inline)) void prefetch(const T* amps, Bits first, Bits second) const {
    first &= ~inside, second &= ~inside;
    prefetch(amps, first);
    if (first != second) prefetch(amps, second);
  }
};

QSIM_INLINE Bits map_above(const BitMap& map, Bits digits) {
  Bits result = 0;
  for (int level = 1; level < map.levels; ++level) {
    digits >>= BitMap::digit;
    result |= map.table[level * BitMap::width + static_cast<int>(digits & (BitMap::width - 1))];
  }
  return result;
}

QSIM_INLINE Bits map_low(const BitMap& map, Bits digits) {
  return map.table[digits & (BitMap::width - 1)];
}

QSIM_INLINE Bits map_all(const BitMap& map, Bits digits) {
  return map_above(map, digits) | map_low(map, digits);
}

// ---- dense ----------------------------------------------------------------------------------------------------------

// Up to four targets: all inputs of an item, permuted, stay in registers while one output row after the other is
// formed.
template <class T, int H, int L, bool Real, bool Uniform>
void dense(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const DenseArgs<T>*>(pointer);
  constexpr int rows = 1 << H;
  constexpr int patterns = 1 << L;
  constexpr int sources = rows * patterns;
  constexpr int entries = rows * sources;
  constexpr int parts_kept = Real ? 1 : 2;
  constexpr bool in_registers = entries * parts_kept <= (QSIM_VECTOR_BYTES == 64 ? 16 : 4);
  Bits offset[rows];
  for (int h = 0; h < rows; ++h) offset[h] = args.rows[h] * static_cast<Bits>(E<T>);
  Shuffle<T> shuffle[patterns];
  for (int p = 0; p < patterns; ++p) shuffle[p] = Shuffle<T>::exchange(args.patterns[p]);
  const auto entry = [&](int number) {  // 2 c: re of entry c, 2 c + 1: im
    if constexpr (Uniform) return args.coefficients[number];
    else return load(args.coefficients + number * E<T>);
  };
  V<T> held[in_registers ? entries * parts_kept : 1];
  if constexpr (in_registers)
    for (int c = 0; c < entries * parts_kept; ++c) held[c] = V<T>{} + entry(Real ? 2 * c : c);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    T* base = amps + walk.index * static_cast<Bits>(E<T>);
    V<T> in[sources];
    if constexpr (H == 0) walk.prefetch(amps, 0);
    if constexpr (H == 1) walk.prefetch(amps, args.rows[0], args.rows[1]);
    if constexpr (H == 2) {
      walk.prefetch(amps, args.rows[0], args.rows[1]);
      if (((args.rows[0] ^ args.rows[2]) & ~walk.inside) != 0) walk.prefetch(amps, args.rows[2], args.rows[3]);
    }
#pragma GCC unroll 16
    for (int h = 0; h < rows; ++h) {
      const V<T> row = load(base + offset[h]);
#pragma GCC unroll 8
      for (int p = 0; p < patterns; ++p) in[h * patterns + p] = p == 0 ? row : shuffle[p](row);
    }
    const auto row_sum = [&](int o) {
      V<T> re{}, im{};
#pragma GCC unroll 16
      for (int s = 0; s < sources; ++s) {
        const int c = o * sources + s;
        if constexpr (in_registers) {
          re += held[c * parts_kept] * in[s];
          if constexpr (!Real) im += held[c * parts_kept + 1] * in[s];
        } else {
          re += entry(2 * c) * in[s];
          if constexpr (!Real) im += entry(2 * c + 1) * in[s];
        }
      }
      store(base + offset[o], Real ? re : combine<T>(re, im));
    };
    if constexpr (sources <= 4) {
#pragma GCC unroll 4
      for (int o = 0; o < rows; ++o) row_sum(o);
    } else {
#pragma GCC unroll 1
      for (int o = 0; o < rows; ++o) row_sum(o);
    }
  }
}

constexpr int block_columns = QSIM_VECTOR_BYTES == 64 ? 4 : 2;

// Any width: the inputs of `block_columns` items, permuted, are copied to scratch; every output row is a sum over them.
// Columns past the end repeat the last item: they compute and store the same value again.
template <class T, int OutRows, bool Uniform>
void dense_rows(const DenseArgs<T>& args, T* amps, const Bits (&base)[block_columns], const T* inputs) {
  constexpr int columns = block_columns;
  const int sources = args.num_rows * args.num_patterns;
  constexpr Index step = Uniform ? 2 : 2 * E<T>;
  for (int o = 0; o < args.num_rows; o += OutRows) {
    V<T> re[OutRows][columns]{}, im[OutRows][columns]{};
    const T* coefficient = args.coefficients + static_cast<Index>(o) * sources * step;
    const T* input = inputs;
    for (int s = 0; s < sources; ++s, coefficient += step, input += columns * E<T>) {
      V<T> x[columns];
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) x[c] = load(input + c * E<T>);
#pragma GCC unroll 2
      for (int r = 0; r < OutRows; ++r) {
        const T* entry = coefficient + static_cast<Index>(r) * sources * step;
        if constexpr (Uniform) {
          const T entry_re = entry[0], entry_im = entry[1];
#pragma GCC unroll 4
          for (int c = 0; c < columns; ++c) re[r][c] += x[c] * entry_re;
#pragma GCC unroll 4
          for (int c = 0; c < columns; ++c) im[r][c] += x[c] * entry_im;
        } else {
          const V<T> entry_re = load(entry), entry_im = load(entry + E<T>);
#pragma GCC unroll 4
          for (int c = 0; c < columns; ++c) re[r][c] += x[c] * entry_re;
#pragma GCC unroll 4
          for (int c = 0; c < columns; ++c) im[r][c] += x[c] * entry_im;
        }
      }
    }
#pragma GCC unroll 2
    for (int r = 0; r < OutRows; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c)
        store(amps + (base[c] + args.rows[o + r]) * static_cast<Bits>(E<T>), combine<T>(re[r][c], im[r][c]));
  }
}

template <class T>
void dense_block(const void* pointer, T* amps, Index begin, Index end, void* scratch) {
  const auto& args = *static_cast<const DenseArgs<T>*>(pointer);
  T* inputs = static_cast<T*>(scratch);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end;) {
    Bits base[block_columns];
    for (int c = 0; c < block_columns; ++c) {
      base[c] = item < end ? walk.index : base[c - 1];
      if (item < end) ++item, walk.next();
    }
    for (int p = 0; p < args.num_patterns; ++p) {
      const Shuffle<T> shuffle = Shuffle<T>::exchange(args.patterns[p]);
      for (int h = 0; h < args.num_rows; ++h)
        for (int c = 0; c < block_columns; ++c)
          store(inputs + ((static_cast<Index>(h) * args.num_patterns + p) * block_columns + c) * E<T>,
                shuffle(load(amps + (base[c] + args.rows[h]) * static_cast<Bits>(E<T>))));
    }
    if (args.num_rows == 1)
      args.uniform ? dense_rows<T, 1, true>(args, amps, base, inputs)
                   : dense_rows<T, 1, false>(args, amps, base, inputs);
    else
      args.uniform ? dense_rows<T, 2, true>(args, amps, base, inputs)
                   : dense_rows<T, 2, false>(args, amps, base, inputs);
  }
}

// ---- Pauli rotations and phases -------------------------------------------------------------------------------------

template <class T>
void rotate_pairs(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const RotationArgs<T>*>(pointer);
  const Shuffle<T> shuffle = Shuffle<T>::exchange(args.pattern);
  const V<T> keep = load(args.keep);
  const V<T> mix[2] = {load(args.mix), load(args.mix + E<T>)};
  const bool flips = odd_parity(args.x & args.z);
  Walk walk(args.space, begin);
  if (args.z == 0) {
    for (Index item = begin; item < end; ++item, walk.next()) {
      T* first = amps + walk.index * static_cast<Bits>(E<T>);
      T* second = amps + (walk.index ^ args.x) * static_cast<Bits>(E<T>);
      walk.prefetch(amps, 0, args.x);
      const V<T> a = load(first), b = load(second);
      store(first, keep * a + mix[0] * shuffle(b));
      store(second, keep * b + mix[0] * shuffle(a));
    }
    return;
  }
  for (Index item = begin; item < end; ++item, walk.next()) {
    T* first = amps + walk.index * static_cast<Bits>(E<T>);
    T* second = amps + (walk.index ^ args.x) * static_cast<Bits>(E<T>);
    walk.prefetch(amps, 0, args.x);
    const V<T> a = load(first), b = load(second);
    const bool parity = odd_parity(walk.index & args.z);  // of the first; the second's differs when `flips`
    store(first, keep * a + mix[parity != flips] * shuffle(b));
    store(second, keep * b + mix[parity] * shuffle(a));
  }
}

template <class T>
void rotate_lanes(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const RotationArgs<T>*>(pointer);
  const Shuffle<T> shuffle = Shuffle<T>::exchange(args.pattern);
  const V<T> keep = load(args.keep);
  const V<T> mix[2] = {load(args.mix), load(args.mix + E<T>)};
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    T* at = amps + walk.index * static_cast<Bits>(E<T>);
    walk.prefetch(amps, 0);
    const V<T> a = load(at);
    store(at, keep * a + mix[odd_parity(walk.index & args.z)] * shuffle(a));
  }
}

template <class T>
void scale(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const ScaleArgs<T>*>(pointer);
  const V<T> re = load(args.re), im = load(args.im);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    T* at = amps + walk.index * static_cast<Bits>(E<T>);
    walk.prefetch(amps, 0);
    const V<T> a = load(at);
    store(at, re * a + im * swap_parts<T>(a));
  }
}

template <class T>
void diagonal(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const DiagonalArgs<T>*>(pointer);
  const Shuffle<T> re_of = Shuffle<T>::from(args.re_source), im_of = Shuffle<T>::from(args.im_source);
  const V<T> signs = alternating<T>();
  const V<T> active = args.active == nullptr ? V<T>{} : load(args.active);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end;) {
    const Index stop = end < (item | (BitMap::width - 1)) + 1 ? end : (item | (BitMap::width - 1)) + 1;
    const Bits high = map_above(args.map, static_cast<Bits>(item));
    for (; item < stop; ++item, walk.next()) {
      walk.prefetch(amps, 0);
      const V<T> d = load(args.table + 2 * (high | map_low(args.map, static_cast<Bits>(item))));
      T* at = amps + walk.index * static_cast<Bits>(E<T>);
      const V<T> a = load(at);
      const V<T> result = re_of(d) * a + im_of(d) * (signs * swap_parts<T>(a));
      store(at, args.active == nullptr ? result : choose<T>(active, result, a));
    }
  }
}

// ---- permutations ---------------------------------------------------------------------------------------------------

template <class T>
void permute_lanes(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const LanePermutationArgs*>(pointer);
  const Shuffle<T> shuffle = Shuffle<T>::from(args.source);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    T* at = amps + walk.index * static_cast<Bits>(E<T>);
    walk.prefetch(amps, 0);
    store(at, shuffle(load(at)));
  }
}

template <class T>
void swap_rows(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const SwapRowsArgs*>(pointer);
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    for (Index p = 0; p < args.num_pairs; ++p) {
      T* first = amps + (walk.index + args.pairs[p].first) * static_cast<Bits>(E<T>);
      T* second = amps + (walk.index + args.pairs[p].second) * static_cast<Bits>(E<T>);
      walk.prefetch(amps, args.pairs[p].first, args.pairs[p].second);
      const V<T> a = load(first), b = load(second);
      store(first, b);
      store(second, a);
    }
  }
}

template <class T>
void blend_rows(const void* pointer, T* amps, Index begin, Index end, void* scratch) {
  const auto& args = *static_cast<const BlendArgs<T>*>(pointer);
  T* inputs = static_cast<T*>(scratch);
  Walk walk(args.space, begin);
  if (args.num_rows == 2 && args.num_sources == 4) {  // one high target, some lanes move between its rows
    Shuffle<T> shuffle[4];
    V<T> active[2];
    for (int s = 0; s < 4; ++s) shuffle[s] = Shuffle<T>::from(args.sources[s].source);
    for (int o = 0; o < 2; ++o) active[o] = load(args.sources[2 * o].active);
    for (Index item = begin; item < end; ++item, walk.next()) {
      T* first = amps + (walk.index + args.rows[0]) * static_cast<Bits>(E<T>);
      T* second = amps + (walk.index + args.rows[1]) * static_cast<Bits>(E<T>);
      walk.prefetch(amps, args.rows[0], args.rows[1]);
      const V<T> a = load(first), b = load(second);
      store(first, choose<T>(active[0], shuffle[0](a), shuffle[1](b)));
      store(second, choose<T>(active[1], shuffle[2](a), shuffle[3](b)));
    }
    return;
  }
  for (Index item = begin; item < end; ++item, walk.next()) {
    for (int h = 0; h < args.num_rows; ++h)
      store(inputs + h * E<T>, load(amps + (walk.index + args.rows[h]) * static_cast<Bits>(E<T>)));
    V<T> out{};
    for (int s = 0; s < args.num_sources; ++s) {
      const BlendSource<T>& from = args.sources[s];
      const V<T> moved = Shuffle<T>::from(from.source)(load(inputs + from.in * E<T>));
      out = choose<T>(load(from.active), moved, out);
      if (from.last) store(amps + (walk.index + args.rows[from.out]) * static_cast<Bits>(E<T>), out);
    }
  }
}

// What a cycle moves: a vector, or one amplitude where targets are lane qubits.
template <class T, bool Vectors>
struct Unit;

template <class T>
struct Unit<T, true> {
  static constexpr Bits size = static_cast<Bits>(E<T>);
  V<T> value;
  QSIM_INLINE Unit get(const T* from) { return {load(from)}; }
  inline __attribute__((always_inline)) void put(T* to) const { store(to, value); }
};

template <class T>
struct Unit<T, false> {
  static constexpr Bits size = 2;
  T re, im;
  QSIM_INLINE Unit get(const T* from) { return {from[0], from[1]}; }
  inline __attribute__((always_inline)) void put(T* to) const { to[0] = re, to[1] = im; }
};

QSIM_INLINE Bits row_offset(const CycleArgs& args, std::uint32_t row) {
  return map_all(args.map, row & ~CycleArgs::head);
}

template <class T, bool Vectors>
void save_cycles(const void* pointer, T* amps, Index begin, Index end, void*) {
  using Row = Unit<T, Vectors>;
  const auto& args = *static_cast<const CycleArgs*>(pointer);
  for (Index item = begin; item < end; ++item) {
    const Index chunk = item % args.num_chunks;
    const Bits base = spread_around(static_cast<Bits>(item / args.num_chunks), args.space.fixed) | args.space.value;
    T* saved = static_cast<T*>(args.saved) + 2 * static_cast<Bits>(item) * Row::size;
    if (chunk > 0)
      Row::get(amps + (base + row_offset(args, args.order[chunk * args.chunk - 1])) * Row::size).put(saved);
    if (args.wraps[chunk] != CycleArgs::none)
      Row::get(amps + (base + row_offset(args, args.wraps[chunk])) * Row::size).put(saved + Row::size);
  }
}

template <class T, bool Vectors>
void move_cycles(const void* pointer, T* amps, Index begin, Index end, void*) {
  using Row = Unit<T, Vectors>;
  const auto& args = *static_cast<const CycleArgs*>(pointer);
  for (Index item = begin; item < end; ++item) {
    const Index chunk = item % args.num_chunks;
    const Bits base = spread_around(static_cast<Bits>(item / args.num_chunks), args.space.fixed) | args.space.value;
    const Index first = chunk * args.chunk;
    const Index last = (first + args.chunk < args.length ? first + args.chunk : args.length) - 1;
    const T* saved = static_cast<const T*>(args.saved) + 2 * static_cast<Bits>(item) * Row::size;
    Row tail{};
    bool ends_cycle = true;  // the row after j starts a cycle
    if (last + 1 < args.length && (args.order[last + 1] & CycleArgs::head) == 0) {
      ends_cycle = false;
      if (args.wraps[chunk] != CycleArgs::none) tail = Row::get(saved + Row::size);
    }
    for (Index j = last; j >= first; --j) {
      const bool is_head = (args.order[j] & CycleArgs::head) != 0;
      T* to = amps + (base + row_offset(args, args.order[j])) * Row::size;
      if (ends_cycle) tail = Row::get(to);
      if (is_head) tail.put(to);
      else if (j > first) Row::get(amps + (base + row_offset(args, args.order[j - 1])) * Row::size).put(to);
      else Row::get(saved).put(to);
      ends_cycle = is_head;
    }
  }
}

// ---- initialize, collapse -------------------------------------------------------------------------------------------

template <class T>
void save_initialize(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const InitializeArgs<T>*>(pointer);
  for (Index item = begin; item < end; ++item) {
    const T* from = amps + 2 * (spread_around(static_cast<Bits>(item), args.space.fixed) | args.space.value);
    args.saved[2 * item] = from[0];
    args.saved[2 * item + 1] = from[1];
  }
}

template <class T>
void initialize(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const InitializeArgs<T>*>(pointer);
  for (Index item = begin; item < end; ++item) {
    const Index rest = item / args.num_chunks;
    T* base = amps + 2 * (spread_around(static_cast<Bits>(rest), args.space.fixed) | args.space.value);
    const T* from = args.saved == nullptr ? base : args.saved + 2 * rest;
    const T re = from[0], im = from[1];
    const Index first = item % args.num_chunks * args.chunk;
    const Index stop = first + args.chunk < args.length ? first + args.chunk : args.length;
    for (Index x = first; x < stop; ++x) {
      const T* v = args.vector + 2 * x;
      T* to = base + 2 * map_all(args.map, static_cast<Bits>(x));
      to[0] = re * v[0] - im * v[1];
      to[1] = re * v[1] + im * v[0];
    }
  }
}

template <class T>
void collapse(const void* pointer, T* amps, Index begin, Index end, void*) {
  const auto& args = *static_cast<const CollapseArgs<T>*>(pointer);
  const V<T> factor = load(args.scale);
  for (Index item = begin; item < end; ++item) {
    T* at = amps + item * E<T>;
    store(at, (static_cast<Bits>(item) & args.kept.fixed) == args.kept.value ? factor * load(at) : V<T>{});
  }
}

// ---- sums, in double precision whatever T ---------------------------------------------------------------------------

constexpr int doubles = QSIM_VECTOR_BYTES / 8;

// Part p of a vector as doubles: one part for T = double, two for float.
template <class T>
constexpr int parts = 8 / static_cast<int>(sizeof(T));

template <class T>
QSIM_INLINE Doubles widen(V<T> v, int part) {
  if constexpr (sizeof(T) == 8) {
    return v;
  } else {
#if QSIM_VECTOR_BYTES == 64
    const __m512d whole = reinterpret_cast<__m512d>(v);
    return reinterpret_cast<Doubles>(_mm512_cvtps_pd(
        reinterpret_cast<__m256>(part == 0 ? _mm512_castpd512_pd256(whole) : _mm512_extractf64x4_pd(whole, 1))));
#elif QSIM_VECTOR_BYTES == 32
    const __m256 whole = reinterpret_cast<__m256>(v);
    return reinterpret_cast<Doubles>(
        _mm256_cvtps_pd(part == 0 ? _mm256_castps256_ps128(whole) : _mm256_extractf128_ps(whole, 1)));
#else
    return part == 0 ? Doubles{v[0], v[1]} : Doubles{v[2], v[3]};
#endif
  }
}

QSIM_INLINE double total(Doubles v) {
#if QSIM_VECTOR_BYTES == 64
  return _mm512_reduce_add_pd(reinterpret_cast<__m512d>(v));
#else
  double sum = 0;
  for (int e = 0; e < doubles; ++e) sum += v[e];
  return sum;
#endif
}

// Add |a|^2 of one vector, re and im apart.
template <class T>
QSIM_INLINE void add_squares(Doubles (&sum)[parts<T>], V<T> a) {
#pragma GCC unroll 2
  for (int p = 0; p < parts<T>; ++p) {
    const Doubles w = widen<T>(a, p);
    sum[p] += w * w;
  }
}

template <class T>
QSIM_INLINE void add_squares(Doubles (&sum)[parts<T>], const T* from) {
  add_squares<T>(sum, load(from));
}

template <class T>
QSIM_INLINE double total_of(Doubles (&sum)[parts<T>]) {
  if constexpr (parts<T> == 2) sum[0] += sum[1];
  return total(sum[0]);
}

template <class T>
void strip_weights(const T* amps, Index strips, double* weights) {
  for (Index s = 0; s < strips; ++s, amps += strip_vectors * E<T>) {
    Doubles sum[parts<T>]{};
#pragma GCC unroll 8
    for (int v = 0; v < strip_vectors; ++v) add_squares<T>(sum, amps + v * E<T>);
    weights[s] = total_of<T>(sum);
  }
}

template <class T>
double norm(const T* amps, Index begin, Index end) {
  Doubles even[parts<T>]{}, odd[parts<T>]{};
  Index item = begin;
  for (; item + 1 < end; item += 2) {
    add_squares<T>(even, amps + item * E<T>);
    add_squares<T>(odd, amps + (item + 1) * E<T>);
  }
  if (item < end) add_squares<T>(even, amps + item * E<T>);
  double sum = 0;
  for (int p = 0; p < parts<T>; ++p) sum += total(even[p] + odd[p]);
  return sum;
}

// Eight segments at a time, so that their sums wait for each other and not for those of other eights. A segment without
// weight ends exactly where the one before it ends.
template <class T>
double segment_ends(const T* amps, Index count, double* ends) {
  constexpr int vectors = 2 * segment_size / E<T>;
  for (Index first = 0; first < count; first += 8) {
    const int eight = count - first < 8 ? static_cast<int>(count - first) : 8;
    double end = 0;
    for (int s = 0; s < eight; ++s, amps += 2 * segment_size) {
      Doubles sum[parts<T>]{};
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) add_squares<T>(sum, amps + v * E<T>);
      ends[first + s] = end += total_of<T>(sum);
    }
  }
  double end = 0;
  for (Index first = 0; first < count; first += 8) {
    const double start = end;
    const int eight = count - first < 8 ? static_cast<int>(count - first) : 8;
    end += ends[first + eight - 1];
    for (int s = 0; s < eight; ++s) ends[first + s] += start;
  }
  return end;
}

// How many of eight numbers are at most `limit`.
QSIM_INLINE int count_at_most(const double* numbers, double limit) {
#if QSIM_VECTOR_BYTES == 64
  return __builtin_popcount(
      _mm512_cmp_pd_mask(reinterpret_cast<__m512d>(load(numbers)), _mm512_set1_pd(limit), _CMP_LE_OQ));
#else
  int count = 0;
  for (int i = 0; i < 8; ++i) count += numbers[i] <= limit ? 1 : 0;
  return count;
#endif
}

// Which cumulative weights of a segment are above `left`, and which amplitudes have weight, as bits.
struct Passed {
  unsigned above, weighty;
};

#if QSIM_VECTOR_BYTES == 64
template <class T>
QSIM_INLINE Passed passed(const T* amps, double left) {
  typedef long long Places __attribute__((vector_size(64)));
  const auto shuffle = [](Places places, __mmask8 kept, __m512d v) {
    return _mm512_maskz_permutexvar_pd(kept, reinterpret_cast<__m512i>(places), v);
  };
  const Doubles low = widen<T>(load(amps), 0),
                high = sizeof(T) == 8 ? widen<T>(load(amps + segment_size), 0) : widen<T>(load(amps), parts<T> - 1);
  const auto a = reinterpret_cast<__m512d>(low * low), b = reinterpret_cast<__m512d>(high * high);
  const Places even{0, 2, 4, 6, 8, 10, 12, 14}, odd{1, 3, 5, 7, 9, 11, 13, 15};
  const __m512d weights = _mm512_permutex2var_pd(a, reinterpret_cast<__m512i>(even), b) +
                          _mm512_permutex2var_pd(a, reinterpret_cast<__m512i>(odd), b);
  __m512d sums = weights + shuffle(Places{0, 0, 1, 2, 3, 4, 5, 6}, 0xfe, weights);
  sums += shuffle(Places{0, 0, 0, 1, 2, 3, 4, 5}, 0xfc, sums);
  sums += shuffle(Places{0, 0, 0, 0, 0, 1, 2, 3}, 0xf0, sums);
  return {_mm512_cmp_pd_mask(sums, _mm512_set1_pd(left), _CMP_GT_OQ),
          _mm512_cmp_pd_mask(weights, _mm512_setzero_pd(), _CMP_NEQ_UQ)};
}
#endif

template <class T>
QSIM_INLINE Passed passed(const T* amps, int size, double left) {
#if QSIM_VECTOR_BYTES == 64
  if (size == segment_size) return passed(amps, left);
#endif
  Passed result{};
  double sum = 0;
#pragma GCC unroll 8
  for (int i = 0; i < size; ++i) {
    const double re = static_cast<double>(amps[2 * i]), im = static_cast<double>(amps[2 * i + 1]);
    const double weight = re * re + im * im;
    sum += weight;
    result.above |= (sum > left ? 1U : 0U) << i;
    result.weighty |= (weight != 0 ? 1U : 0U) << i;
  }
  return result;
}

// Where the cumulative weight of `size` amplitudes passes `left`, or the last of them with weight.
template <class T>
QSIM_INLINE int search_segment(const T* amps, int size, double left) {
  const Passed found = passed(amps, size, left);
  const unsigned both = found.above & found.weighty;
  return both != 0 ? __builtin_ctz(both) : 31 - __builtin_clz(found.weighty);
}

// Segments first, then amplitudes: short chains of several targets overlap, one long chain after the other would not.
template <class T>
void search(const SearchArgs<T>& args, const double* targets, Index count, std::uint32_t* places) {
  constexpr int line = 64 / static_cast<int>(2 * sizeof(T));  // amplitudes in a cache line
  const T* next = args.next_amps;
  const Index lines = (args.next_size / line + count - 1) / count;
  for (Index k = 0; k < count; ++k) {
    for (Index i = 0; i < lines; ++i, next += 2 * line) __builtin_prefetch(next, 0, 2);
    const double rest = targets[k] < args.highest ? targets[k] : args.highest;
    Index at = 0;
    for (Index i = 0; i < args.top; i += 8) at += count_at_most(args.ends[args.levels - 1] + i, rest);
    for (int level = args.levels - 2; level >= 0; --level) at = 8 * at + count_at_most(args.ends[level] + 8 * at, rest);
    places[k] = static_cast<std::uint32_t>(at);
  }
  for (Index k = 0; k < count; ++k) {
    const Index at = places[k];
    const double past = targets[k] - (at == 0 ? 0 : args.ends[0][at - 1]), left = past > 0 ? past : 0;
    const T* from = args.amps + 2 * at * segment_size;
    const int place =
        args.size == segment_size ? search_segment(from, segment_size, left) : search_segment(from, args.size, left);
    places[k] = static_cast<std::uint32_t>(at * segment_size + place);
  }
}

template <class T>
void overlap(const OverlapArgs<T>& args, const T* bra, const T* ket, Index begin, Index end, double* result) {
  const Shuffle<T> shuffle = Shuffle<T>::exchange(args.pattern);
  const V<T> signs[2] = {load(args.signs), load(args.signs + E<T>)};
  Doubles re[2]{}, im[2]{};
  Walk walk(args.space, begin);
  for (Index item = begin; item < end; ++item, walk.next()) {
    const V<T> k = signs[odd_parity(walk.index & args.z)] * load(ket + walk.index * static_cast<Bits>(E<T>));
    const V<T> b = shuffle(load(bra + (walk.index ^ args.x) * static_cast<Bits>(E<T>)));
    const V<T> s = swap_parts<T>(k);
#pragma GCC unroll 2
    for (int p = 0; p < parts<T>; ++p) {
      re[p] += widen<T>(b, p) * widen<T>(k, p);
      im[p] += widen<T>(b, p) * widen<T>(s, p);  // re(b) im(k), im(b) re(k), ...
    }
  }
  result[0] = total(re[0] + re[1]);
  result[1] = -total((im[0] + im[1]) * alternating<double>());
}

template <class T>
void marginal(const MarginalArgs& args, Space space, const T* amps, Index count, double* histogram) {
  Walk walk(space, 0);
  for (Index item = 0; item < count;) {
    double* place = histogram + map_all(args.map, static_cast<Bits>(item)) * static_cast<Bits>(E<T>);
    Doubles even[parts<T>]{}, odd[parts<T>]{};
    const Index stop = item + args.run;  // runs are powers of two, and so is their number
    for (; item + 1 < stop; item += 2) {
      add_squares<T>(even, amps + walk.index * static_cast<Bits>(E<T>));
      walk.next();
      add_squares<T>(odd, amps + walk.index * static_cast<Bits>(E<T>));
      walk.next();
    }
    for (; item < stop; ++item, walk.next()) add_squares<T>(even, amps + walk.index * static_cast<Bits>(E<T>));
    for (int p = 0; p < parts<T>; ++p)
      store<double>(place + p * doubles, load<double>(place + p * doubles) + (even[p] + odd[p]));
  }
}

// ---- sums of Pauli strings ------------------------------------------------------------------------------------------

template <int Count, class T>
void add_paulis_of(const AddPauliArgs<T>* groups, const T* in, T* out, Index begin, Index end) {
  Shuffle<T> shuffle[Count];
  for (int g = 0; g < Count; ++g) shuffle[g] = Shuffle<T>::exchange(groups[g].pattern);
  for (Index i = begin; i < end; ++i) {
    T* at = out + i * E<T>;
    V<T> sum = load(at);
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) {
      const AddPauliArgs<T>& args = groups[g];
      const Bits j = static_cast<Bits>(i) ^ args.x;
      __builtin_prefetch(in + (static_cast<Bits>(i) ^ args.fetched) * static_cast<Bits>(E<T>), 0, 2);
      V<T> a = load(in + j * static_cast<Bits>(E<T>));
      if (args.factors != nullptr) a *= load(args.factors + (j - args.first_factor) * static_cast<Bits>(E<T>));
      sum += load(args.mix + (odd_parity(j & args.z) ? E<T> : 0)) * shuffle[g](a);
    }
    store(at, sum);
  }
}

template <class T>
void add_paulis(const AddPauliArgs<T>* groups, Index count, const T* in, T* out, Index begin, Index end) {
  for (; count >= 4; groups += 4, count -= 4) add_paulis_of<4>(groups, in, out, begin, end);
  if (count == 3) add_paulis_of<3>(groups, in, out, begin, end);
  if (count == 2) add_paulis_of<2>(groups, in, out, begin, end);
  if (count == 1) add_paulis_of<1>(groups, in, out, begin, end);
}

// ---- the table ------------------------------------------------------------------------------------------------------

template <class T, int L>
constexpr bool has_lanes = (1 << L) <= E<T> / 2;

// Filled in by H, L, then [real][uniform]; null where there is no such kernel.
template <class T, int H, int L>
constexpr void fill_dense(RangeKernel<T> (&cell)[2][2]) {
  if constexpr (H + L >= 1 && H + L <= max_register_targets && has_lanes<T, L>) {
    cell[0][0] = dense<T, H, L, false, false>;
    cell[1][0] = dense<T, H, L, true, false>;
    if constexpr (L == 0) {
      cell[0][1] = dense<T, H, L, false, true>;
      cell[1][1] = dense<T, H, L, true, true>;
    }
  }
}

template <class T, int H>
constexpr void fill_dense_row(RangeKernel<T> (&row)[4][2][2]) {
  fill_dense<T, H, 0>(row[0]);
  fill_dense<T, H, 1>(row[1]);
  fill_dense<T, H, 2>(row[2]);
  fill_dense<T, H, 3>(row[3]);
}

template <class T>
constexpr Kernels<T> kernels() {
  Kernels<T> all{};
  fill_dense_row<T, 0>(all.dense[0]);
  fill_dense_row<T, 1>(all.dense[1]);
  fill_dense_row<T, 2>(all.dense[2]);
  fill_dense_row<T, 3>(all.dense[3]);
  fill_dense_row<T, 4>(all.dense[4]);
  all.dense_block = dense_block<T>;
  all.rotate_pairs = rotate_pairs<T>;
  all.rotate_lanes = rotate_lanes<T>;
  all.scale = scale<T>;
  all.diagonal = diagonal<T>;
  all.permute_lanes = permute_lanes<T>;
  all.swap_rows = swap_rows<T>;
  all.blend_rows = blend_rows<T>;
  all.save_cycles[0] = save_cycles<T, false>;
  all.save_cycles[1] = save_cycles<T, true>;
  all.move_cycles[0] = move_cycles<T, false>;
  all.move_cycles[1] = move_cycles<T, true>;
  all.save_initialize = save_initialize<T>;
  all.initialize = initialize<T>;
  all.collapse = collapse<T>;
  all.norm = norm<T>;
  all.strip_weights = strip_weights<T>;
  all.segment_ends = segment_ends<T>;
  all.search = search<T>;
  all.overlap = overlap<T>;
  all.add_paulis = add_paulis<T>;
  all.marginal = marginal<T>;
  return all;
}

#define QSIM_TEXT_OF(name) #name
#define QSIM_TEXT(name) QSIM_TEXT_OF(name)

constexpr KernelTable table{
    QSIM_TEXT(QSIM_ISA), QSIM_VECTOR_BYTES, block_columns, kernels<float>(), kernels<double>(),
};

}  // namespace

const KernelTable* kernel_table() {
  return &table;
}

}  // namespace qsim::cpu::QSIM_ISA
