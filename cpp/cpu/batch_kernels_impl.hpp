// Kernels of the batch engine, compiled once per instruction set behind kernels_impl.hpp, whose vectors they use.
#pragma once

#include "batch_kernels.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace batch_kernels {

using batch::Entry;

constexpr int doubles = E<double>;
typedef long long Words __attribute__((vector_size(QSIM_VECTOR_BYTES)));

// Vectors of doubles that hold one number per lane.
template <class T>
constexpr int parts = E<T> / E<double>;

template <class T>
QSIM_INLINE void store_lanes(T* to, const Doubles* values) {
  if constexpr (sizeof(T) == 8) {
    store(to, values[0]);
  } else {
    for (int part = 0; part < parts<T>; ++part)
      for (int e = 0; e < doubles; ++e) to[part * doubles + e] = static_cast<T>(values[part][e]);
  }
}

template <class T>
QSIM_INLINE void multiply_by(V<T>& re, V<T>& im, V<T> c, V<T> s) {
  const V<T> turned = re * s + im * c;
  re = re * c - im * s;
  im = turned;
}

template <class T>
void affine(const batch::Affine& map, const double* slots, double* values) {
  for (Index k = 0; k < map.count; ++k, values += E<T>) {
    for (int part = 0; part < E<T>; part += doubles) {
      Doubles sum = Doubles{} + map.constant[k];
      for (Index j = map.offset[k]; j < map.offset[k + 1]; ++j)
        sum += map.coefficient[j] * load(slots + Index{E<T>} * map.slot[j] + part);
      store(values + part, sum);
    }
  }
}

// x = n pi/2 + r with |r| <= pi/4, pi/2 in three parts of 33 bits whose products with n are exact, then Taylor series.
QSIM_INLINE void cosine(Doubles x, Doubles& c, Doubles& s) {
  constexpr double magic = 6755399441055744.0;  // 1.5 . 2^52: adding it rounds to whole numbers
  const Doubles shifted = x * 0x1.45f306dc9c883p-1 + magic;
  const Words n = reinterpret_cast<Words>(shifted);
  const Doubles whole = shifted - magic;
  const Doubles r = ((x - whole * 0x1.921fb544p+0) - whole * 0x1.0b4611a6p-34) - whole * 0x1.3198a2e037073p-69;
  const Doubles q = r * r;
  const Doubles series_s =
      q * (-1.0 / 6 +
           q * (1.0 / 120 + q * (-1.0 / 5040 + q * (1.0 / 362880 + q * (-1.0 / 39916800 +
                                                                        q * (1.0 / 6227020800.0 +
                                                                             q * (-1.0 / 1307674368000.0 +
                                                                                  q * (1.0 / 355687428096000.0))))))));
  const Doubles series_c =
      q * q *
      (1.0 / 24 +
       q * (-1.0 / 720 +
            q * (1.0 / 40320 + q * (-1.0 / 3628800 + q * (1.0 / 479001600 + q * (-1.0 / 87178291200.0 +
                                                                                 q * (1.0 / 20922789888000.0)))))));
  const Words of_sine = reinterpret_cast<Words>(r + r * series_s);
  const Words of_cosine = reinterpret_cast<Words>(1.0 - (0.5 * q - series_c));
  const Words odd = -(n & 1);
  s = reinterpret_cast<Doubles>(((odd & of_cosine) | (~odd & of_sine)) ^ ((n & 2) << 62));
  c = reinterpret_cast<Doubles>(((odd & of_sine) | (~odd & of_cosine)) ^ (((n + 1) & 2) << 62));
}

// All ones in the lanes beyond what `cosine` takes, NaN included.
QSIM_INLINE Words too_wide(Doubles x) {
  return ~((x <= batch::widest_angle) & (x >= -batch::widest_angle));
}

QSIM_INLINE bool any(Words mask) {
  long long all = 0;
  for (int e = 0; e < doubles; ++e) all |= mask[e];
  return all != 0;
}

template <class T>
bool cosines(const double* angles, Index count, T* pairs) {
  Words wide{};
  for (Index k = 0; k < count; ++k, angles += E<T>, pairs += 2 * E<T>) {
    Doubles c[parts<T>], s[parts<T>];
    for (int part = 0; part < parts<T>; ++part) {
      const Doubles x = load(angles + part * doubles);
      wide |= too_wide(x);
      cosine(x, c[part], s[part]);
    }
    store_lanes(pairs, c);
    store_lanes(pairs + E<T>, s);
  }
  return !any(wide);
}

template <class T>
void turn(T* amps, const double* costs, double angle, Index begin, Index end) {
  for (Index i = begin; i < end; i += doubles) {
    Doubles c, s;
    cosine(angle * load(costs + i), c, s);
    for (int e = 0; e < doubles; ++e) {
      T* at = amps + 2 * (i + e);
      const double re = static_cast<double>(at[0]), im = static_cast<double>(at[1]);
      at[0] = static_cast<T>(re * c[e] + im * s[e]);
      at[1] = static_cast<T>(im * c[e] - re * s[e]);
    }
  }
}

template <class T>
void table(const batch::TableStep& step, const T* coefficients, T* entries) {
  V<T> c = V<T>{} + T(1), s{};
  if (step.factor >= 0) {
    c = load(coefficients + 2 * step.factor * E<T>);
    s = load(coefficients + (2 * step.factor + 1) * E<T>);
  }
  for (Index j = 0; j < step.count; ++j) {
    T* to = entries + 2 * E<T> * step.pairs[2 * j];
    const T* from = entries + 2 * E<T> * step.pairs[2 * j + 1];
    V<T> re = load(from), im = load(from + E<T>);
    multiply_by<T>(re, im, c, s);
    store(to, re);
    store(to + E<T>, im);
  }
}

template <class T, int R>
void sweep(const batch::Sweep<T>& work, T* amps) {
  constexpr int rows = 1 << R;
  for (Index item = 0; item < work.count; ++item) {
    const Entry base = work.bases[item];
    V<T> re[rows], im[rows];
#pragma GCC unroll 8
    for (int row = 0; row < rows; ++row) {
      const int i = base ^ work.offset[row];
      const T* at = amps + Index{2 * E<T>} * i;
      re[row] = load(at), im[row] = load(at + E<T>);
      if (work.numbers != nullptr)
        multiply_by<T>(re[row], im[row], V<T>{} + work.numbers[2 * i], V<T>{} + work.numbers[2 * i + 1]);
      for (int f = 0; f < work.num_factors; ++f) {
        const T* factor = work.factors[f].table + Index{2 * E<T>} * work.factors[f].entry[i];
        multiply_by<T>(re[row], im[row], load(factor), load(factor + E<T>));
      }
    }
#pragma GCC unroll 3
    for (int k = 0; k < R; ++k) {
      const V<T> c = load(work.rotation[k]), given = load(work.rotation[k] + E<T>);
      const V<T> s = work.negative[k] ? -given : given;
      if (work.imaginary[k]) {
#pragma GCC unroll 8
        for (int row = 0; row < rows; ++row) {
          if ((row >> k & 1) != 0) continue;
          const int other = row | 1 << k;
          const V<T> a = re[row], b = im[row];
          re[row] = c * a + s * im[other];
          im[row] = c * b - s * re[other];
          re[other] = c * re[other] + s * b;
          im[other] = c * im[other] - s * a;
        }
      } else {
#pragma GCC unroll 8
        for (int row = 0; row < rows; ++row) {
          if ((row >> k & 1) != 0) continue;
          const int other = row | 1 << k;
          const V<T> a = re[row], b = im[row];
          re[row] = c * a - s * re[other];
          im[row] = c * b - s * im[other];
          re[other] = s * a + c * re[other];
          im[other] = s * b + c * im[other];
        }
      }
    }
#pragma GCC unroll 8
    for (int row = 0; row < rows; ++row) {
      T* at = amps + Index{2 * E<T>} * (base ^ work.offset[row]);
      store(at, re[row]);
      store(at + E<T>, im[row]);
    }
  }
}

template <class T>
void dense(const batch::Dense<T>& work, T* amps) {
  for (Index item = 0; item < work.count; ++item) {
    for (int row = 0; row < work.num_rows; ++row) {
      const T* at = amps + Index{2 * E<T>} * (work.bases[item] ^ work.offset[row]);
      store(work.scratch + 2 * row * E<T>, load(at));
      store(work.scratch + (2 * row + 1) * E<T>, load(at + E<T>));
    }
    const T* entry = work.matrix;
    for (int row = 0; row < work.num_rows; ++row) {
      V<T> re{}, im{};
      for (int in = 0; in < work.num_rows; ++in, entry += 2) {
        const V<T> a = load(work.scratch + 2 * in * E<T>), b = load(work.scratch + (2 * in + 1) * E<T>);
        re += entry[0] * a - entry[1] * b;
        im += entry[0] * b + entry[1] * a;
      }
      T* at = amps + Index{2 * E<T>} * (work.bases[item] ^ work.offset[row]);
      store(at, re);
      store(at + E<T>, im);
    }
  }
}

template <class T>
void gather(const Entry* source, Index size, const T* from, T* to) {
  for (Index i = 0; i < size; ++i, to += 2 * E<T>) {
    const T* at = from + Index{2 * E<T>} * source[i];
    store(to, load(at));
    store(to + E<T>, load(at + E<T>));
  }
}

// Lanes `part . doubles` and on, as doubles.
template <class T>
QSIM_INLINE Doubles widen(const T* from, int part) {
  if constexpr (sizeof(T) == 8) {
    return load(from);
  } else {
    Doubles wide{};
    for (int e = 0; e < doubles; ++e) wide[e] = static_cast<double>(from[part * doubles + e]);
    return wide;
  }
}

template <class T>
void weights(const T* amps, Index size, Bits x, bool imaginary, double* result) {
  for (Index i = 0; i < size; ++i) {
    const T* ket = amps + 2 * E<T> * i;
    const T* bra = amps + 2 * E<T> * static_cast<Index>(static_cast<Bits>(i) ^ x);
    for (int part = 0; part < parts<T>; ++part, result += doubles) {
      const Doubles a = widen(bra, part), b = widen(bra + E<T>, part), c = widen(ket, part),
                    d = widen(ket + E<T>, part);
      store(result, imaginary ? a * d - b * c : a * c + b * d);
    }
  }
}

template <class T>
void fold(double* values, Index size, int position) {
  const Index half = Index{1} << position;
  double* to = values;
  for (Index high = 0; high < size; high += 2 * half)
    for (Index low = 0; low < half; ++low)
      for (int part = 0; part < parts<T>; ++part, to += doubles) {
        const double* at = values + (high + low) * E<T> + part * doubles;
        store(to, load(at) + load(at + half * E<T>));
      }
}

template <class T>
void transform(double* values, Index size, int position) {
  const Index half = Index{1} << position;
  for (Index high = 0; high < size; high += 2 * half)
    for (Index low = 0; low < half; ++low)
      for (int part = 0; part < parts<T>; ++part) {
        double* at = values + (high + low) * E<T> + part * doubles;
        const Doubles a = load(at), b = load(at + half * E<T>);
        store(at, a + b);
        store(at + half * E<T>, a - b);
      }
}

template <class T>
constexpr batch::Kernels<T> batch_kernels_of() {
  return {affine<T>,    cosines<T>, table<T>,   {sweep<T, 0>, sweep<T, 1>, sweep<T, 2>, sweep<T, 3>},
          dense<T>,     gather<T>,  weights<T>, fold<T>,
          transform<T>, turn<T>};
}

constexpr batch::KernelTable batch_table{QSIM_VECTOR_BYTES == 64 ? 3 : 2, batch_kernels_of<float>(),
                                         batch_kernels_of<double>()};

}  // namespace batch_kernels
}  // namespace

const batch::KernelTable* batch_kernel_table() {
  return &batch_kernels::batch_table;
}

}  // namespace qsim::cpu::QSIM_ISA
