// Two states through one program, and the slopes read on the way.
#include <algorithm>
#include <cmath>

#include "qsim/bits.hpp"
#include "tile_program.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr double negligible = 1e-15;
constexpr int leaf_bits = 3;  // at most: of the weights that are added one by one

}  // namespace

// Moments: X, Y or both at every position.
template <class T>
void Program<T>::read_moments(int layer) {
  const std::size_t first = next_probe_;
  while (next_probe_ < sorted_probes_.size() && sorted_probes_[next_probe_].layer == layer) ++next_probe_;
  if (next_probe_ == first) return;
  Reading reading{};
  reading.first_sum = num_sums_;
  int which[max_tile_bits] = {};
  for (std::size_t p = first; p < next_probe_; ++p) {
    const Probe& probe = sorted_probes_[p];
    which[probe.position] |= (std::abs(probe.x) > negligible ? 1 : 0) | (std::abs(probe.y) > negligible ? 2 : 0);
  }
  const int most = table_.rotations < 3 ? 1 : 2;  // positions read together: what fits in the registers
  std::size_t sum_at[max_tile_bits] = {};
  for (int letters : {3, 1, 2}) {
    Bits positions = 0;
    for (int p = lane_bits_; p < bits_; ++p)
      if (which[p] == letters) positions |= bit(p - lane_bits_);
    while (positions != 0) {
      Moments moments{Index{1} << (bits_ - lane_bits_), {}, 0, {}, letters};
      Bits chosen = 0;
      for (; positions != 0 && moments.num < most; positions &= positions - 1) {
        const int v = lowest_bit(positions);
        chosen |= bit(v);
        moments.place[moments.num++] = place_[static_cast<std::size_t>(v)];
        sum_at[v + lane_bits_] = num_sums_;
        num_sums_ += 2;
      }
      moments.course = course(chosen, 0);
      reading.moments.push_back(moments);
    }
  }
  for (int p = 0; p < std::min(lane_bits_, bits_); ++p) {
    if (which[p] == 0) continue;
    reading.lanes.push_back(p);
    sum_at[p] = num_sums_;
    num_sums_ += 2;
  }
  for (std::size_t p = first; p < next_probe_; ++p) {
    const Probe& probe = sorted_probes_[p];
    const std::size_t sum = sum_at[probe.position];
    if (std::abs(probe.x) > negligible) shares_.push_back({sum, probe.output, scale_ * scale_ * probe.x});
    if (std::abs(probe.y) > negligible) shares_.push_back({sum + 1, probe.output, scale_ * scale_ * probe.y});
  }
  add_reading(std::move(reading));
}

template <class T>
void Program<T>::read_parities(int layer) {
  const std::size_t first = next_parity_probe_;
  while (next_parity_probe_ < sorted_parity_probes_.size() && sorted_parity_probes_[next_parity_probe_].layer == layer)
    ++next_parity_probe_;
  if (next_parity_probe_ == first) return;
  Reading reading{};
  std::vector<Parity> parities;
  std::vector<Bits> masks;
  for (std::size_t p = first; p < next_parity_probe_; ++p) {
    const ParityProbe& probe = sorted_parity_probes_[p];
    std::size_t at = 0;
    while (at < masks.size() && (masks[at] != probe.mask || parities[at].outer != probe.outer_mask)) ++at;
    if (at == masks.size()) {
      masks.push_back(probe.mask);
      parities.push_back({0, 0, probe.outer_mask, num_sums_++});
    }
    shares_.push_back({parities[at].sum, probe.output, scale_ * scale_ * probe.weight});
  }
  // The kernel that makes the weights sums them over the lowest vector bits; what is left is a list of masks for each
  // of the signs it does so with.
  constexpr Bits summed = bit(weight_bits) - 1;
  reading.weights = {Index{1} << (bits_ - lane_bits_), course(summed, 0), {}, 0};
  for (Bits v = 0; v <= summed; ++v) reading.weights.place[v] = place_of(v);
  const int bits = bits_ - weight_bits;
  for (Bits signs = 0; signs <= summed; ++signs) {
    std::vector<Parity> own;
    std::vector<Bits> rest;
    for (std::size_t i = 0; i < masks.size(); ++i) {
      if ((masks[i] >> lane_bits_ & summed) != signs) continue;
      own.push_back(parities[i]);
      rest.push_back((masks[i] & (bit(lane_bits_) - 1)) | masks[i] >> (lane_bits_ + weight_bits) << lane_bits_);
    }
    if (own.empty()) continue;
    reading.weights.wanted |= 1U << signs;
    add_parities(reading, static_cast<Index>(signs << bits), bits, std::move(own), std::move(rest));
  }
  weighs_ = true;
  add_reading(std::move(reading));
}

template <class T>
void Program<T>::add_reading(Reading reading) {
  steps_.push_back({Kind::read, static_cast<std::uint32_t>(readings_.size()), 0, 0});
  read_steps_ = steps_.size();
  readings_.push_back(std::move(reading));
}

template <class T>
void Program<T>::add_parities(Reading& reading, Index offset, int bits, std::vector<Parity> parities,
                              std::vector<Bits> masks) {
  if (bits <= leaf_bits) {
    for (std::size_t i = 0; i < parities.size(); ++i) {
      parities[i].offset = offset;
      parities[i].signs = static_cast<unsigned>(masks[i]);
      reading.parities.push_back(parities[i]);
    }
    return;
  }
  const Bits top = bit(bits - 1);
  std::vector<Parity> odd;
  std::vector<Bits> odd_masks;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if ((masks[i] & top) != 0) {
      odd.push_back(parities[i]);
      odd_masks.push_back(masks[i] ^ top);
    } else {
      parities[kept] = parities[i];
      masks[kept++] = masks[i];
    }
  }
  parities.resize(kept);
  masks.resize(kept);
  const Index half = Index{1} << (bits - 1);
  reading.folds.push_back({offset, half, (masks.empty() ? 0 : 1) | (odd.empty() ? 0 : 2)});
  if (!masks.empty()) add_parities(reading, offset, bits - 1, std::move(parities), std::move(masks));
  if (!odd.empty()) add_parities(reading, offset + half, bits - 1, std::move(odd), std::move(odd_masks));
}

template <class T>
void Program<T>::read(const Reading& reading, const T* ket, const T* bra, Bits base, double* weights,
                      double* sums) const {
  double part[4];
  std::size_t sum = reading.first_sum;
  for (const Moments& moments : reading.moments) {
    kernels_.moments(moments, ket, bra, part);
    for (int i = 0; i < 2 * moments.num; ++i) sums[sum++] += part[i];
  }
  const Index vectors = Index{1} << (bits_ - lane_bits_);
  for (const int lane : reading.lanes) {
    kernels_.lane_moments(vectors, lane, ket, bra, part);
    sums[sum++] += part[0];
    sums[sum++] += part[1];
  }
  if (reading.parities.empty()) return;
  kernels_.weigh(reading.weights, ket, bra, weights);
  for (const Fold& fold : reading.folds)
    kernels_.fold(weights + fold.offset, weights + fold.offset + fold.half, fold.half, fold.which);
  const unsigned leaf = 1U << std::min(leaf_bits, bits_ - weight_bits);
  for (const Parity& parity : reading.parities) {
    double total = 0;
    for (unsigned e = 0; e < leaf; ++e) {
      const double weight = weights[parity.offset + e];
      total += odd_parity(e & parity.signs) ? -weight : weight;
    }
    sums[parity.sum] += odd_parity(base & parity.outer) ? -total : total;
  }
}

template <class T>
std::size_t Program<T>::pair_scratch_bytes() const {
  const std::size_t tile = (std::size_t{2} << bits_) * sizeof(T);
  return scratch_bytes() + tile + 64 + (weighs_ ? sizeof(double) << bits_ : 0);
}

template <class T>
void Program<T>::run_pair(T* ket, T* bra, Bits base, const T* next, void* scratch, double* sums, bool store) const {
  T* tile = static_cast<T*>(scratch);
  T* bra_tile = tile + (std::size_t{2} << bits_);
  auto* weights = reinterpret_cast<double*>(bra_tile + (std::size_t{2} << bits_));
  T* copied = reinterpret_cast<T*>(weights + (weighs_ ? std::size_t{1} << bits_ : 0));
  auto* own = reinterpret_cast<Factor<T>*>(copied + (copied_ + 15) / 16 * 16);
  const Factor<T>* factors = factors_at(base, copied, own);
  kernels_.gather(rows_, ket + 2 * base, tile);
  kernels_.gather(rows_, bra + 2 * base, bra_tile);
  const std::size_t stop = store ? steps_.size() : read_steps_;
  for (std::size_t s = 0; s < stop; ++s) {
    const Step& step = steps_[s];
    if (step.kind == Kind::read) {
      read(readings_[step.index], tile, bra_tile, base, weights, sums);
      continue;
    }
    apply(step, base, factors, tile);
    apply(step, base, factors, bra_tile);
  }
  if (!store) return;
  const Complex factor = factor_at(base);
  kernels_.scatter(rows_, tile, ket + 2 * base, next, factor.re, factor.im, nullptr);
  kernels_.scatter(rows_, bra_tile, bra + 2 * base, bra + (next - ket), factor.re, factor.im, nullptr);
}

template <class T>
void Program<T>::add_slopes(const double* sums, double* slopes) const {
  for (const Share& share : shares_) slopes[share.output] += share.weight * sums[share.sum];
}

template class Program<float>;
template class Program<double>;

}  // namespace qsim::cpu::tile
