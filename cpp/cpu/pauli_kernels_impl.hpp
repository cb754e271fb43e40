// Kernels of Pauli sums, compiled once per instruction set behind kernels_impl.hpp, whose vectors they use.
#pragma once

#include "pauli_kernels.hpp"

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace pauli_kernels {

using pauli::Branch;
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

// What the next block needs, fetched line by line while this one is worked on: memory is never idle.
class Fetch {
 public:
  Fetch(const void* at, Index bytes) : at_(static_cast<const char*>(at)), end_(at_ + bytes) {}
  [[nodiscard]] bool done() const { return at_ >= end_; }
  [[gnu::always_inline]] void lines(int count) {
    if (done()) return;
    for (int line = 0; line < count; ++line) __builtin_prefetch(at_ + 64 * line, 0, 2);
    at_ += 64 * count;
  }

 private:
  const char* at_;
  const char* end_;
};

constexpr int lines_of_products = (2 * D + 7) / 8;  // memory a vector of them is made from

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

// Vectors of products are made by source(v): of amplitudes, or loaded.
struct Products {
  const double* own;
  const double* partner;
  Partner how;
  double even_sign;
  QSIM_INLINE Doubles of(const Products& p, Bits v) {
    Doubles left[2], right[2];
    terms_of(p.own, p.partner, v, p.how, left, right);
    return fold(left[0] * right[0], left[1] * right[1], p.even_sign);
  }
};

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

// What is the same in every node of a block.
struct Block {
  const Forest& forest;
  Bits number;
  double* sums;
};

QSIM_INLINE void add_outputs(const Block& block, const Branch& branch, Doubles lanes) {
  double entries[D];
  store(entries, transform_lanes(lanes));
  for (int o = branch.first_output; o < branch.last_output; ++o) {
    const Output& output = block.forest.outputs[o];
    const double value = entries[output.entry];
    for (Index s = output.first; s < output.last; ++s) {
      const bool odd = odd_parity(block.forest.z_high[s] & block.number);
      block.sums[s] += static_cast<double>(1 - 2 * static_cast<int>(odd)) * value;
    }
  }
}

void descend(const Block& block, const Node& node, const double* data, double* scratch, Fetch& fetch);

// Digit by digit: all signed sums of 2^Digit neighbours, then each to where its branch wants it.
template <int Digit, class Source>
QSIM_INLINE void branch_off(const Block& block, const Node& node, Source source, double* scratch, Fetch& fetch) {
  constexpr int width = 1 << Digit;
  const Branch* const branches = block.forest.branches;
  const Bits count = Bits{1} << (node.bits - Digit);
  const int sums_of = node.last_branch - node.kept;
  alignas(64) double sums[width][D];
  for (int k = 0; k < sums_of; ++k) store(sums[k], Doubles{});
  for (Bits u = 0; u < count; ++u) {
    fetch.lines(width * lines_of_products);
    Doubles v[width];
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) v[i] = source(u << Digit | static_cast<Bits>(i));
#pragma GCC unroll 4
    for (int step = 1; step < width; step *= 2)
#pragma GCC unroll 16
      for (int i = 0; i < width; ++i)
        if ((i & step) == 0) {
          const Doubles low = v[i], high = v[i + step];
          v[i] = low + high;
          v[i + step] = low - high;
        }
    alignas(64) double all[width][D];
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) store(all[i], v[i]);
    double* at = scratch + u * static_cast<Bits>(D);
    for (int b = node.first_branch; b < node.kept; ++b, at += count * static_cast<Bits>(D))
      store(at, load(all[branches[b].number]));
    for (int k = 0; k < sums_of; ++k) {
      const Branch& branch = branches[node.kept + k];
      const Doubles value = load(all[branch.number]);
      store(sums[k], odd_parity(u & branch.z) ? load(sums[k]) - value : load(sums[k]) + value);
    }
  }
  for (int k = 0; k < sums_of; ++k) add_outputs(block, branches[node.kept + k], load(sums[k]));
  double* const rest = scratch + static_cast<Bits>(node.kept - node.first_branch) * count * static_cast<Bits>(D);
  for (int b = node.first_branch; b < node.kept; ++b, scratch += count * static_cast<Bits>(D))
    descend(block, block.forest.nodes[branches[b].node], scratch, rest, fetch);
}

template <class Source>
QSIM_INLINE void branch_off(const Block& block, const Node& node, Source source, double* scratch, Fetch& fetch) {
  switch (node.digit) {
    case 0: return branch_off<0>(block, node, source, scratch, fetch);
    case 1: return branch_off<1>(block, node, source, scratch, fetch);
    case 2: return branch_off<2>(block, node, source, scratch, fetch);
    case 3: return branch_off<3>(block, node, source, scratch, fetch);
    default: return branch_off<4>(block, node, source, scratch, fetch);
  }
}

void descend(const Block& block, const Node& node, const double* data, double* scratch, Fetch& fetch) {
  branch_off(block, node, [=](Bits v) { return load(data + v * static_cast<Bits>(D)); }, scratch, fetch);
}

void block_sums(const Forest& forest, Index first, Index last, const double* own, const double* partner,
                const void* next, Index bytes, Bits number, double* scratch, double* sums) {
  const Block block{forest, number, sums};
  Fetch fetch(next, bytes);
  for (Index g = first; g < last; ++g) {
    const Group& group = forest.groups[g];
    const Partner how = Partner::of(group);
    const double even_sign = group.imaginary ? -1.0 : 1.0;
    if (group.root.node >= 0) {
      const Products products{own, partner, how, even_sign};
      branch_off(
          block, forest.nodes[group.root.node], [&](Bits v) { return Products::of(products, v); }, scratch, fetch);
      continue;
    }
    const auto term = [&](Bits v, Doubles(&sum)[2]) {
      Doubles left[2], right[2];
      terms_of(own, partner, v, how, left, right);
      sum[0] += left[0] * right[0];
      sum[1] += left[1] * right[1];
    };
    const auto fetching = [&](Bits v, Doubles(&sum)[2]) {
      fetch.lines(lines_of_products);
      term(v, sum);
    };
    Doubles parts[2];
    const int bits = forest.block_bits - d_bits;
    if (fetch.done()) signed_sum<2>(bits, group.root.z, term, parts);
    else signed_sum<2>(bits, group.root.z, fetching, parts);
    add_outputs(block, group.root, fold(parts[0], parts[1], even_sign));
  }
}

void to_doubles(const float* from, Index count, double* to) {
  for (Index i = 0; i < count; i += E<float>) {
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
