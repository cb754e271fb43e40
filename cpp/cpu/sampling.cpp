#include "sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "memory.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr int least_block_bits = 10, most_blocks_bits = 14;
constexpr Index bucket_shots = Index{1} << 7, most_buckets = Index{1} << 12;
constexpr Index part_shots = Index{1} << 16;  // sorted at a time
constexpr Index thread_shots = Index{1} << 13;
constexpr Index thread_blocks = 4, thread_buckets = 4;
constexpr Index task_buckets = 4;

int threads_for(const Runner& runner, Index items, Index least) {
  return static_cast<int>(std::clamp<Index>(items / least, 1, runner.threads));
}

template <class T>
double weight(const T* amplitude) {
  const double re = static_cast<double>(amplitude[0]), im = static_cast<double>(amplitude[1]);
  return re * re + im * im;
}

// The first of `count` ascending numbers above `target`, or the last one; no branch depends on the numbers.
Index above(const double* numbers, Index count, double target) {
  const double* at = numbers;
  for (Index half = count / 2; half > 0; half = count / 2) {
    at += half * static_cast<Index>(at[half - 1] <= target);
    count -= half;
  }
  return at - numbers;
}

// How many buckets for so many shots: a power of two, so that a bucket is the leading bits of a number.
Index buckets_for(Index count) {
  Index buckets = 1;
  while (buckets < most_buckets && 2 * buckets * bucket_shots <= count) buckets *= 2;
  return buckets;
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
    : block_size_(Index{1} << std::min(num_qubits, std::max(least_block_bits, num_qubits - most_blocks_bits))),
      ends_((std::size_t{1} << num_qubits) / static_cast<std::size_t>(block_size_)) {
  const Index blocks = static_cast<Index>(ends_.size());
  const Index lanes = runner.table.vector_bytes / static_cast<Index>(2 * sizeof(T));
  const auto norm_of = kernels_of<T>(runner.table).norm;
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index b = begin; b < end; ++b) {
      const T* block = amps + 2 * b * block_size_;
      double sum = 0;
      if (block_size_ >= lanes) sum = norm_of(block, 0, block_size_ / lanes);
      else
        for (Index i = 0; i < block_size_; ++i) sum += weight(block + 2 * i);
      ends_[static_cast<std::size_t>(b)] = sum;
    }
  };
  parallel_for(threads_for(runner, blocks, thread_blocks), blocks, 2 * thread_blocks, runner.watch, task);
  for (Index b = 0; b < blocks; ++b) {
    double& end = ends_[static_cast<std::size_t>(b)];
    if (end > 0) last_block_ = b;
    end = norm_ += end;
  }
}

// The first block in [from, last] that ends above a cumulative weight, or the last.
Index Sampler::first_above(double target, Index from, Index last) const {
  return from + above(ends_.data() + from, last - from + 1, target);
}

// Cumulative weights to find, sorted by leading bits of their numbers, in order of shot within a bucket.
struct Sampler::Buckets {
  Buckets(const Runner& runner, const double* numbers, Index count, double norm, bool with_shots)
      : size(buckets_for(count)),
        first(static_cast<std::size_t>(size + 1)),
        norm_(norm),
        storage_(static_cast<std::size_t>(count) * (sizeof(double) + sizeof(std::uint32_t))),
        target(static_cast<double*>(storage_.data())),
        other(reinterpret_cast<std::uint32_t*>(target + count)) {
    const Index parts = (count + part_shots - 1) / part_shots;
    const int threads = threads_for(runner, count, thread_shots);
    const auto scale = static_cast<double>(size);
    std::vector<std::uint32_t> room(static_cast<std::size_t>(parts * size));  // next place of each part in each bucket
    auto number = [&](Index begin, Index end, int, Watch&) {
      for (Index part = begin; part < end; ++part) {
        std::uint32_t* histogram = room.data() + part * size;
        for (Index k = part * part_shots; k < std::min(count, (part + 1) * part_shots); ++k)
          ++histogram[static_cast<Index>(numbers[k] * scale)];
      }
    };
    parallel_for(threads, parts, 1, runner.watch, number);
    Index next = 0;
    for (Index bucket = 0; bucket < size; ++bucket) {
      first[static_cast<std::size_t>(bucket)] = next;
      for (Index part = 0; part < parts; ++part) {
        std::uint32_t& cell = room[static_cast<std::size_t>(part * size + bucket)];
        const std::uint32_t seen = cell;
        cell = static_cast<std::uint32_t>(next);
        next += seen;
      }
    }
    first.back() = next;
    auto place = [&](Index begin, Index end, int, Watch&) {
      for (Index part = begin; part < end; ++part) {
        std::uint32_t* following = room.data() + part * size;
        for (Index k = part * part_shots; k < std::min(count, (part + 1) * part_shots); ++k) {
          const std::uint32_t where = following[static_cast<Index>(numbers[k] * scale)]++;
          target[where] = numbers[k] * norm;
          if (with_shots) other[where] = static_cast<std::uint32_t>(k);
        }
      }
    };
    parallel_for(threads, parts, 1, runner.watch, place);
  }

  [[nodiscard]] Index begin(Index bucket) const { return first[static_cast<std::size_t>(bucket)]; }
  [[nodiscard]] Index end(Index bucket) const { return first[static_cast<std::size_t>(bucket + 1)]; }
  // No target of a bucket is below its lowest or above that of the next one: rounding keeps the order.
  [[nodiscard]] double lowest(Index bucket) const {
    return static_cast<double>(bucket) / static_cast<double>(size) * norm_;
  }

  Index size;
  std::vector<Index> first;  // per bucket, and the end

 private:
  double norm_;
  KeptBuffer storage_;

 public:
  double* target;
  std::uint32_t* other;  // shot of each target, where they were asked for
};

// A thread's part of the work: the targets of a bucket by block, and one block ready to be searched.
template <class T>
class Sampler::Search {
 public:
  Search(const Sampler& sampler, const Runner& runner, const T* amps)
      : sampler_(sampler), kernels_(kernels_of<T>(runner.table)), amps_(amps) {
    block_.size = static_cast<int>(std::min<Index>(segment_size, sampler.block_size_));
    const auto infinity = std::numeric_limits<double>::infinity();
    for (Index number = sampler.block_size_ / block_.size;; number /= node) {
      levels_.emplace_back(static_cast<std::size_t>((number + node - 1) / node * node), infinity);
      if (number <= most_at_top || number % node != 0) break;
    }
    block_.levels = static_cast<int>(levels_.size());
    block_.top = static_cast<Index>(levels_.back().size());
    for (std::size_t k = 0; k < levels_.size(); ++k) block_.ends[k] = levels_[k].data();
  }

  // found(basis states, their places in the bucket, number) for the targets of a bucket, block by block.
  template <class Found>
  void bucket(const Buckets& buckets, Index j, Found found) {
    const double* targets = buckets.target + buckets.begin(j);
    const Index count = buckets.end(j) - buckets.begin(j);
    const Index from = sampler_.first_above(buckets.lowest(j), 0, sampler_.last_block_);
    const Index last = sampler_.first_above(buckets.lowest(j + 1), from, sampler_.last_block_);
    if (block_of_.size() < static_cast<std::size_t>(count)) resize(static_cast<std::size_t>(count));
    next_.assign(static_cast<std::size_t>(last - from + 2), 0);
    for (Index k = 0; k < count; ++k) {
      const Index b = sampler_.first_above(targets[k], from, last) - from;
      block_of_[static_cast<std::size_t>(k)] = static_cast<std::uint32_t>(b);
      ++next_[static_cast<std::size_t>(b + 1)];
    }
    for (std::size_t b = 1; b < next_.size(); ++b) next_[b] += next_[b - 1];
    for (Index k = 0; k < count; ++k) {
      const std::uint32_t b = block_of_[static_cast<std::size_t>(k)], to = next_[b]++;
      target_[to] = targets[k] - sampler_.start_of(from + b);
      order_[to] = static_cast<std::uint32_t>(k);
    }
    for (Index b = from, k = 0; b <= last; ++b) {
      const auto stop = static_cast<Index>(next_[static_cast<std::size_t>(b - from)]);
      if (k == stop) continue;
      read(b);
      const bool more = stop < count;  // in the next block, most likely
      block_.next_amps = block_.amps + (more ? 2 * sampler_.block_size_ : 0);
      block_.next_size = more ? sampler_.block_size_ : 0;
      kernels_.search(block_, target_.data() + k, stop - k, place_.data() + k);
      found(b * sampler_.block_size_, place_.data() + k, order_.data() + k, stop - k);
      k = stop;
    }
  }

 private:
  static constexpr Index node = 8, most_at_top = 32;

  void resize(std::size_t count) {
    for (auto* column : {&block_of_, &order_, &place_}) column->resize(count);
    target_.resize(count);
  }

  void read(Index block) {
    const Index segments = sampler_.block_size_ / block_.size;
    block_.amps = amps_ + 2 * block * sampler_.block_size_;
    double* ends = levels_[0].data();
    if (block_.size == segment_size) {
      kernels_.segment_norms(block_.amps, segments, ends);
    } else {
      ends[0] = 0;
      for (int i = 0; i < block_.size; ++i) ends[0] += weight(block_.amps + 2 * i);
    }
    double sum = 0;
    for (Index s = 0; s < segments; ++s) ends[s] = sum += ends[s];
    block_.highest = std::nextafter(sum, 0.0);
    for (std::size_t k = 1; k < levels_.size(); ++k)
      for (std::size_t i = 0; i < levels_[k - 1].size() / node; ++i)
        levels_[k][i] = levels_[k - 1][node * i + node - 1];
  }

  const Sampler& sampler_;
  const Kernels<T>& kernels_;
  const T* amps_;
  SearchArgs<T> block_{};
  std::vector<std::vector<double>> levels_;
  std::vector<std::uint32_t> block_of_, order_, place_, next_;
  std::vector<double> target_;
};

template <class T>
void Sampler::draw(const Runner& runner, const T* amps, const double* numbers, Index count, Index* result) const {
  const Buckets buckets(runner, numbers, count, norm_, true);
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    Search<T> search(*this, runner, amps);
    for (Index j = begin; j < end; ++j) {
      const std::uint32_t* shots = buckets.other + buckets.begin(j);
      search.bucket(buckets, j, [&](Index base, const std::uint32_t* places, const std::uint32_t* order, Index hits) {
        for (Index k = 0; k < hits; ++k) result[shots[order[k]]] = base + places[k];
      });
      watch.tick(0);
    }
  };
  const int threads = threads_for(runner, buckets.size, thread_buckets);
  parallel_for(threads, buckets.size, task_buckets, runner.watch, task);
}

template <class T>
void Sampler::tally(const Runner& runner, const T* amps, const double* numbers, Index count,
                    const std::function<Tally(Index)>& result) const {
  const Buckets buckets(runner, numbers, count, norm_, false);
  // A bucket's list of outcomes takes the place of its targets, which are used up block by block; counts come beside
  // it.
  std::vector<Index> listed(static_cast<std::size_t>(buckets.size));
  auto outcome = [&](Index place) -> double& { return buckets.target[place]; };
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    Search<T> search(*this, runner, amps);
    std::vector<std::uint32_t> seen(static_cast<std::size_t>(block_size_));
    std::vector<Bits> used((seen.size() + 63) / 64);
    for (Index j = begin; j < end; ++j) {
      Index next = buckets.begin(j);
      search.bucket(buckets, j, [&](Index base, const std::uint32_t* places, const std::uint32_t*, Index hits) {
        for (Index k = 0; k < hits; ++k) {
          ++seen[places[k]];
          used[places[k] / 64] |= bit(static_cast<int>(places[k] % 64));
        }
        for (std::size_t word = 0; word < used.size(); ++word) {
          for (Bits rest = used[word]; rest != 0; rest &= rest - 1, ++next) {
            const std::size_t i = word * 64 + static_cast<std::size_t>(lowest_bit(rest));
            outcome(next) = static_cast<double>(base + static_cast<Index>(i));
            buckets.other[next] = seen[i];
            seen[i] = 0;
          }
          used[word] = 0;
        }
      });
      listed[static_cast<std::size_t>(j)] = next - buckets.begin(j);
      watch.tick(0);
    }
  };
  const int threads = threads_for(runner, buckets.size, thread_buckets);
  parallel_for(threads, buckets.size, task_buckets, runner.watch, task);
  // An outcome on the border of two buckets is in the lists of both.
  std::vector<Index> from(static_cast<std::size_t>(buckets.size)), to(static_cast<std::size_t>(buckets.size));
  Index total = 0, previous = -1;
  for (Index j = 0; j < buckets.size; ++j) {
    const auto at = static_cast<std::size_t>(j);
    Index first = buckets.begin(j), number = listed[at];
    if (number > 0 && previous >= 0 && outcome(first) == outcome(previous)) {
      buckets.other[previous] += buckets.other[first];
      ++first, --number;
    }
    from[at] = first, to[at] = total, listed[at] = number;
    total += number;
    if (number > 0) previous = first + number - 1;
  }
  const Tally all = result(total);
  auto compact = [&](Index begin, Index end, int, Watch&) {
    for (Index j = begin; j < end; ++j) {
      const auto at = static_cast<std::size_t>(j);
      for (Index k = 0; k < listed[at]; ++k) {
        all.outcomes[to[at] + k] = static_cast<Index>(outcome(from[at] + k));
        all.counts[to[at] + k] = buckets.other[from[at] + k];
      }
    }
  };
  parallel_for(threads, buckets.size, 4 * task_buckets, runner.watch, compact);
}

#define QSIM_INSTANTIATE(T)                                                                 \
  template Sampler::Sampler(const Runner&, const T*, int);                                  \
  template void Sampler::draw(const Runner&, const T*, const double*, Index, Index*) const; \
  template void Sampler::tally(const Runner&, const T*, const double*, Index, const std::function<Tally(Index)>&) const;
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
