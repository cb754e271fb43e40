#include "blocks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qsim::cpu {
namespace {

constexpr int least_block_bits = 10, most_blocks_bits = 14;
constexpr Index thread_blocks = 4;  // a thread is worth waking for this many

template <class T>
double weight_of(const T* amplitude) {
  const double re = static_cast<double>(amplitude[0]), im = static_cast<double>(amplitude[1]);
  return re * re + im * im;
}

template <class T>
double sum_of(const T* amps, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += weight_of(amps + 2 * i);
  return sum;
}

}  // namespace

int Blocks::bits(int num_qubits) {
  return std::min(num_qubits, std::max(least_block_bits, num_qubits - most_blocks_bits));
}

Blocks::Blocks(const double* block_weights, int num_qubits)
    : size(Index{1} << bits(num_qubits)), weights(block_weights, block_weights + number(num_qubits)) {}

template <class T>
Blocks::Blocks(const Runner& runner, const T* amps, int num_qubits)
    : size(Index{1} << bits(num_qubits)), weights(static_cast<std::size_t>(number(num_qubits))) {
  const Index blocks = static_cast<Index>(weights.size());
  const Index strip = strip_vectors * runner.table.vector_bytes / static_cast<Index>(2 * sizeof(T));
  const auto weights_of = kernels_of<T>(runner.table).strip_weights;
  auto task = [&](Index begin, Index end, int, Watch&) {
    std::vector<double> strips(static_cast<std::size_t>(size / strip));
    for (Index b = begin; b < end; ++b) {
      const T* block = amps + 2 * b * size;
      double& weight = weights[static_cast<std::size_t>(b)];
      if (strips.empty()) {
        weight = sum_of(block, size);
        continue;
      }
      weights_of(block, size / strip, strips.data());
      weight = folded(strips.data(), size / strip);
    }
  };
  const auto threads = static_cast<int>(std::clamp<Index>(blocks / thread_blocks, 1, runner.threads));
  parallel_for(threads, blocks, 2 * thread_blocks, runner.watch, task);
}

template <class T>
BlockSearch<T>::BlockSearch(const Runner& runner, const T* amps, Index block_size)
    : kernels_(kernels_of<T>(runner.table)), amps_(amps), block_size_(block_size) {
  block_.size = static_cast<int>(std::min<Index>(segment_size, block_size));
  for (Index number = block_size / block_.size;; number /= node) {
    levels_.emplace_back(static_cast<std::size_t>((number + node - 1) / node * node),
                         std::numeric_limits<double>::infinity());
    if (number <= most_at_top || number % node != 0) break;
  }
  block_.levels = static_cast<int>(levels_.size());
  block_.top = static_cast<Index>(levels_.back().size());
  for (std::size_t k = 0; k < levels_.size(); ++k) block_.ends[k] = levels_[k].data();
}

template <class T>
void BlockSearch<T>::read(Index block) {
  const Index segments = block_size_ / block_.size;
  block_.amps = amps_ + 2 * block * block_size_;
  double* ends = levels_[0].data();
  if (block_.size == segment_size) weight_ = kernels_.segment_ends(block_.amps, segments, ends);
  else weight_ = ends[0] = sum_of(block_.amps, block_.size);
  block_.highest = std::nextafter(weight_, 0.0);
  for (std::size_t k = 1; k < levels_.size(); ++k)
    for (std::size_t i = 0; i < levels_[k - 1].size() / node; ++i) levels_[k][i] = levels_[k - 1][node * i + node - 1];
}

template <class T>
void BlockSearch<T>::find(const double* targets, Index count, bool next_follows, std::uint32_t* places) {
  block_.next_amps = block_.amps + (next_follows ? 2 * block_size_ : 0);
  block_.next_size = next_follows ? block_size_ : 0;
  kernels_.search(block_, targets, count, places);
}

template <class T>
void BlockSearch<T>::weights(double* result) const {
  for (Index i = 0; i < block_size_; ++i) result[i] = weight_of(block_.amps + 2 * i);
}

#define QSIM_INSTANTIATE(T)                              \
  template Blocks::Blocks(const Runner&, const T*, int); \
  template class BlockSearch<T>;
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
