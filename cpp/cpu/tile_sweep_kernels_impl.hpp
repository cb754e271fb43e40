// Sweeps: diagonals and rotations on every vector of a tile, compiled once per instruction set behind
// tile_vector_kernels_impl.hpp.

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

using tile::Factor;
using tile::Sweep;
using tile::SweepStep;

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

template <class T, int R, int N>
QSIM_INLINE void rotate(V<T>* re, V<T>* im, V<T> tangent) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    const int k = j | 1 << R;
    if (k == j) continue;
    rotate_two<T>(re[j], re[k], tangent);
    rotate_two<T>(im[j], im[k], tangent);
  }
}

// By a tangent of 1, or back, of -1.
template <class T, int R, int N, bool Back>
QSIM_INLINE void rotate_by_one(V<T>* re, V<T>* im) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) {
    if ((j >> R & 1) != 0) continue;
    const int zero = Back ? j | 1 << R : j, one = Back ? j : j | 1 << R;
    rotate_two_by_one<T>(re[zero], re[one]);
    rotate_two_by_one<T>(im[zero], im[one]);
  }
}

// H has tangents of 1 and -1.
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

// Any steps, one after the other on the vectors of a group in registers. The vectors come from the state or from the
// tile, and go to either.
template <class T, int R, bool From, bool To>
void many_steps(const Sweep<T>& sweep, const Ends<T>& ends, T* tile) {
  constexpr int N = 1 << R;
  const Groups<T, R> groups(sweep);
  const LaneSigns<T> signs;
  const SweepStep<T>* const end = sweep.steps + sweep.num_steps;
  Bits v = 0;
  const auto work = [&](V<T>* re, V<T>* im) __attribute__((always_inline)) {
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
    v = groups.next(v);
  };
  through_doors<T, R, From, To>(sweep.course, sweep.place, ends, sweep.vectors >> R, tile, work);
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
      rotate_two_by_one<T>(re[k], re[j]);
      rotate_two_by_one<T>(im[k], im[j]);
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
  constexpr int R = most_rotations;
  const Groups<T, R> groups(sweep);
  const Rung<T, R> first(sweep, 0, groups), second(sweep, 1, groups), third(sweep, R - 1, groups);
  Bits v = 0;
  const auto work = [&](V<T>* re, V<T>* im) __attribute__((always_inline)) {
    first.template turn<0>(v, re, im);
    second.template turn<1>(v, re, im);
    if constexpr (R > 2) third.template turn<2>(v, re, im);
    v = groups.next(v);
  };
  through_doors<T, R, From, To>(sweep.course, sweep.place, ends, sweep.vectors >> R, tile, work);
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

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA
