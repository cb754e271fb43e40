// What the kernels of the tile engine are written in: lanes of vectors, where vectors lie in a tile and in the state,
// how groups of them are loaded and stored. Compiled once per instruction set behind kernels_impl.hpp.
#pragma once

#include "tile_kernels.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::Course;
using tile::Ends;

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

// (a, b) -> (a - t b, b + t a)
template <class T>
QSIM_INLINE void rotate_two(V<T>& a, V<T>& b, V<T> tangent) {
  const V<T> old = a;
  a -= tangent * b;
  b += tangent * old;
}

// The same by a tangent of one: sums and differences, whose units are free while others multiply.
template <class T>
QSIM_INLINE void rotate_two_by_one(V<T>& a, V<T>& b) {
  const V<T> old = a;
  a -= b;
  b += old;
}

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

// What work(re, im) does to the vectors of a group, on one group after the other.
template <class T, int R, bool From, bool To, class Work>
QSIM_INLINE void through_doors(const Course& course, const Bits* places, const Ends<T>& ends, Index count, T* tile,
                               Work work) {
  Doors<T, R, From, To> doors(course, places, ends, count);
  for (Index g = 0; g < count; ++g) {
    V<T> re[1 << R], im[1 << R];
    doors.enter(ends, tile, re, im);
    work(re, im);
    doors.leave(ends, tile, re, im, g);
  }
}

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA
