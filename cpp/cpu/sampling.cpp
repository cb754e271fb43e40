#include "sampling.hpp"

#include <algorithm>

#include "memory.hpp"

namespace qsim::cpu {
namespace {

constexpr Index bucket_shots = Index{1} << 7, most_buckets = Index{1} << 12;
constexpr Index part_shots = Index{1} << 16;  // sorted at a time
constexpr Index thread_shots = Index{1} << 13;
constexpr Index thread_buckets = 4, task_buckets = 4;

int threads_for(const Runner& runner, Index items, Index least) {
  return static_cast<int>(std::clamp<Index>(items / least, 1, runner.threads));
}

// How many buckets for so many shots: a power of two, so that a bucket is the leading bits of a number.
Index buckets_for(Index count) {
  Index buckets = 1;
  while (buckets < most_buckets && 2 * buckets * bucket_shots <= count) buckets *= 2;
  return buckets;
}

}  // namespace

void uniforms(const Runner& runner, const Philox& source, Index first, Index count, double* result) {
  constexpr Index width = Philox::words_per_block;
  auto number = [&](Index from, Index to) {  // of shots that share words
    const auto words = source.words(static_cast<Bits>(from / width));
    for (Index shot = from; shot < to; ++shot)
      result[shot - first] = Philox::unit(words[static_cast<std::size_t>(shot % width)]);
  };
  const Index last = first + count, whole = (first + width - 1) / width,
              blocks = std::max<Index>(last / width - whole, 0);
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index block = whole + begin; block < whole + end; ++block) number(block * width, (block + 1) * width);
  };
  if (first % width != 0) number(first, std::min(last, whole * width));
  parallel_for(threads_for(runner, count, thread_shots), blocks, thread_shots / width, runner.watch, task);
  if (const Index rest = (whole + blocks) * width; rest < last) number(rest, last);
}

Sampler::Sampler(Blocks blocks) : block_size_(blocks.size), ends_(std::move(blocks.weights)) {
  double sum = 0;
  for (std::size_t b = 0; b < ends_.size(); ++b) {
    if (ends_[b] > 0) last_block_ = static_cast<Index>(b);
    ends_[b] = sum += ends_[b];
  }
}

// The first block in [from, last] that ends above a cumulative weight, or the last.
Index Sampler::block_above(double target, Index from, Index last) const {
  return from + first_above(ends_.data() + from, last - from + 1, target);
}

// Cumulative weights to find, sorted by leading bits of their numbers, in order of shot within a bucket.
struct Sampler::Buckets {
  Buckets(const Runner& runner, const double* numbers, Index count, double norm)
      : size(buckets_for(count)),
        first(static_cast<std::size_t>(size + 1)),
        norm_(norm),
        storage_(static_cast<std::size_t>(count) * (sizeof(double) + sizeof(std::uint32_t))),
        target(static_cast<double*>(storage_.data())),
        shot(reinterpret_cast<std::uint32_t*>(target + count)) {
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
          shot[where] = static_cast<std::uint32_t>(k);
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
  std::uint32_t* shot;  // of each target
};

// A thread's part of the work: the targets of a bucket by block, and one block ready to be searched.
template <class T>
class Sampler::Search {
 public:
  Search(const Sampler& sampler, const Runner& runner, const T* amps)
      : sampler_(sampler), block_(runner, amps, sampler.block_size_) {}

  // result[shot]: the basis state of every target of a bucket, found block by block.
  void bucket(const Buckets& buckets, Index j, Index* result) {
    const double* targets = buckets.target + buckets.begin(j);
    const std::uint32_t* shots = buckets.shot + buckets.begin(j);
    const Index count = buckets.end(j) - buckets.begin(j);
    const Index from = sampler_.block_above(buckets.lowest(j), 0, sampler_.last_block_);
    const Index last = sampler_.block_above(buckets.lowest(j + 1), from, sampler_.last_block_);
    if (block_of_.size() < static_cast<std::size_t>(count)) resize(static_cast<std::size_t>(count));
    next_.assign(static_cast<std::size_t>(last - from + 2), 0);
    for (Index k = 0; k < count; ++k) {
      const Index b = sampler_.block_above(targets[k], from, last) - from;
      block_of_[static_cast<std::size_t>(k)] = static_cast<std::uint32_t>(b);
      ++next_[static_cast<std::size_t>(b + 1)];
    }
    for (std::size_t b = 1; b < next_.size(); ++b) next_[b] += next_[b - 1];
    for (Index k = 0; k < count; ++k) {
      const std::uint32_t b = block_of_[static_cast<std::size_t>(k)], to = next_[b]++;
      target_[to] = targets[k] - sampler_.start_of(from + b);
      shot_[to] = shots[k];
    }
    for (Index b = from, k = 0; b <= last; ++b) {
      const auto stop = static_cast<Index>(next_[static_cast<std::size_t>(b - from)]);
      if (k == stop) continue;
      block_.read(b);
      block_.find(target_.data() + k, stop - k, stop < count, place_.data() + k);
      for (const Index base = b * sampler_.block_size_; k < stop; ++k) {
        const auto at = static_cast<std::size_t>(k);
        result[shot_[at]] = base + place_[at];
      }
    }
  }

 private:
  void resize(std::size_t count) {
    for (auto* column : {&block_of_, &shot_, &place_}) column->resize(count);
    target_.resize(count);
  }

  const Sampler& sampler_;
  BlockSearch<T> block_;
  std::vector<std::uint32_t> block_of_, shot_, place_, next_;
  std::vector<double> target_;
};

template <class T>
void Sampler::draw(const Runner& runner, const T* amps, const double* numbers, Index count, Index* result) const {
  const Buckets buckets(runner, numbers, count, norm());
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    Search<T> search(*this, runner, amps);
    for (Index i = begin; i < end; ++i) {
      search.bucket(buckets, buckets.size - 1 - i, result);  // what was read last may still be in the cache
      watch.tick(0);
    }
  };
  const int threads = threads_for(runner, buckets.size, thread_buckets);
  parallel_for(threads, buckets.size, task_buckets, runner.watch, task);
}

#define QSIM_INSTANTIATE(T) template void Sampler::draw(const Runner&, const T*, const double*, Index, Index*) const;
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
