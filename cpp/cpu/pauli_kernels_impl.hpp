// Kernels of Pauli sums, compiled once per instruction set behind kernels_impl.hpp, whose vectors they use.
#pragma once

#include "pauli_kernels.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace pauli_kernels {

using pauli::Forest;
using pauli::Group;
using pauli::Node;
using pauli::Output;

constexpr int D = doubles;  // products per vector, so also amplitudes per pair of vectors of doubles
constexpr int d_bits = D == 8 ? 3 : D == 4 ? 2 : 1;

// Amplitudes v * D, ... as two vectors.
QSIM_INLINE void load_pair(const double* amps, Bits v, Doubles (&pair)[2]) {
  const double* from = amps + v * 2 * static_cast<Bits>(D);
  pair[0] = load(from);
  pair[1] = load(from + D);
}

// Fetch what lies where vector v of amplitudes lies in another block.
QSIM_INLINE void prefetch(const double* next, Bits v) {
  for (int line = 0; line < 2 * D; line += 8) __builtin_prefetch(next + v * 2 * static_cast<Bits>(D) + line, 0, 2);
}

// How the partners of a vector of amplitudes are found: re and im exchanged where the product is imaginary.
struct Partner {
  Bits x;
  bool swapped;
  Shuffle<double> shuffle;
  QSIM_INLINE Partner of(const Group& group) {
    const int inside = group.x_lane & (D / 2 - 1);
    return {group.x, group.x_lane >= D / 2, Shuffle<double>::exchange(2 * inside + (group.imaginary ? 1 : 0))};
  }
};

// The terms of D products, re and im parts apart.
QSIM_INLINE void terms_of(const double* own, const double* partner, Bits v, const Partner& how, Doubles (&left)[2],
                          Doubles (&right)[2]) {
  load_pair(own, v, left);
  Doubles other[2];
  load_pair(partner, v ^ how.x, other);
  right[0] = how.shuffle(how.swapped ? other[1] : other[0]);
  right[1] = how.shuffle(how.swapped ? other[0] : other[1]);
}

// Two vectors of terms (a0 a1 a2 a3 ...), (b0 b1 b2 b3 ...) -> (a0+a1, b0+b1, a2+a3, ...): the order of lanes here.
// Imaginary parts are re(p) im(a) - im(p) re(a): the odd term minus the even one.
QSIM_INLINE Doubles fold(Doubles a, Doubles b, double even_sign) {
#if QSIM_VECTOR_BYTES == 64
  const __m512d x = reinterpret_cast<__m512d>(a), y = reinterpret_cast<__m512d>(b);
  const Doubles even = reinterpret_cast<Doubles>(_mm512_unpacklo_pd(x, y));
  const Doubles odd = reinterpret_cast<Doubles>(_mm512_unpackhi_pd(x, y));
#elif QSIM_VECTOR_BYTES == 32
  const __m256d x = reinterpret_cast<__m256d>(a), y = reinterpret_cast<__m256d>(b);
  const Doubles even = reinterpret_cast<Doubles>(_mm256_unpacklo_pd(x, y));
  const Doubles odd = reinterpret_cast<Doubles>(_mm256_unpackhi_pd(x, y));
#else
  const Doubles even{a[0], b[0]}, odd{a[1], b[1]};
#endif
  return odd + even * even_sign;
}

// sum over v < 2^bits of (-1)^parity(v & z) term(v), for Parts vectors at a time: even and odd parities are summed
// apart, so no sign is multiplied.
constexpr int unroll_bits = 2;

template <int Parts, class Term>
QSIM_INLINE void signed_sum(int bits, Bits z, Term term, Doubles (&result)[Parts]) {
  constexpr Bits unroll = Bits{1} << unroll_bits;
  for (int p = 0; p < Parts; ++p) result[p] = Doubles{};
  if (bits < unroll_bits) {
    for (Bits v = 0; v < Bits{1} << bits; ++v) {
      Doubles sum[Parts]{};
      term(v, sum);
      for (int p = 0; p < Parts; ++p) result[p] += odd_parity(v & z) ? -sum[p] : sum[p];
    }
    return;
  }
  const Bits outer = z >> unroll_bits;
  const int pivot = outer == 0 ? 0 : lowest_bit(outer);
  const Bits low = bit(pivot) - 1, rest = outer & ~bit(pivot);
  const int classes = outer == 0 ? 1 : 2;
  const Bits count = Bits{1} << (bits - unroll_bits - (classes - 1));
  for (int odd = 0; odd < classes; ++odd) {
    Doubles sums[unroll][Parts]{};
    for (Bits o = 0; o < count; ++o) {
      Bits v = o;
      if (classes == 2) {
        v = (o & ~low) << 1 | (o & low);
        v |= static_cast<Bits>(odd_parity(v & rest) != (odd != 0)) << pivot;
      }
      v <<= unroll_bits;
#pragma GCC unroll 4
      for (Bits u = 0; u < unroll; ++u) term(v | u, sums[u]);
    }
    for (Bits u = 0; u < unroll; ++u)
      for (int p = 0; p < Parts; ++p) result[p] += odd_parity(u & z) != (odd != 0) ? -sums[u][p] : sums[u][p];
  }
}

// Entry e becomes the sum of all lanes under the signs (-1)^parity(lane & e).
QSIM_INLINE Doubles transform_lanes(Doubles v) {
#pragma GCC unroll 3
  for (int mask = 1; mask < D; mask *= 2) {
    Doubles signs{};
    for (int e = 0; e < D; ++e) signs[e] = (e & mask) != 0 ? -1.0 : 1.0;
    v = Shuffle<double>::exchange(mask)(v) + signs * v;
  }
  return v;
}

QSIM_INLINE void add_outputs(const Forest& forest, const Node& node, const double* entries, Bits block, double* sums) {
  for (int o = node.first_output; o < node.last_output; ++o) {
    const Output& output = forest.outputs[o];
    const double value = entries[output.entry];
    for (Index s = output.first; s < output.last; ++s)
      sums[s] += static_cast<double>(1 - 2 * static_cast<int>(odd_parity(forest.z_high[s] & block))) * value;
  }
}

// All signed sums of 2^bits vectors.
QSIM_INLINE void transform(int bits, const double* data, double* entries) {
  constexpr int most = 1 << pauli::leaf_bits;
  Doubles v[most];
  const int count = 1 << bits;
  for (int i = 0; i < count; ++i) v[i] = load(data + i * D);
  for (int step = 1; step < count; step *= 2)
    for (int i = 0; i < count; ++i)
      if ((i & step) == 0) {
        const Doubles low = v[i], high = v[i + step];
        v[i] = low + high;
        v[i + step] = low - high;
      }
  for (int i = 0; i < count; ++i) store(entries + i * D, transform_lanes(v[i]));
}

void descend(const Forest& forest, int index, const double* data, double* scratch, Bits block, double* sums) {
  const Node& node = forest.nodes[index];
  if (node.leaf) {
    double entries[D << pauli::leaf_bits];
    if (node.whole) {
      transform(node.bits, data, entries);
    } else {
      Doubles lanes[1];
      const auto term = [&](Bits v, Doubles(&sum)[1]) { sum[0] += load(data + v * static_cast<Bits>(D)); };
      signed_sum<1>(node.bits, node.z, term, lanes);
      store(entries, transform_lanes(lanes[0]));
    }
    add_outputs(forest, node, entries, block, sums);
    return;
  }
  const Index half = Index{1} << (node.bits - 1 + d_bits);
  if (node.sum >= 0) {
    for (Index i = 0; i < half; i += D) store(scratch + i, load(data + i) + load(data + half + i));
    descend(forest, node.sum, scratch, scratch + half, block, sums);
  }
  if (node.difference >= 0) {
    for (Index i = 0; i < half; i += D) store(scratch + i, load(data + i) - load(data + half + i));
    descend(forest, node.difference, scratch, scratch + half, block, sums);
  }
}

void block_sums(const Forest& forest, Index first, Index last, const double* own, const double* partner,
                const double* next, Bits block, double* scratch, double* sums) {
  const int bits = forest.block_bits - d_bits;
  for (Index g = first; g < last; ++g) {
    const Group& group = forest.groups[g];
    const Node& root = forest.nodes[group.root];
    const Partner how = Partner::of(group);
    const double even_sign = group.imaginary ? -1.0 : 1.0;
    if (root.leaf && !root.whole) {
      Doubles parts_of[2];
      const auto term = [&](Bits v, Doubles(&sum)[2]) {
        Doubles left[2], right[2];
        terms_of(own, partner, v, how, left, right);
        sum[0] += left[0] * right[0];
        sum[1] += left[1] * right[1];
      };
      if (next == nullptr) {
        signed_sum<2>(bits, root.z, term, parts_of);
      } else {
        const auto fetching = [&](Bits v, Doubles(&sum)[2]) {
          prefetch(next, v);
          term(v, sum);
        };
        signed_sum<2>(bits, root.z, fetching, parts_of);
        next = nullptr;  // once is enough
      }
      double entries[D];
      store(entries, transform_lanes(fold(parts_of[0], parts_of[1], even_sign)));
      add_outputs(forest, root, entries, block, sums);
      continue;
    }
    for (Bits v = 0; v < Bits{1} << bits; ++v) {
      Doubles left[2], right[2];
      terms_of(own, partner, v, how, left, right);
      if (next != nullptr) prefetch(next, v);
      store(scratch + v * static_cast<Bits>(D), fold(left[0] * right[0], left[1] * right[1], even_sign));
    }
    next = nullptr;
    descend(forest, group.root, scratch, scratch + (Index{1} << forest.block_bits), block, sums);
  }
}

void to_doubles(const float* from, Index count, const float* next, double* to) {
  for (Index i = 0; i < count; i += E<float>) {
    __builtin_prefetch(next + i, 0, 2);
    const V<float> v = load(from + i);
    store(to + i, widen<float>(v, 0));
    store(to + i + D, widen<float>(v, 1));
  }
}

constexpr pauli::KernelTable table{block_sums, to_doubles};

}  // namespace pauli_kernels
}  // namespace

const pauli::KernelTable* pauli_kernel_table() {
  return &pauli_kernels::table;
}

}  // namespace qsim::cpu::QSIM_ISA
