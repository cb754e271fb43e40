// The part of nine numbers of a two-qubit matrix, compiled once per instruction set behind
// tile_vector_kernels_impl.hpp.

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::PairStep;

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
  const auto work = [&](V<T>* re, V<T>* im) __attribute__((always_inline)) {
    re[0] *= before_re[0], im[0] *= before_re[0];
#pragma GCC unroll 3
    for (int n = 1; n < 4; ++n) multiply<T>(re[n], im[n], before_re[n], before_im[n]);
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      rotate_two<T>(re[2 * c], re[2 * c + 1], rotation[c]);
      rotate_two<T>(im[2 * c], im[2 * c + 1], rotation[c]);
      multiply<T>(re[2 * c + 1], im[2 * c + 1], between_re[c], between_im[c]);
    }
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      rotate_two<T>(re[2 * c], re[3 - 2 * c], crossing[c]);
      rotate_two<T>(im[2 * c], im[3 - 2 * c], crossing[c]);
    }
  };
  through_doors<T, 2, From, To>(args.course, args.place, ends, args.items, tile, work);
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
  const auto work = [&](V<T>* re, V<T>* im) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) multiply<T>(re[n], im[n], before_re[n], before_im[n]);
    if constexpr (R == 1) {
      rotate_two<T>(re[0], re[1], rotation);
      rotate_two<T>(im[0], im[1], rotation);
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
  };
  through_doors<T, R, From, To>(args.course, args.place, ends, args.items, tile, work);
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
