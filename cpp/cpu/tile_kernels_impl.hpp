// Kernels of the tile engine, compiled once per instruction set behind kernels_impl.hpp, whose vectors they use.
#pragma once

#include "tile_vector_kernels_impl.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::Block;
using tile::ControlledX;
using tile::Exchange;
using tile::Part;
using tile::Rows;
using tile::Scale;

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
#include "tile_pair_kernels_impl.hpp"
#include "tile_probe_kernels_impl.hpp"
#include "tile_sweep_kernels_impl.hpp"

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
