// Kernels that read slopes from tiles of two states, and weights from one, compiled once per instruction set behind
// tile_kernels_impl.hpp. Products are in the precision of the states, sums in double precision.

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::Moments;
using tile::Weights;

// Sums of one kernel call: vectors in the precision of the states, emptied into doubles before they get long.
constexpr Index longest_single_sum = 32;

template <class T>
QSIM_INLINE double total(V<T> v) {
  double sum = 0;
  for (int e = 0; e < E<T>; ++e) sum += static_cast<double>(v[e]);
  return sum;
}

enum Letters { only_x = 1, only_y = 2, x_and_y = 3 };

// Im<bra|X|ket> and Im<bra|Y|ket> on R vector bits.
template <class T, int R, int Which>
void moments_as(const Moments& args, const T* ket, const T* bra, double* sums) {
  constexpr int N = 1 << R;
  Bits place[N] = {};
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < N; ++j)
      if ((j >> r & 1) != 0) place[j] ^= args.place[r];
  const Index groups = args.vectors >> R;
  const Index block = sizeof(T) == 8 ? groups : longest_single_sum;
  const Course course = args.course;
  Bits base = course.first;
  for (int r = 0; r < 2 * R; ++r) sums[r] = 0;
  for (Index begin = 0; begin < groups; begin += block) {
    V<T> x[R][2]{}, y[R][2]{};
    const Index end = begin + block < groups ? begin + block : groups;
    for (Index g = begin; g < end; base = next_place(base, course, g++)) {
      V<T> re[N], im[N], bra_re[N], bra_im[N];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) {
        const T* at = ket + (base ^ place[j]) * static_cast<Bits>(2 * E<T>);
        const T* bra_at = bra + (base ^ place[j]) * static_cast<Bits>(2 * E<T>);
        re[j] = load(at), im[j] = load(at + E<T>);
        bra_re[j] = load(bra_at), bra_im[j] = load(bra_at + E<T>);
      }
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
          const int k = j | 1 << r;
          if (k == j) continue;
          if constexpr ((Which & only_x) != 0) {
            x[r][0] += bra_re[j] * im[k];
            x[r][1] += bra_re[k] * im[j];
            x[r][0] -= bra_im[j] * re[k];
            x[r][1] -= bra_im[k] * re[j];
          }
          if constexpr ((Which & only_y) != 0) {
            y[r][0] -= bra_re[j] * re[k];
            y[r][1] += bra_re[k] * re[j];
            y[r][0] -= bra_im[j] * im[k];
            y[r][1] += bra_im[k] * im[j];
          }
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      sums[2 * r] += total<T>(x[r][0] + x[r][1]);
      sums[2 * r + 1] += total<T>(y[r][0] + y[r][1]);
    }
  }
}

template <class T>
void moments(const Moments& args, const T* ket, const T* bra, double* sums) {
  if (args.num == 2) {
    if (args.which == x_and_y) moments_as<T, 2, x_and_y>(args, ket, bra, sums);
    else if (args.which == only_x) moments_as<T, 2, only_x>(args, ket, bra, sums);
    else moments_as<T, 2, only_y>(args, ket, bra, sums);
  } else {
    if (args.which == x_and_y) moments_as<T, 1, x_and_y>(args, ket, bra, sums);
    else if (args.which == only_x) moments_as<T, 1, only_x>(args, ket, bra, sums);
    else moments_as<T, 1, only_y>(args, ket, bra, sums);
  }
}

// The same on a lane position.
template <class T, int Lane>
void lane_moments_as(Index vectors, const T* ket, const T* bra, double* sums) {
  const Index block = sizeof(T) == 8 ? vectors : longest_single_sum;
  V<T> sign{};
  for (int e = 0; e < E<T>; ++e) sign[e] = (e >> Lane & 1) != 0 ? T(1) : T(-1);
  sums[0] = sums[1] = 0;
  for (Index begin = 0; begin < vectors; begin += block) {
    V<T> x[2]{}, y[2]{};
    const Index end = begin + block < vectors ? begin + block : vectors;
    for (Index v = begin; v < end; ++v) {
      const T* at = ket + v * 2 * E<T>;
      const T* bra_at = bra + v * 2 * E<T>;
      const V<T> re = flip<T, 1 << Lane>(load(at)), im = flip<T, 1 << Lane>(load(at + E<T>));
      const V<T> bra_re = load(bra_at), bra_im = load(bra_at + E<T>);
      x[0] += bra_re * im;
      x[1] -= bra_im * re;
      y[0] += bra_re * re;
      y[1] += bra_im * im;
    }
    sums[0] += total<T>(x[0] + x[1]);
    sums[1] += total<T>(sign * (y[0] + y[1]));
  }
}

template <class T>
void lane_moments(Index vectors, int lane, const T* ket, const T* bra, double* sums) {
  if (lane == 0) lane_moments_as<T, 0>(vectors, ket, bra, sums);
  if constexpr (lane_bits<T> > 1)
    if (lane == 1) lane_moments_as<T, 1>(vectors, ket, bra, sums);
  if constexpr (lane_bits<T> > 2)
    if (lane == 2) lane_moments_as<T, 2>(vectors, ket, bra, sums);
  if constexpr (lane_bits<T> > 3)
    if (lane == 3) lane_moments_as<T, 3>(vectors, ket, bra, sums);
}

template <class T>
void weigh(const Weights& args, const T* ket, const T* bra, double* weights) {
  constexpr int N = 1 << tile::weight_bits;
  const Index groups = args.vectors / N;
  Bits base = args.course.first;
  for (Index g = 0; g < groups; base = next_place(base, args.course, g++), weights += E<T>) {
    V<T> w[N];
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const T* at = ket + (base ^ args.place[j]) * static_cast<Bits>(2 * E<T>);
      const T* bra_at = bra + (base ^ args.place[j]) * static_cast<Bits>(2 * E<T>);
      w[j] = load(bra_at) * load(at + E<T>) - load(bra_at + E<T>) * load(at);
    }
#pragma GCC unroll 3
    for (int half = 1; half < N; half *= 2)
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        if ((j & half) != 0) continue;
        const V<T> low = w[j], high = w[j + half];
        w[j] = low + high;
        w[j + half] = low - high;
      }
#pragma GCC unroll 8
    for (int b = 0; b < N; ++b) {
      if ((args.wanted >> b & 1) == 0) continue;
      double* to = weights + b * groups * E<T>;
      if constexpr (sizeof(T) == 8) store<double>(to, w[b]);
      else
        for (int e = 0; e < E<T>; ++e) to[e] = static_cast<double>(w[b][e]);
    }
  }
}

template <class T>
void weights(Index vectors, const Course& course, const T* tile, double* sums) {
  const Index block = sizeof(T) == 8 ? vectors : longest_single_sum;
  Bits place = course.first;
  for (Index begin = 0; begin < vectors; begin += block) {
    V<T> re{}, im{};
    const Index end = begin + block < vectors ? begin + block : vectors;
    for (Index v = begin; v < end; place = next_place(place, course, v++)) {
      const T* at = tile + place * static_cast<Bits>(2 * E<T>);
      const V<T> x = load(at), y = load(at + E<T>);
      re += x * x;
      im += y * y;
    }
    re += im;
    for (int e = 0; e < E<T>; ++e) sums[e] += static_cast<double>(re[e]);
  }
}

// Bit 0 of `which`: low += high; bit 1: high = low - high.
QSIM_INLINE void fold_as(double* low, double* high, Index count, bool sum, bool difference) {
  for (Index i = 0; i < count; i += E<double>) {
    const V<double> a = load(low + i), b = load(high + i);
    if (sum) store(low + i, a + b);
    if (difference) store(high + i, a - b);
  }
}

inline void fold(double* low, double* high, Index count, int which) {
  if (which == 1) fold_as(low, high, count, true, false);
  else if (which == 2) fold_as(low, high, count, false, true);
  else fold_as(low, high, count, true, true);
}

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA
