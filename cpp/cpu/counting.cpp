#include "counting.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "binomial.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr Index most_groups = 256;
constexpr Index most_per_amplitude = 8;  // shots that are drawn one by one: a binomial draw costs as much
constexpr Index together = 512;          // of them
constexpr Index thread_groups = 4;

// A thread's part of the work: shots that fall into one block, seen and listed.
template <class T>
class Counter {
 public:
  Counter(const Runner& runner, const T* amps, Index block_size)
      : block_(runner, amps, block_size),
        size_(block_size),
        seen_(static_cast<std::size_t>(size_)),
        used_((seen_.size() + 63) / 64) {}

  // Appends to the lists, returns how many entries.
  Index block(Index b, Draws draws, Index shots, bool next_follows, Index* outcomes, Index* counts) {
    block_.read(b);
    if (shots > most_per_amplitude * size_) return by_amplitude(b, draws, shots, outcomes, counts);
    for (Index done = 0; done < shots; done += together) {
      const Index number = std::min(together, shots - done);
      for (Index k = 0; k < number; ++k) target_[k] = draws.next() * block_.weight();
      block_.find(target_, number, next_follows && done + number == shots, place_);
      for (Index k = 0; k < number; ++k) {
        ++seen_[place_[k]];
        used_[place_[k] / 64] |= bit(static_cast<int>(place_[k] % 64));
      }
    }
    Index entries = 0;
    for (std::size_t word = 0; word < used_.size(); ++word) {
      for (Bits rest = used_[word]; rest != 0; rest &= rest - 1, ++entries) {
        const std::size_t i = word * 64 + static_cast<std::size_t>(lowest_bit(rest));
        outcomes[entries] = b * size_ + static_cast<Index>(i);
        counts[entries] = seen_[i];
        seen_[i] = 0;
      }
      used_[word] = 0;
    }
    return entries;
  }

 private:
  Index by_amplitude(Index b, Draws& draws, Index shots, Index* outcomes, Index* counts) {
    weights_.resize(static_cast<std::size_t>(size_));
    numbers_.resize(static_cast<std::size_t>(size_));
    block_.weights(weights_.data());
    multinomial(draws, weights_.data(), size_, shots, numbers_.data());
    Index entries = 0;
    for (Index i = 0; i < size_; ++i) {
      if (numbers_[static_cast<std::size_t>(i)] == 0) continue;
      outcomes[entries] = b * size_ + i;
      counts[entries++] = numbers_[static_cast<std::size_t>(i)];
    }
    return entries;
  }

  BlockSearch<T> block_;
  Index size_;
  std::vector<std::uint32_t> seen_;
  std::vector<Bits> used_;  // a bit for each of those seen
  double target_[together];
  std::uint32_t place_[together];
  std::vector<double> weights_;
  std::vector<Index> numbers_;
};

}  // namespace

template <class T>
Tally count_shots(const Runner& runner, const T* amps, const Blocks& blocks, const Philox& source, Index shots,
                  Index* outcomes, Index* counts) {
  const Index number = static_cast<Index>(blocks.weights.size()), groups = std::min(number, most_groups);
  const Index in_group = number / groups, group_amps = in_group * blocks.size;
  std::vector<double> weights(static_cast<std::size_t>(groups));
  for (Index g = 0; g < groups; ++g) {
    const auto first = blocks.weights.begin() + g * in_group;
    weights[static_cast<std::size_t>(g)] = std::accumulate(first, first + in_group, 0.0);
  }
  const double norm = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!can_be_drawn(norm)) return {norm, 0};

  // Numbers of their own for the groups, for the blocks of each group, and for each block.
  const auto stream = [&](Index part) {
    return Draws(Philox{{source.key[0], source.key[1]}, source.site, static_cast<Bits>(part), 1});
  };
  std::vector<Index> shares(weights.size()), room(weights.size() + 1), entries(weights.size());
  Draws draws = stream(0);
  multinomial(draws, weights.data(), groups, shots, shares.data());
  for (std::size_t g = 0; g < shares.size(); ++g) room[g + 1] = room[g] + std::min(shares[g], group_amps);
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    Counter<T> counter(runner, amps, blocks.size);
    std::vector<Index> share(static_cast<std::size_t>(in_group));
    for (Index i = begin; i < end; ++i) {
      const Index g = groups - 1 - i;  // what was read last for the weights may still be in the cache
      const auto at = static_cast<std::size_t>(g);
      if (shares[at] == 0) continue;
      Draws own = stream(1 + g);
      multinomial(own, blocks.weights.data() + g * in_group, in_group, shares[at], share.data());
      Index next = room[at];
      for (Index k = 0; k < in_group; ++k) {
        const Index here = share[static_cast<std::size_t>(k)], b = g * in_group + k;
        const bool follows = k + 1 < in_group && share[static_cast<std::size_t>(k + 1)] > 0;
        if (here > 0) next += counter.block(b, stream(1 + groups + b), here, follows, outcomes + next, counts + next);
        watch.tick(0);
      }
      entries[at] = next - room[at];
    }
  };
  const auto threads = static_cast<int>(std::clamp<Index>(groups / thread_groups, 1, runner.threads));
  parallel_for(threads, groups, 1, runner.watch, task);

  Index total = 0;
  for (std::size_t g = 0; g < entries.size(); total += entries[g++]) {
    if (room[g] == total) continue;
    std::copy_n(outcomes + room[g], entries[g], outcomes + total);
    std::copy_n(counts + room[g], entries[g], counts + total);
  }
  return {norm, total};
}

#define QSIM_INSTANTIATE(T) \
  template Tally count_shots(const Runner&, const T*, const Blocks&, const Philox&, Index, Index*, Index*);
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
