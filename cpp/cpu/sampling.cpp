#include "sampling.hpp"

#include <algorithm>

#include "memory.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr int least_block_bits = 11, most_blocks_bits = 14;
constexpr int most_segments = 8;              // of a block: cumulated side by side
constexpr Index part_shots = Index{1} << 16;  // sorted at a time
constexpr Index thread_shots = Index{1} << 13;
constexpr Index thread_blocks = 4;
constexpr Index task_blocks = 16;

int threads_for(const Runner& runner, Index items, Index least) {
  return static_cast<int>(std::clamp<Index>(items / least, 1, runner.threads));
}

template <class T>
double weight(const T* amplitude) {
  const double re = static_cast<double>(amplitude[0]), im = static_cast<double>(amplitude[1]);
  return re * re + im * im;
}

}  // namespace

void uniforms(const Runner& runner, const Philox& source, Index first, Index count, double* result) {
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index k = begin; k < end; ++k) result[k] = source.uniform(static_cast<Bits>(first + k));
  };
  parallel_for(threads_for(runner, count, thread_shots), count, thread_shots, runner.watch, task);
}

template <class T>
Sampler::Sampler(const Runner& runner, const T* amps, int num_qubits)
    : num_qubits_(num_qubits),
      block_bits_(std::min(num_qubits, std::max(least_block_bits, num_qubits - most_blocks_bits))),
      ends_(std::size_t{1} << (num_qubits - block_bits_)),
      guide_(ends_.size()) {
  const Index blocks = static_cast<Index>(ends_.size()), size = Index{2} << block_bits_;
  const int lane_qubits = lowest_bit(static_cast<Bits>(runner.table.vector_bytes) / (2 * sizeof(T)));
  const auto norm_of = kernels_of<T>(runner.table).norm;
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index b = begin; b < end; ++b) {
      double sum = 0;
      if (block_bits_ >= lane_qubits) sum = norm_of(amps + b * size, 0, Index{1} << (block_bits_ - lane_qubits));
      else
        for (Index i = 0; i < size; i += 2) sum += weight(amps + i);
      ends_[static_cast<std::size_t>(b)] = sum;
    }
  };
  parallel_for(threads_for(runner, blocks, thread_blocks), blocks, 2 * thread_blocks, runner.watch, task);
  for (Index b = 0; b < blocks; ++b) {
    double& end = ends_[static_cast<std::size_t>(b)];
    if (end > 0) last_block_ = b;
    end = norm_ += end;
  }
  for (Index b = 0, g = 0; g < blocks; ++g) {
    while (b < last_block_ &&
           !(ends_[static_cast<std::size_t>(b)] > norm_ * static_cast<double>(g) / static_cast<double>(blocks)))
      ++b;
    guide_[static_cast<std::size_t>(g)] = static_cast<std::uint32_t>(b);
  }
}

// Numbers sorted by the block they fall in, in order of shot within a block.
struct Sampler::Hits {
  Hits(std::size_t blocks, Index count)
      : first(blocks + 1),
        storage_(std::make_unique<Buffer>(static_cast<std::size_t>(count) * (sizeof(double) + sizeof(std::uint32_t)))),
        target(static_cast<double*>(storage_->data())),
        shot(reinterpret_cast<std::uint32_t*>(target + count)) {}

  [[nodiscard]] Index begin(Index block) const { return first[static_cast<std::size_t>(block)]; }
  [[nodiscard]] Index end(Index block) const { return first[static_cast<std::size_t>(block + 1)]; }

  std::vector<Index> first;  // per block, and the end

 private:
  std::unique_ptr<Buffer> storage_;

 public:
  double* target;  // cumulative weight to find
  std::uint32_t* shot;
};

Sampler::Hits Sampler::sorted(const Runner& runner, const double* numbers, Index count) const {
  const Index blocks = static_cast<Index>(ends_.size());
  const Index parts = (count + part_shots - 1) / part_shots;
  Hits hits(ends_.size(), count);
  const Buffer block_storage(static_cast<std::size_t>(count) * sizeof(std::uint16_t));
  auto* block_of = static_cast<std::uint16_t*>(block_storage.data());
  std::vector<std::uint32_t> room(static_cast<std::size_t>(parts * blocks));  // next place of each part in each block
  auto find = [&](Index begin, Index end, int, Watch&) {
    for (Index part = begin; part < end; ++part) {
      std::uint32_t* histogram = room.data() + part * blocks;
      for (Index k = part * part_shots; k < std::min(count, (part + 1) * part_shots); ++k) {
        const double target = numbers[k] * norm_;
        auto block = static_cast<Index>(guide_[static_cast<std::size_t>(numbers[k] * static_cast<double>(blocks))]);
        // The guide may be one too far where its own product was rounded up.
        while (block > 0 && ends_[static_cast<std::size_t>(block - 1)] > target) --block;
        while (block < last_block_ && !(ends_[static_cast<std::size_t>(block)] > target)) ++block;
        block_of[k] = static_cast<std::uint16_t>(block);
        ++histogram[block];
      }
    }
  };
  const int threads = threads_for(runner, count, thread_shots);
  parallel_for(threads, parts, 1, runner.watch, find);
  Index next = 0;
  for (Index block = 0; block < blocks; ++block) {
    hits.first[static_cast<std::size_t>(block)] = next;
    for (Index part = 0; part < parts; ++part) {
      std::uint32_t& cell = room[static_cast<std::size_t>(part * blocks + block)];
      const std::uint32_t seen = cell;
      cell = static_cast<std::uint32_t>(next);
      next += seen;
    }
  }
  hits.first.back() = next;
  auto place = [&](Index begin, Index end, int, Watch&) {
    for (Index part = begin; part < end; ++part) {
      std::uint32_t* following = room.data() + part * blocks;
      for (Index k = part * part_shots; k < std::min(count, (part + 1) * part_shots); ++k) {
        const std::uint32_t where = following[block_of[k]]++;
        hits.target[where] = numbers[k] * norm_;
        hits.shot[where] = static_cast<std::uint32_t>(k);
      }
    }
  };
  parallel_for(threads, parts, 1, runner.watch, place);
  return hits;
}

// Cumulative weights of the segments of a block side by side: sums of one wait for each other, sums of several don't.
template <int Segments, class T>
void cumulate(const T* amps, Index length, double* cumulative) {
  double sums[Segments] = {};
  for (Index i = 0; i < length; ++i)
    for (int s = 0; s < Segments; ++s) {
      sums[s] += weight(amps + 2 * (s * length + i));
      cumulative[s * length + i] = sums[s];
    }
}

template <class T, class Found>
void Sampler::invert(const T* amps, Index block, const Hits& hits, double* cumulative, Found found) const {
  const Index size = Index{1} << block_bits_, base = block * size;
  const int segments = size < 64 ? 1 : most_segments;
  const Index length = size / segments;
  if (segments == 1) cumulate<1>(amps + 2 * base, length, cumulative);
  else cumulate<most_segments>(amps + 2 * base, length, cumulative);
  double starts[most_segments + 1] = {block == 0 ? 0 : ends_[static_cast<std::size_t>(block - 1)]};
  int last_segment = 0;
  for (int s = 0; s < segments; ++s) {
    const double sum = cumulative[(s + 1) * length - 1];
    starts[s + 1] = starts[s] + sum;
    if (sum > 0) last_segment = s;
  }
  for (Index place = hits.begin(block); place < hits.end(block); ++place) {
    const double target = hits.target[place];
    int s = 0;
    for (int k = 1; k <= last_segment; ++k) s += starts[k] > target ? 0 : 1;
    const double* segment = cumulative + s * length;
    // Rounding may leave a target below the start of its segment, or at its end: the first or last state with weight.
    const double rest = std::max(0.0, target - starts[s]);
    const double* at = segment;
    for (Index half = length / 2; half > 0; half /= 2) at += at[half - 1] > rest ? 0 : half;
    if (!(*at > rest)) at = std::lower_bound(segment, segment + length, segment[length - 1]);
    found(place, base + (at - cumulative));
  }
}

template <class T>
void Sampler::draw(const Runner& runner, const T* amps, const double* numbers, Index count, Index* result) const {
  const Hits hits = sorted(runner, numbers, count);
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    std::vector<double> cumulative(std::size_t{1} << block_bits_);
    for (Index b = begin; b < end; ++b) {
      if (hits.begin(b) == hits.end(b)) continue;
      invert(amps, b, hits, cumulative.data(), [&](Index place, Index state) { result[hits.shot[place]] = state; });
      watch.tick(0);
    }
  };
  const Index blocks = static_cast<Index>(ends_.size());
  parallel_for(threads_for(runner, std::min(blocks, count), thread_blocks), blocks, task_blocks, runner.watch, task);
}

template <class T>
void Sampler::tally(const Runner& runner, const T* amps, const double* numbers, Index count,
                    const std::function<Tally(Index)>& result) const {
  const Hits hits = sorted(runner, numbers, count);
  // A block's list of outcomes takes the place of its targets, their counts that of its shots.
  std::vector<Index> place(ends_.size() + 1);
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    std::vector<double> cumulative(std::size_t{1} << block_bits_);
    std::vector<std::uint32_t> seen(std::size_t{1} << block_bits_);
    std::vector<Bits> used((seen.size() + 63) / 64);
    for (Index b = begin; b < end; ++b) {
      if (hits.begin(b) == hits.end(b)) continue;
      const Index base = b << block_bits_;
      invert(amps, b, hits, cumulative.data(), [&](Index, Index state) {
        const auto i = static_cast<std::size_t>(state - base);
        ++seen[i];
        used[i / 64] |= bit(static_cast<int>(i % 64));
      });
      Index next = hits.begin(b);
      for (std::size_t word = 0; word < used.size(); ++word) {
        for (Bits rest = used[word]; rest != 0; rest &= rest - 1, ++next) {
          const std::size_t i = word * 64 + static_cast<std::size_t>(lowest_bit(rest));
          hits.target[next] = static_cast<double>(i);
          hits.shot[next] = seen[i];
          seen[i] = 0;
        }
        used[word] = 0;
      }
      place[static_cast<std::size_t>(b + 1)] = next - hits.begin(b);
      watch.tick(0);
    }
  };
  const Index blocks = static_cast<Index>(ends_.size());
  const int threads = threads_for(runner, std::min(blocks, count), thread_blocks);
  parallel_for(threads, blocks, task_blocks, runner.watch, task);
  for (std::size_t b = 1; b < place.size(); ++b) place[b] += place[b - 1];
  const Tally all = result(place.back());
  auto compact = [&](Index begin, Index end, int, Watch&) {
    for (Index b = begin; b < end; ++b) {
      Index from = hits.begin(b);
      const Index base = b << block_bits_;
      for (Index to = place[static_cast<std::size_t>(b)]; to < place[static_cast<std::size_t>(b + 1)]; ++to, ++from) {
        all.outcomes[to] = base + static_cast<Index>(hits.target[from]);
        all.counts[to] = hits.shot[from];
      }
    }
  };
  parallel_for(threads, blocks, 4 * task_blocks, runner.watch, compact);
}

#define QSIM_INSTANTIATE(T)                                                                 \
  template Sampler::Sampler(const Runner&, const T*, int);                                  \
  template void Sampler::draw(const Runner&, const T*, const double*, Index, Index*) const; \
  template void Sampler::tally(const Runner&, const T*, const double*, Index, const std::function<Tally(Index)>&) const;
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
