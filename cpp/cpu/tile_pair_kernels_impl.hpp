// The part of nine numbers of a two-qubit matrix, compiled once per instruction set behind
// tile_vector_kernels_impl.hpp.

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::PairStep;

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

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA
