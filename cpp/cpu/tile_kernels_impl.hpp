// Kernels of the tile engine, compiled once per instruction set behind kernels_impl.hpp, whose vectors they use.
#pragma once

#include "tile_kernels.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::Block;
using tile::ControlledX;
using tile::Course;
using tile::Ends;
using tile::Exchange;
using tile::Factor;
using tile::PairStep;
using tile::Part;
using tile::Rows;
using tile::Scale;
using tile::Sweep;
using tile::SweepStep;

template <class T>
constexpr int lane_bits = E<T> == 16  ? 4
                          : E<T> == 8 ? 3
                          : E<T> == 4 ? 2
                                      : 1;

// Lanes l and l ^ Mask exchanged, Mask a power of two.
template <class T, int Mask>
QSIM_INLINE V<T> flip(V<T> v) {
#if QSIM_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    const __m512 x = reinterpret_cast<__m512>(v);
    if constexpr (Mask == 1) return reinterpret_cast<V<T>>(_mm512_permute_ps(x, 0xb1));
    else if constexpr (Mask == 2) return reinterpret_cast<V<T>>(_mm512_permute_ps(x, 0x4e));
    else if constexpr (Mask == 4) return reinterpret_cast<V<T>>(_mm512_shuffle_f32x4(x, x, 0xb1));
    else return reinterpret_cast<V<T>>(_mm512_shuffle_f32x4(x, x, 0x4e));
  } else {
    const __m512d x = reinterpret_cast<__m512d>(v);
    if constexpr (Mask == 1) return reinterpret_cast<V<T>>(_mm512_permute_pd(x, 0x55));
    else if constexpr (Mask == 2) return reinterpret_cast<V<T>>(_mm512_shuffle_f64x2(x, x, 0xb1));
    else return reinterpret_cast<V<T>>(_mm512_shuffle_f64x2(x, x, 0x4e));
  }
#elif QSIM_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) {
    const __m256 x = reinterpret_cast<__m256>(v);
    if constexpr (Mask == 1) return reinterpret_cast<V<T>>(_mm256_permute_ps(x, 0xb1));
    else if constexpr (Mask == 2) return reinterpret_cast<V<T>>(_mm256_permute_ps(x, 0x4e));
    else return reinterpret_cast<V<T>>(_mm256_permute2f128_ps(x, x, 1));
  } else {
    const __m256d x = reinterpret_cast<__m256d>(v);
    if constexpr (Mask == 1) return reinterpret_cast<V<T>>(_mm256_permute_pd(x, 0x5));
    else return reinterpret_cast<V<T>>(_mm256_permute2f128_pd(x, x, 1));
  }
#else
  if constexpr (E<T> == 2) return V<T>{v[1], v[0]};
  else if constexpr (Mask == 1) return V<T>{v[1], v[0], v[3], v[2]};
  else return V<T>{v[2], v[3], v[0], v[1]};
#endif
}

#if QSIM_VECTOR_BYTES == 64
template <class T>
QSIM_INLINE __m512i sequence(int start, int step, int half) {
  // element e: start + (e % half) * step of the first operand, of the second one from `half` on
  typedef int Narrow __attribute__((vector_size(64)));
  typedef long long Wide __attribute__((vector_size(64)));
  Narrow narrow{};
  Wide wide{};
  for (int e = 0; e < E<T>; ++e) {
    const int from = start + e % half * step + e / half * E<T>;
    if constexpr (sizeof(T) == 4) narrow[e] = from;
    else wide[e] = from;
  }
  return sizeof(T) == 4 ? reinterpret_cast<__m512i>(narrow) : reinterpret_cast<__m512i>(wide);
}

template <class T>
QSIM_INLINE V<T> pick(V<T> a, __m512i index, V<T> b) {
  if constexpr (sizeof(T) == 4)
    return reinterpret_cast<V<T>>(
        _mm512_permutex2var_ps(reinterpret_cast<__m512>(a), index, reinterpret_cast<__m512>(b)));
  else
    return reinterpret_cast<V<T>>(
        _mm512_permutex2var_pd(reinterpret_cast<__m512d>(a), index, reinterpret_cast<__m512d>(b)));
}
#endif

// re and im of W interleaved amplitudes, and back.
template <class T>
struct Interleave {
#if QSIM_VECTOR_BYTES == 64
  __m512i even, odd, low, high;
  Interleave() : even(sequence<T>(0, 2, E<T> / 2)), odd(sequence<T>(1, 2, E<T> / 2)) {
    typedef int Narrow __attribute__((vector_size(64)));
    typedef long long Wide __attribute__((vector_size(64)));
    Narrow n[2]{};
    Wide w[2]{};
    for (int half = 0; half < 2; ++half)
      for (int e = 0; e < E<T>; ++e) {
        const int from = half * (E<T> / 2) + e / 2 + e % 2 * E<T>;
        if constexpr (sizeof(T) == 4) n[half][e] = from;
        else w[half][e] = from;
      }
    low = sizeof(T) == 4 ? reinterpret_cast<__m512i>(n[0]) : reinterpret_cast<__m512i>(w[0]);
    high = sizeof(T) == 4 ? reinterpret_cast<__m512i>(n[1]) : reinterpret_cast<__m512i>(w[1]);
  }
  inline __attribute__((always_inline)) void split(V<T> a, V<T> b, V<T>& re, V<T>& im) const {
    re = pick<T>(a, even, b);
    im = pick<T>(a, odd, b);
  }
  inline __attribute__((always_inline)) void join(V<T> re, V<T> im, V<T>& a, V<T>& b) const {
    a = pick<T>(re, low, im);
    b = pick<T>(re, high, im);
  }
#elif QSIM_VECTOR_BYTES == 32
  inline __attribute__((always_inline)) void split(V<T> a, V<T> b, V<T>& re, V<T>& im) const {
    if constexpr (sizeof(T) == 4) {
      const __m256 x = reinterpret_cast<__m256>(a), y = reinterpret_cast<__m256>(b);
      re = reinterpret_cast<V<T>>(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(x, y, 0x88)), 0xd8));
      im = reinterpret_cast<V<T>>(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(x, y, 0xdd)), 0xd8));
    } else {
      const __m256d x = reinterpret_cast<__m256d>(a), y = reinterpret_cast<__m256d>(b);
      re = reinterpret_cast<V<T>>(_mm256_permute4x64_pd(_mm256_unpacklo_pd(x, y), 0xd8));
      im = reinterpret_cast<V<T>>(_mm256_permute4x64_pd(_mm256_unpackhi_pd(x, y), 0xd8));
    }
  }
  inline __attribute__((always_inline)) void join(V<T> re, V<T> im, V<T>& a, V<T>& b) const {
    if constexpr (sizeof(T) == 4) {
      const __m256 x = reinterpret_cast<__m256>(re), y = reinterpret_cast<__m256>(im);
      const __m256 low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
      a = reinterpret_cast<V<T>>(_mm256_permute2f128_ps(low, high, 0x20));
      b = reinterpret_cast<V<T>>(_mm256_permute2f128_ps(low, high, 0x31));
    } else {
      const __m256d x = reinterpret_cast<__m256d>(re), y = reinterpret_cast<__m256d>(im);
      const __m256d low = _mm256_unpacklo_pd(x, y), high = _mm256_unpackhi_pd(x, y);
      a = reinterpret_cast<V<T>>(_mm256_permute2f128_pd(low, high, 0x20));
      b = reinterpret_cast<V<T>>(_mm256_permute2f128_pd(low, high, 0x31));
    }
  }
#else
  inline __attribute__((always_inline)) void split(V<T> a, V<T> b, V<T>& re, V<T>& im) const {
    if constexpr (E<T> == 4) re = V<T>{a[0], a[2], b[0], b[2]}, im = V<T>{a[1], a[3], b[1], b[3]};
    else re = V<T>{a[0], b[0]}, im = V<T>{a[1], b[1]};
  }
  inline __attribute__((always_inline)) void join(V<T> re, V<T> im, V<T>& a, V<T>& b) const {
    if constexpr (E<T> == 4) a = V<T>{re[0], im[0], re[1], im[1]}, b = V<T>{re[2], im[2], re[3], im[3]};
    else a = V<T>{re[0], im[0]}, b = V<T>{re[1], im[1]};
  }
#endif
};

template <class T>
QSIM_INLINE T* vector_at(T* tile, Bits v) {
  return tile + v * static_cast<Bits>(2 * E<T>);
}

// Where item i + 1 lies, from where item i does.
QSIM_INLINE Bits next_place(Bits place, const Course& course, Index item) {
  return place ^ course.steps[__builtin_ctzll(static_cast<Bits>(item) + 1)];
}

template <class T>
QSIM_INLINE V<T> broadcast(T value) {
  return value - V<T>{};  // a sum would be one: it turns -0 into 0
}

template <class T>
QSIM_INLINE void multiply(V<T>& re, V<T>& im, V<T> c, V<T> s) {
  const V<T> old = re;
  re = old * c - im * s;
  im = old * s + im * c;
}

enum Tables { none = 0, low = 1, high = 2, both = 3 };

// Where in its tables a factor has the entries of a vector, in numbers of type T.
template <class T>
QSIM_INLINE Bits low_entry(const Factor<T>& factor, Bits v) {
  return (v & factor.low_mask) * static_cast<Bits>(2 * E<T>);
}

template <class T>
QSIM_INLINE Bits high_entry(const Factor<T>& factor, Bits v) {
  return (v >> factor.high_shift) * 2;
}

template <class T, int Which>
QSIM_INLINE void apply_entries(const Factor<T>& factor, Bits low_at, Bits high_at, V<T>& re, V<T>& im) {
  if constexpr (Which == none) return;
  V<T> c, s;
  if constexpr ((Which & low) != 0) c = load(factor.low + low_at), s = load(factor.low + low_at + E<T>);
  if constexpr (Which == high) c = broadcast(factor.high[high_at]), s = broadcast(factor.high[high_at + 1]);
  if constexpr (Which == both) multiply<T>(c, s, broadcast(factor.high[high_at]), broadcast(factor.high[high_at + 1]));
  multiply<T>(re, im, c, s);
}

// Groups of vectors that differ in R positions: the index of each relative to the first.
template <class T, int R>
struct Groups {
  Bits fixed = 0;
  Bits offset[1 << R] = {};

  explicit Groups(const Sweep<T>& sweep) {
    for (int r = 0; r < R; ++r) {
      fixed |= bit(sweep.position[r]);
      for (int j = 0; j < 1 << R; ++j)
        if ((j >> r & 1) != 0) offset[j] |= bit(sweep.position[r]);
    }
  }

  // The first index of the group after that of v.
  inline __attribute__((always_inline)) Bits next(Bits v) const { return ((v | fixed) + 1) & ~fixed; }
};

// Where the vectors of one group after the other lie, counted in Unit numbers.
template <int R, int Unit>
struct Route {
  Course course;
  Bits first;  // of the group
  Bits place[1 << R] = {};

  Route(const Course& of, const Bits* places) : course(of), first(of.first) {
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 1 << R; ++j)
        if ((j >> r & 1) != 0) place[j] ^= places[r] * Unit;
  }

  inline __attribute__((always_inline)) Bits operator[](int j) const { return first * Unit ^ place[j]; }
  inline __attribute__((always_inline)) void leave(Index group) { first = next_place(first, course, group); }
};

// In a tile, and in the state.
template <class T, int R>
using Inside = Route<R, 2 * E<T>>;
template <int R>
using Outside = Route<R, 2>;

template <class T, int R>
QSIM_INLINE void load_group(const T* tile, const Inside<T, R>& route, V<T>* re, V<T>* im) {
#pragma GCC unroll 8
  for (int j = 0; j < 1 << R; ++j) {
    const T* from = tile + route[j];
    re[j] = load(from);
    im[j] = load(from + E<T>);
  }
}

template <class T, int R>
QSIM_INLINE void store_group(T* tile, const Inside<T, R>& route, const V<T>* re, const V<T>* im) {
#pragma GCC unroll 8
  for (int j = 0; j < 1 << R; ++j) {
    T* to = tile + route[j];
    store(to, re[j]);
    store(to + E<T>, im[j]);
  }
}

// The lines of a vector in the state that will be loaded and stored to; of one in the next tile, to the second-level
// cache.
template <class T>
QSIM_INLINE void fetch(const T* vector) {
  __builtin_prefetch(vector, 1);
  if constexpr (QSIM_VECTOR_BYTES == 64) __builtin_prefetch(vector + E<T>, 1);
}

template <class T>
QSIM_INLINE void fetch_far(const T* vector) {
  __builtin_prefetch(vector, 0, 2);
  if constexpr (QSIM_VECTOR_BYTES == 64) __builtin_prefetch(vector + E<T>, 0, 2);
}

template <class T, int R, int N>
QSIM_INLINE void rotate(V<T>* re, V<T>* im, V<T> tangent) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    const int k = j | 1 << R;
    if (k == j) continue;
    const V<T> a = re[j], b = im[j];
    re[j] -= tangent * re[k];
    im[j] -= tangent * im[k];
    re[k] += tangent * a;
    im[k] += tangent * b;
  }
}

// By a tangent of 1, or back, of -1.
template <class T, int R, int N, bool Back>
QSIM_INLINE void rotate_by_one(V<T>* re, V<T>* im) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    if ((j >> R & 1) != 0) continue;
    const int zero = Back ? j | 1 << R : j, one = Back ? j : j | 1 << R;
    const V<T> a = re[zero], b = im[zero];
    re[zero] -= re[one];
    im[zero] -= im[one];
    re[one] += a;
    im[one] += b;
  }
}

// The tangents of H take sums and differences, whose units are free while others multiply.
template <class T, int R, int N>
QSIM_INLINE void turn(V<T>* re, V<T>* im, T tangent) {
  if (tangent == T(1)) rotate_by_one<T, R, N, false>(re, im);
  else if (tangent == T(-1)) rotate_by_one<T, R, N, true>(re, im);
  else rotate<T, R, N>(re, im, broadcast(tangent));
}

template <class T, int Lane, int N>
QSIM_INLINE void rotate_lane(V<T>* re, V<T>* im, V<T> mix) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    re[j] += mix * flip<T, 1 << Lane>(re[j]);
    im[j] += mix * flip<T, 1 << Lane>(im[j]);
  }
}

// A lane takes its partner times -t where its own bit is zero, t where it is one.
template <class T>
struct LaneSigns {
  V<T> sign[lane_bits<T>];
  LaneSigns() {
    for (int l = 0; l < lane_bits<T>; ++l)
      for (int e = 0; e < E<T>; ++e) sign[l][e] = (e >> l & 1) != 0 ? T(1) : T(-1);
  }
};

template <class T, int N>
QSIM_INLINE void rotate_lanes(int lanes, const V<T>* mix, V<T>* re, V<T>* im) {
  if ((lanes & 1) != 0) rotate_lane<T, 0, N>(re, im, mix[0]);
  if constexpr (lane_bits<T> > 1)
    if ((lanes & 2) != 0) rotate_lane<T, 1, N>(re, im, mix[1]);
  if constexpr (lane_bits<T> > 2)
    if ((lanes & 4) != 0) rotate_lane<T, 2, N>(re, im, mix[2]);
  if constexpr (lane_bits<T> > 3)
    if ((lanes & 8) != 0) rotate_lane<T, 3, N>(re, im, mix[3]);
}

// One step with at most one factor, unconditional and of kind Which.
template <class T, int R, int Which, bool Lanes>
void single_step(const Sweep<T>& sweep, T* tile) {
  constexpr int N = 1 << R;
  const Groups<T, R> groups(sweep);
  const SweepStep<T>& step = *sweep.steps;
  const Factor<T> factor = Which == none ? Factor<T>{} : sweep.factors[step.first_factor];
  Bits low_offset[N] = {}, high_offset[N] = {};
  for (int j = 0; j < N; ++j) {
    low_offset[j] = low_entry(factor, groups.offset[j]);
    high_offset[j] = high_entry(factor, groups.offset[j]);
  }
  V<T> tangent[R + 1], mix[lane_bits<T>];
  for (int r = 0; r < R; ++r) tangent[r] = broadcast(step.tangent[r]);
  if constexpr (Lanes) {
    const LaneSigns<T> signs;
    for (int l = 0; l < lane_bits<T>; ++l) mix[l] = signs.sign[l] * broadcast(step.lane_tangent[l]);
  }
  Inside<T, R> inside(sweep.course, sweep.place);
  const Index count = sweep.vectors >> R;
  Bits v = 0;
  for (Index g = 0; g < count; ++g) {
    V<T> re[N], im[N];
    const Bits low_at = low_entry(factor, v), high_at = high_entry(factor, v);
    load_group<T, R>(tile, inside, re, im);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j)
      apply_entries<T, Which>(factor, low_at + low_offset[j], high_at + high_offset[j], re[j], im[j]);
    if constexpr (R > 0) rotate<T, 0, N>(re, im, tangent[0]);
    if constexpr (R > 1) rotate<T, 1, N>(re, im, tangent[1]);
    if constexpr (R > 2) rotate<T, 2, N>(re, im, tangent[2]);
    if constexpr (Lanes) rotate_lanes<T, N>(step.lanes, mix, re, im);
    store_group<T, R>(tile, inside, re, im);
    inside.leave(g);
    v = groups.next(v);
  }
}

template <class T, int Which, int N>
QSIM_INLINE void apply_factor(const Factor<T>& factor, Bits v, const Bits* offset, V<T>* re, V<T>* im) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    const Bits w = v + offset[j];
    if ((w & factor.condition) != factor.condition) continue;
    apply_entries<T, Which>(factor, low_entry(factor, w), high_entry(factor, w), re[j], im[j]);
  }
}

constexpr Index vectors_ahead = 1024 / QSIM_VECTOR_BYTES;  // are fetched while one is worked on

// How the vectors of one group after the other come from the state or from the tile, and go to either.
template <class T, int R, bool From, bool To>
struct Doors {
  static constexpr int N = 1 << R;
  Index ahead;  // groups
  Inside<T, R> inside;
  Outside<R> entrance, exit, soon_loaded, soon_stored;
  Interleave<T> interleave;
  Shuffle<T> flip_lanes;

  Doors(const Course& course, const Bits* places, const Ends<T>& ends, Index count)
      : ahead(vectors_ahead >> R <= count / 2 ? vectors_ahead >> R : count / 2),
        inside(course, places),
        entrance(ends.entrance.course, ends.entrance.place),
        exit(ends.exit.course, ends.exit.place),
        soon_loaded(entrance),
        soon_stored(exit),
        flip_lanes(Shuffle<T>::exchange(ends.lane_flip)) {
    for (Index g = 0; g < ahead; ++g) {
      if constexpr (From) soon_loaded.leave(g);
      if constexpr (To) soon_stored.leave(g);
    }
  }

  inline __attribute__((always_inline)) void enter(const Ends<T>& ends, const T* tile, V<T>* re, V<T>* im) const {
    if constexpr (From) {
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        const T* from = ends.from + entrance[j];
        fetch(ends.from + soon_loaded[j]);
        interleave.split(load(from), load(from + E<T>), re[j], im[j]);
      }
    } else {
      load_group<T, R>(tile, inside, re, im);
    }
  }

  // The group number g.
  inline __attribute__((always_inline)) void leave(const Ends<T>& ends, T* tile, const V<T>* re, const V<T>* im,
                                                   Index g) {
    if constexpr (To) {
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        T* to = ends.to + exit[j];
        fetch(ends.to + soon_stored[j]);
        fetch_far(ends.next + exit[j]);
        V<T> x = re[j], y = im[j], a, b;
        if (ends.lane_flip != 0) x = flip_lanes(x), y = flip_lanes(y);
        multiply<T>(x, y, broadcast(ends.re), broadcast(ends.im));
        interleave.join(x, y, a, b);
        store(to, a);
        store(to + E<T>, b);
      }
    } else {
      store_group<T, R>(tile, inside, re, im);
    }
    if constexpr (From) entrance.leave(g), soon_loaded.leave(g + ahead);
    if constexpr (To) exit.leave(g), soon_stored.leave(g + ahead);
    if constexpr (!From || !To) inside.leave(g);
  }
};

// Any steps, one after the other on the vectors of a group in registers. The vectors come from the state or from the
// tile, and go to either.
template <class T, int R, bool From, bool To>
void many_steps(const Sweep<T>& sweep, const Ends<T>& ends, T* tile) {
  constexpr int N = 1 << R;
  const Groups<T, R> groups(sweep);
  const LaneSigns<T> signs;
  const SweepStep<T>* const end = sweep.steps + sweep.num_steps;
  const Index count = sweep.vectors >> R;
  Doors<T, R, From, To> doors(sweep.course, sweep.place, ends, count);
  Bits v = 0;
  for (Index g = 0; g < count; ++g) {
    V<T> re[N], im[N];
    doors.enter(ends, tile, re, im);
    for (const SweepStep<T>* step = sweep.steps; step != end; ++step) {
      const Factor<T>* factor = sweep.factors + step->first_factor;
      for (int f = 0; f < step->num_factors; ++f, ++factor) {
        if (factor->low == nullptr) apply_factor<T, high, N>(*factor, v, groups.offset, re, im);
        else if (factor->high == nullptr) apply_factor<T, low, N>(*factor, v, groups.offset, re, im);
        else apply_factor<T, both, N>(*factor, v, groups.offset, re, im);
      }
      if constexpr (R > 0)
        if ((step->rotated & 1) != 0) turn<T, 0, N>(re, im, step->tangent[0]);
      if constexpr (R > 1)
        if ((step->rotated & 2) != 0) turn<T, 1, N>(re, im, step->tangent[1]);
      if constexpr (R > 2)
        if ((step->rotated & 4) != 0) turn<T, 2, N>(re, im, step->tangent[2]);
      if (step->lanes != 0) {
        V<T> mix[lane_bits<T>];
        for (int l = 0; l < lane_bits<T>; ++l) mix[l] = signs.sign[l] * broadcast(step->lane_tangent[l]);
        rotate_lanes<T, N>(step->lanes, mix, re, im);
      }
    }
    doors.leave(ends, tile, re, im, g);
    v = groups.next(v);
  }
}

// Step k of a ladder: a star around position k - 1, for the first step around one outside of the group, then a rotation
// of position k by a tangent of -1, as H has; pair by pair, so that some add while others multiply.
template <class T, int R>
struct Rung {
  Factor<T> factor;
  Bits low_offset[1 << R], high_offset[1 << R];  // of entries, relative to those of the first vector

  Rung(const Sweep<T>& sweep, int k, const Groups<T, R>& groups) {
    const SweepStep<T>& step = sweep.steps[k];
    factor = step.num_factors > 0 ? sweep.factors[step.first_factor] : Factor<T>{};
    if (step.num_factors == 0) factor.condition = ~Bits{0};  // no vector
    for (int j = 0; j < 1 << R; ++j) {
      low_offset[j] = low_entry(factor, groups.offset[j]);
      high_offset[j] = high_entry(factor, groups.offset[j]);
    }
  }

  template <int K, int Which>
  inline __attribute__((always_inline)) void apply(Bits v, V<T>* re, V<T>* im) const {
    const Bits low_at = low_entry(factor, v), high_at = high_entry(factor, v);
#pragma GCC unroll 8
    for (int j = 0; j < 1 << R; ++j) {
      if ((j >> K & 1) != 0) continue;
      const int k = j | 1 << K;
      if (K == 0 || (j << 1 >> K & 1) != 0) {
        apply_entries<T, Which>(factor, low_at + low_offset[j], high_at + high_offset[j], re[j], im[j]);
        apply_entries<T, Which>(factor, low_at + low_offset[k], high_at + high_offset[k], re[k], im[k]);
      }
      const V<T> a = re[j], b = im[j];
      re[j] += re[k];
      im[j] += im[k];
      re[k] -= a;
      im[k] -= b;
    }
  }

  template <int K>
  inline __attribute__((always_inline)) void turn(Bits v, V<T>* re, V<T>* im) const {
    if (K == 0 && (v & factor.condition) != factor.condition) rotate_by_one<T, K, 1 << R, true>(re, im);
    else if (factor.low == nullptr) apply<K, high>(v, re, im);
    else if (factor.high == nullptr) apply<K, low>(v, re, im);
    else apply<K, both>(v, re, im);
  }
};

constexpr int most_rotations = QSIM_VECTOR_BYTES == 64 ? 3 : 2;  // of a sweep: what fits in the registers

// A ladder is what Fourier transforms are made of.
template <class T>
bool is_ladder(const Sweep<T>& sweep) {
  if (sweep.num_positions != most_rotations || sweep.num_steps != most_rotations) return false;
  Bits inside = 0;
  for (int k = 0; k < most_rotations; ++k) inside |= bit(sweep.position[k]);
  for (int k = 0; k < most_rotations; ++k) {
    const SweepStep<T>& step = sweep.steps[k];
    if (step.rotated != 1 << k || step.tangent[k] != T(-1) || step.lanes != 0) return false;
    if (step.num_factors != 1 && (k > 0 || step.num_factors > 0)) return false;
    if (step.num_factors == 0) continue;
    const Bits condition = sweep.factors[step.first_factor].condition;
    if (k == 0 ? (condition & inside) != 0 : condition != bit(sweep.position[k - 1])) return false;
  }
  return true;
}

template <class T, bool From, bool To>
void ladder(const Sweep<T>& sweep, const Ends<T>& ends, T* tile) {
  constexpr int R = most_rotations, N = 1 << R;
  const Groups<T, R> groups(sweep);
  const Rung<T, R> first(sweep, 0, groups), second(sweep, 1, groups), third(sweep, R - 1, groups);
  const Index count = sweep.vectors >> R;
  Doors<T, R, From, To> doors(sweep.course, sweep.place, ends, count);
  Bits v = 0;
  for (Index g = 0; g < count; ++g) {
    V<T> re[N], im[N];
    doors.enter(ends, tile, re, im);
    first.template turn<0>(v, re, im);
    second.template turn<1>(v, re, im);
    if constexpr (R > 2) third.template turn<2>(v, re, im);
    doors.leave(ends, tile, re, im, g);
    v = groups.next(v);
  }
}

template <class T>
using SweepKernel = void (*)(const Sweep<T>&, T*);
template <class T>
using SweepEndsKernel = void (*)(const Sweep<T>&, const Ends<T>&, T*);

#define QSIM_TABLES(R, Which) {single_step<T, R, Which, false>, single_step<T, R, Which, true>}
#define QSIM_MANY(From, To) \
  {many_steps<T, 0, From, To>, many_steps<T, 1, From, To>, many_steps<T, 2, From, To>, many_steps<T, 3, From, To>}
#define QSIM_SWEEP(R) {QSIM_TABLES(R, none), QSIM_TABLES(R, low), QSIM_TABLES(R, high), QSIM_TABLES(R, both)}

template <class T>
void sweep(const Sweep<T>& args, T* tile) {
  static constexpr SweepKernel<T> single[4][4][2] = {QSIM_SWEEP(0), QSIM_SWEEP(1), QSIM_SWEEP(2), QSIM_SWEEP(3)};
  static constexpr SweepEndsKernel<T> many[4] = QSIM_MANY(false, false);
  const SweepStep<T>& step = *args.steps;
  const Factor<T>* factor = args.factors + step.first_factor;
  if (is_ladder(args)) return ladder<T, false, false>(args, {}, tile);
  if (args.num_steps > 1 || step.num_factors > 1 || (step.num_factors == 1 && factor->condition != 0))
    return many[args.num_positions](args, {}, tile);
  int which = none;
  if (step.num_factors == 1) which = (factor->low != nullptr ? low : none) | (factor->high != nullptr ? high : none);
  single[args.num_positions][which][step.lanes != 0](args, tile);
}

template <class T>
void sweep_ends(const Sweep<T>& args, const Ends<T>& ends, T* tile) {
  static constexpr SweepEndsKernel<T> kernels[3][4] = {QSIM_MANY(false, true), QSIM_MANY(true, false),
                                                       QSIM_MANY(true, true)};
  static constexpr SweepEndsKernel<T> ladders[3] = {ladder<T, false, true>, ladder<T, true, false>,
                                                    ladder<T, true, true>};
  const int which = (ends.from != nullptr ? 2 : 0) + (ends.to != nullptr ? 1 : 0) - 1;
  if (is_ladder(args)) return ladders[which](args, ends, tile);
  kernels[which][args.num_positions](args, ends, tile);
}

template <class T>
void scale(const Scale<T>& args, T* tile) {
  const V<T> c[2] = {load(args.factor), load(args.factor + 2 * E<T>)};
  const V<T> s[2] = {load(args.factor + E<T>), load(args.factor + 3 * E<T>)};
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    T* at = vector_at(tile, place);
    V<T> re = load(at), im = load(at + E<T>);
    const bool odd = odd_parity(static_cast<Bits>(item) & args.parity);
    multiply<T>(re, im, c[odd], s[odd]);
    store(at, re);
    store(at + E<T>, im);
  }
}

// Row `row` of the matrix times inputs.
template <class T, int N>
QSIM_INLINE void block_row(const T* matrix, const V<T>* re, const V<T>* im, V<T>& x, V<T>& y) {
  V<T> first[2]{}, second[2]{};  // two chains each, shorter than one
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    const V<T> c = broadcast(matrix[2 * n]), s = broadcast(matrix[2 * n + 1]);
    first[0] += c * re[n];
    second[0] += c * im[n];
    first[1] -= s * im[n];
    second[1] += s * re[n];
  }
  x = first[0] + first[1];
  y = second[0] + second[1];
}

// N rows: all inputs in registers while one output row after the other is formed.
template <class T, int N, bool Lanes>
void block_of(const Block<T>& args, T* tile) {
  const V<T> active = Lanes ? load(args.active) : V<T>{};
  Bits rows[N];
  for (int n = 0; n < N; ++n) rows[n] = args.rows[n];
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    V<T> re[N], im[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const T* from = vector_at(tile, place ^ rows[n]);
      re[n] = load(from);
      im[n] = load(from + E<T>);
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      V<T> x, y;
      block_row<T, N>(args.matrix + 2 * n * N, re, im, x, y);
      if constexpr (Lanes) x = choose<T>(active, x, re[n]), y = choose<T>(active, y, im[n]);
      T* to = vector_at(tile, place ^ rows[n]);
      store(to, x);
      store(to + E<T>, y);
    }
  }
}

// Any number of rows up to 64, inputs in the cache, four output rows at a time.
template <class T>
void block_in_cache(const Block<T>& args, T* tile) {
  alignas(64) T inputs[64 * 2 * E<T>];
  const V<T> active = args.active != nullptr ? load(args.active) : V<T>{};
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    for (int r = 0; r < args.num_rows; ++r) {
      const T* from = vector_at(tile, place ^ args.rows[r]);
      store(inputs + r * 2 * E<T>, load(from));
      store(inputs + r * 2 * E<T> + E<T>, load(from + E<T>));
    }
    for (int first = 0; first < args.num_rows; first += 4) {
      V<T> re[4]{}, im[4]{};
      const T* matrix = args.matrix + 2 * first * args.num_rows;
      for (int in = 0; in < args.num_rows; ++in) {
        const V<T> x = load(inputs + in * 2 * E<T>), y = load(inputs + in * 2 * E<T> + E<T>);
#pragma GCC unroll 4
        for (int n = 0; n < 4; ++n) {
          const T* element = matrix + 2 * (n * args.num_rows + in);
          const V<T> c = broadcast(element[0]), s = broadcast(element[1]);
          re[n] += c * x;
          im[n] += c * y;
          re[n] -= s * y;
          im[n] += s * x;
        }
      }
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        T* to = vector_at(tile, place ^ args.rows[first + n]);
        if (args.active != nullptr) {
          const T* old = inputs + (first + n) * 2 * E<T>;
          re[n] = choose<T>(active, re[n], load(old));
          im[n] = choose<T>(active, im[n], load(old + E<T>));
        }
        store(to, re[n]);
        store(to + E<T>, im[n]);
      }
    }
  }
}

// Matrices with lanes among their targets.
template <class T, int N, int Flips>
void block_of_lanes(const Block<T>& args, T* tile) {
  constexpr int sources = N * Flips;
  constexpr Bits width = 2 * E<T>;
  Shuffle<T> shuffle[Flips];
  for (int f = 0; f < Flips; ++f) shuffle[f] = Shuffle<T>::exchange(args.flips[f]);
  Bits rows[N];
  for (int n = 0; n < N; ++n) rows[n] = args.rows[n];
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    V<T> re[sources], im[sources];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      const T* from = vector_at(tile, place ^ rows[n]);
      re[n * Flips] = load(from);
      im[n * Flips] = load(from + E<T>);
#pragma GCC unroll 4
      for (int f = 1; f < Flips; ++f) {
        re[n * Flips + f] = shuffle[f](re[n * Flips]);
        im[n * Flips + f] = shuffle[f](im[n * Flips]);
      }
    }
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      const T* element = args.matrix + static_cast<Bits>(n * sources) * width;
      V<T> first[2]{}, second[2]{};
#pragma GCC unroll 4
      for (int s = 0; s < sources; ++s, element += width) {
        const V<T> c = load(element), d = load(element + E<T>);
        first[0] += c * re[s];
        second[0] += c * im[s];
        first[1] -= d * im[s];
        second[1] += d * re[s];
      }
      T* to = vector_at(tile, place ^ rows[n]);
      store(to, first[0] + first[1]);
      store(to + E<T>, second[0] + second[1]);
    }
  }
}

template <class T>
void block(const Block<T>& args, T* tile) {
  if (args.num_flips == 2) return block_of_lanes<T, 2, 2>(args, tile);
  if (args.num_flips == 4) return block_of_lanes<T, 1, 4>(args, tile);
  const bool lanes = args.active != nullptr;
  switch (args.num_rows) {
    case 2: return (lanes ? block_of<T, 2, true> : block_of<T, 2, false>)(args, tile);
    case 4: return (lanes ? block_of<T, 4, true> : block_of<T, 4, false>)(args, tile);
    case 8: return (lanes ? block_of<T, 8, true> : block_of<T, 8, false>)(args, tile);
    default: return block_in_cache(args, tile);
  }
}

// (a, b) -> (a - t b, b + t a)
template <class T>
QSIM_INLINE void mix(V<T>& a, V<T>& b, V<T> tangent) {
  const V<T> old = a;
  a -= tangent * b;
  b += tangent * old;
}

template <class T, bool From, bool To>
void pair_of_vectors(const PairStep<T>& args, const Ends<T>& ends, T* tile) {
  const T* number = args.numbers;
  const auto next = [&] { return broadcast(*number++); };
  V<T> before_re[4], before_im[4], rotation[2], between_re[2], between_im[2], crossing[2];
  for (int n = 0; n < 4; ++n) {
    before_re[n] = next();
    if (n > 0) before_im[n] = next();
  }
  for (V<T>& tangent : rotation) tangent = next();
  for (int c = 0; c < 2; ++c) between_re[c] = next(), between_im[c] = next();
  for (V<T>& tangent : crossing) tangent = next();
  Doors<T, 2, From, To> doors(args.course, args.place, ends, args.items);
  for (Index item = 0; item < args.items; ++item) {
    V<T> re[4], im[4];
    doors.enter(ends, tile, re, im);
    re[0] *= before_re[0], im[0] *= before_re[0];
#pragma GCC unroll 3
    for (int n = 1; n < 4; ++n) multiply<T>(re[n], im[n], before_re[n], before_im[n]);
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      mix<T>(re[2 * c], re[2 * c + 1], rotation[c]);
      mix<T>(im[2 * c], im[2 * c + 1], rotation[c]);
      multiply<T>(re[2 * c + 1], im[2 * c + 1], between_re[c], between_im[c]);
    }
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      mix<T>(re[2 * c], re[3 - 2 * c], crossing[c]);
      mix<T>(im[2 * c], im[3 - 2 * c], crossing[c]);
    }
    doors.leave(ends, tile, re, im, item);
  }
}

// R positions and 2 - R lanes.
template <class T, int R, bool From, bool To>
void pair_of_lanes(const PairStep<T>& args, const Ends<T>& ends, T* tile) {
  constexpr int N = 1 << R;
  const Shuffle<T> around = Shuffle<T>::exchange(args.flips[0]), across = Shuffle<T>::exchange(args.flips[1]);
  const T* number = args.numbers;
  const auto next = [&] { return load((number += E<T>)-E<T>); };
  V<T> before_re[N], before_im[N], crossing[N];
  for (int n = 0; n < N; ++n) before_re[n] = next(), before_im[n] = next();
  const V<T> rotation = next(), between_re = next(), between_im = next();
  for (V<T>& tangent : crossing) tangent = next();
  Doors<T, R, From, To> doors(args.course, args.place, ends, args.items);
  for (Index item = 0; item < args.items; ++item) {
    V<T> re[N], im[N];
    doors.enter(ends, tile, re, im);
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) multiply<T>(re[n], im[n], before_re[n], before_im[n]);
    if constexpr (R == 1) {
      mix<T>(re[0], re[1], rotation);
      mix<T>(im[0], im[1], rotation);
    } else {
      re[0] += rotation * around(re[0]);
      im[0] += rotation * around(im[0]);
    }
    multiply<T>(re[N - 1], im[N - 1], between_re, between_im);
    const V<T> far_re = across(re[N - 1]), far_im = across(im[N - 1]);
    if constexpr (R == 1) {
      re[1] += crossing[1] * across(re[0]);
      im[1] += crossing[1] * across(im[0]);
    }
    re[0] += crossing[0] * far_re;
    im[0] += crossing[0] * far_im;
    doors.leave(ends, tile, re, im, item);
  }
}

template <class T, bool From, bool To>
void pair_between(const PairStep<T>& args, const Ends<T>& ends, T* tile) {
  switch (args.num_positions) {
    case 0: return pair_of_lanes<T, 0, From, To>(args, ends, tile);
    case 1: return pair_of_lanes<T, 1, From, To>(args, ends, tile);
    default: return pair_of_vectors<T, From, To>(args, ends, tile);
  }
}

template <class T>
void pair(const PairStep<T>& args, T* tile) {
  pair_between<T, false, false>(args, {}, tile);
}

template <class T>
void pair_ends(const PairStep<T>& args, const Ends<T>& ends, T* tile) {
  if (ends.from == nullptr) pair_between<T, false, true>(args, ends, tile);
  else if (ends.to == nullptr) pair_between<T, true, false>(args, ends, tile);
  else pair_between<T, true, true>(args, ends, tile);
}

template <class T>
void controlled_x_lane(const ControlledX<T>& args, T* tile) {
  const Shuffle<T> shuffle = Shuffle<T>::from(args.source);
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    T* at = vector_at(tile, place);
    for (int part = 0; part < 2; ++part, at += E<T>) store(at, shuffle(load(at)));
  }
}

template <class T, bool Lanes>
void controlled_x_vector(const ControlledX<T>& args, T* tile) {
  const V<T> active = Lanes ? load(args.active) : V<T>{};
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    T* first = vector_at(tile, place);
    T* second = vector_at(tile, place ^ args.place);
    for (int part = 0; part < 2; ++part, first += E<T>, second += E<T>) {
      const V<T> a = load(first), b = load(second);
      store(first, Lanes ? choose<T>(active, b, a) : b);
      store(second, Lanes ? choose<T>(active, a, b) : a);
    }
  }
}

template <class T>
void controlled_x(const ControlledX<T>& args, T* tile) {
  if (args.place == 0) controlled_x_lane<T>(args, tile);
  else if (args.active != nullptr) controlled_x_vector<T, true>(args, tile);
  else controlled_x_vector<T, false>(args, tile);
}

template <class T, int K>
void exchange_of(const Exchange& args, T* tile) {
  constexpr int N = 1 << K;
  Shuffle<T> shuffle[K];
  V<T> upper[K]{};
  Bits rows[N] = {};
  for (int k = 0; k < K; ++k) {
    const int mask = 1 << args.lane[k];
    shuffle[k] = Shuffle<T>::exchange(mask);
    for (int e = 0; e < E<T>; ++e) upper[k][e] = (e & mask) != 0 ? T(1) : T(0);
    for (int n = 0; n < N; ++n)
      if ((n >> k & 1) != 0) rows[n] ^= args.place[k];
  }
  Bits place = args.course.first;
  for (Index item = 0; item < args.items; place = next_place(place, args.course, item++)) {
    for (Bits part = 0; part < 2 * static_cast<Bits>(E<T>); part += static_cast<Bits>(E<T>)) {
      V<T> v[N];
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) v[n] = load(vector_at(tile, place ^ rows[n]) + part);
#pragma GCC unroll 4
      for (int k = 0; k < K; ++k) {
#pragma GCC unroll 16
        for (int n = 0; n < N; ++n) {
          if ((n >> k & 1) != 0) continue;
          const V<T> a = v[n], b = v[n | 1 << k];
          v[n] = choose<T>(upper[k], shuffle[k](b), a);
          v[n | 1 << k] = choose<T>(upper[k], b, shuffle[k](a));
        }
      }
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) store(vector_at(tile, place ^ rows[n]) + part, v[n]);
    }
  }
}

template <class T>
void exchange(const Exchange& args, T* tile) {
  if (args.num == 1) return exchange_of<T, 1>(args, tile);
  if constexpr (lane_bits<T> > 1)
    if (args.num == 2) return exchange_of<T, 2>(args, tile);
  if constexpr (lane_bits<T> > 2)
    if (args.num == 3) return exchange_of<T, 3>(args, tile);
  if constexpr (lane_bits<T> > 3) exchange_of<T, 4>(args, tile);
}

constexpr Index rows_ahead = 4;

template <class T>
void gather(const Rows& rows, const T* state, T* tile) {
  const Interleave<T> interleave;
  for (Index r = 0; r < rows.num_rows; ++r) {
    const T* from = state + 2 * rows.offset[r];
    const T* ahead = state + 2 * rows.offset[r + rows_ahead < rows.num_rows ? r + rows_ahead : r];
    for (Index w = 0; w < rows.row_vectors; ++w, from += 2 * E<T>, ahead += 2 * E<T>, tile += 2 * E<T>) {
      fetch(ahead);
      V<T> re, im;
      interleave.split(load(from), load(from + E<T>), re, im);
      store(tile, re);
      store(tile + E<T>, im);
    }
  }
}

template <class T>
void gather_part(const Rows& rows, const Part<T>& part, const T* state, T* tile) {
  const Interleave<T> interleave;
  const V<T> lanes = load(part.lanes), zero{};
  for (Index r = 0; r < rows.num_rows; ++r) {
    const Bits first = static_cast<Bits>(r * rows.row_vectors);
    const T* from = state + 2 * rows.offset[r];
    const T* ahead = state + 2 * rows.offset[r + rows_ahead < rows.num_rows ? r + rows_ahead : r];
    for (Index w = 0; w < rows.row_vectors; ++w, from += 2 * E<T>, ahead += 2 * E<T>, tile += 2 * E<T>) {
      V<T> re = zero, im = zero;
      if ((((first | static_cast<Bits>(w)) ^ part.value) & part.mask) == 0) {
        __builtin_prefetch(ahead);
        if constexpr (QSIM_VECTOR_BYTES == 64) __builtin_prefetch(ahead + E<T>);
        interleave.split(load(from), load(from + E<T>), re, im);
        re *= lanes;
        im *= lanes;
      }
      store(tile, re);
      store(tile + E<T>, im);
    }
  }
}

template <class T, bool Flip, bool Weighed>
QSIM_INLINE void scatter_as(const Rows& rows, const T* tile, T* state, const T* next, double re, double im,
                            double* weights) {
  constexpr Index together = Weighed ? strip_vectors / 2 : 1;
  const Interleave<T> interleave;
  const Shuffle<T> shuffle = Shuffle<T>::exchange(rows.lane_flip);
  const V<T> c = broadcast(static_cast<T>(re)), s = broadcast(static_cast<T>(im));
  for (Index r = 0; r < rows.num_rows; ++r) {
    T* to = state + 2 * rows.offset[r];
    const T* ahead = state + 2 * rows.offset[r + rows_ahead < rows.num_rows ? r + rows_ahead : r];
    const T* coming = next + 2 * rows.coming[r];
    for (Index first = 0; first < rows.row_vectors; first += together) {
      Doubles sum[parts<T>]{};
#pragma GCC unroll 4
      for (Index w = first; w < first + together; ++w, to += 2 * E<T>, ahead += 2 * E<T>, coming += 2 * E<T>) {
        fetch(ahead);
        fetch_far(coming);
        const T* from = vector_at(tile, rows.row_source[r] ^ rows.source[w]);
        V<T> x = load(from), y = load(from + E<T>), a, b;
        if constexpr (Flip) x = shuffle(x), y = shuffle(y);
        multiply<T>(x, y, c, s);
        interleave.join(x, y, a, b);
        store(to, a);
        store(to + E<T>, b);
        if constexpr (Weighed) {
          add_squares<T>(sum, a);
          add_squares<T>(sum, b);
        }
      }
      if constexpr (Weighed) *weights++ = total_of<T>(sum);
    }
  }
}

template <class T>
void scatter(const Rows& rows, const T* tile, T* state, const T* next, double re, double im, double* weights) {
  const bool flip = rows.lane_flip != 0;
  if (weights == nullptr) {
    if (flip) scatter_as<T, true, false>(rows, tile, state, next, re, im, nullptr);
    else scatter_as<T, false, false>(rows, tile, state, next, re, im, nullptr);
  } else {
    if (flip) scatter_as<T, true, true>(rows, tile, state, next, re, im, weights);
    else scatter_as<T, false, true>(rows, tile, state, next, re, im, weights);
  }
}

template <class T>
void adjust_low(T* table, int vector_bits, int position, double re, double im) {
  V<T> c = broadcast(static_cast<T>(re)), s = broadcast(static_cast<T>(im));
  if (position >= 0 && position < lane_bits<T>)
    for (int e = 0; e < E<T>; ++e)
      if ((e >> position & 1) == 0) c[e] = T(1), s[e] = T(0);
  const Bits wanted = position >= lane_bits<T> ? bit(position - lane_bits<T>) : 0;
  Walk walk({wanted, wanted}, 0);
  const Index count = Index{1} << (vector_bits - (wanted != 0 ? 1 : 0));
  for (Index item = 0; item < count; ++item, walk.next()) {
    T* at = vector_at(table, walk.index);
    V<T> x = load(at), y = load(at + E<T>);
    multiply<T>(x, y, c, s);
    store(at, x);
    store(at + E<T>, y);
  }
}

template <class T>
void adjust_high(T* table, int bits, int position, double re, double im) {
  const T c = static_cast<T>(re), s = static_cast<T>(im);
  const Bits wanted = position >= 0 ? bit(position) : 0;
  Walk walk({wanted, wanted}, 0);
  const Index count = Index{1} << (bits - (wanted != 0 ? 1 : 0));
  for (Index item = 0; item < count; ++item, walk.next()) {
    T* at = table + 2 * walk.index;
    const T x = at[0], y = at[1];
    at[0] = x * c - y * s;
    at[1] = x * s + y * c;
  }
}

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA

#include "tile_angle_kernels_impl.hpp"
#include "tile_probe_kernels_impl.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

template <class T>
constexpr tile::Kernels<T> tile_kernels() {
  return {sweep<T>,        sweep_ends<T>, scale<T>,        block<T>,       pair<T>,    pair_ends<T>,
          controlled_x<T>, exchange<T>,   gather<T>,       gather_part<T>, scatter<T>, adjust_low<T>,
          adjust_high<T>,  moments<T>,    lane_moments<T>, weigh<T>,       weights<T>, fold};
}

constexpr tile::KernelTable table{
    most_rotations, {lane_bits<float>, lane_bits<double>}, tile_kernels<float>(), tile_kernels<double>(), units};

}  // namespace tile_kernels
}  // namespace

const tile::KernelTable* tile_kernel_table() {
  return &tile_kernels::table;
}

}  // namespace qsim::cpu::QSIM_ISA
