#include "reductions.hpp"

#include <algorithm>

#include "lanes.hpp"

namespace qsim::cpu {
namespace {

constexpr int block_qubits = 14;     // amplitudes of a block of sums: 2^14
constexpr Index thread_blocks = 4;   // a thread is worth waking for this many
constexpr int histogram_qubits = 8;  // high outcomes a histogram of one part resolves
constexpr int max_parts_log2 = 10;   // of a marginal: bounds its memory

template <class T>
int lane_qubits_of(const KernelTable& table) {
  return lowest_bit(static_cast<Bits>(table.vector_bytes) / (2 * sizeof(T)));
}

int threads_for(const Runner& runner, Index blocks) {
  return static_cast<int>(std::clamp<Index>(blocks / thread_blocks, 1, runner.threads));
}

// Sum in pairs, in pairs of pairs, ...: few roundings, and the same ones every time.
template <class Sum>
Sum tree_sum(const Sum* parts, Index count) {
  if (count <= 4) {
    Sum sum{};
    for (Index i = 0; i < count; ++i) sum += parts[i];
    return sum;
  }
  return tree_sum(parts, count / 2) + tree_sum(parts + count / 2, count - count / 2);
}

// block(begin, end) for items in blocks of a fixed size; returns what each gave.
template <class Sum, class Block>
std::vector<Sum> block_sums(const Runner& runner, Index items, Index block_items, Block block) {
  const Index blocks = (items + block_items - 1) / block_items;
  std::vector<Sum> sums(static_cast<std::size_t>(blocks));
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index i = begin; i < end; ++i)
      sums[static_cast<std::size_t>(i)] = block(i * block_items, std::min(items, (i + 1) * block_items));
  };
  parallel_for(threads_for(runner, blocks), blocks, thread_blocks, runner.watch, task);
  return sums;
}

template <class T>
std::vector<double> block_norms(const Runner& runner, const T* amps, int num_qubits) {
  const int lane_qubits = lane_qubits_of<T>(runner.table);
  const auto kernel = kernels_of<T>(runner.table).norm;
  return block_sums<double>(runner, Index{1} << (num_qubits - lane_qubits), Index{1} << (block_qubits - lane_qubits),
                            [&](Index begin, Index end) { return kernel(amps, begin, end); });
}

// Sum over j of conj(bra[j ^ x]) (-1)^parity(j & z) ket[j].
template <class T>
std::complex<double> overlap_sum(const Runner& runner, const T* bra, const T* ket, int num_qubits, Bits x, Bits z) {
  const int lane_qubits = lane_qubits_of<T>(runner.table);
  const int lanes = 1 << lane_qubits;
  const Bits lane_mask = static_cast<Bits>(lanes) - 1;
  alignas(64) T signs[2 * 64 / sizeof(T)];
  for (int lane = 0; lane < lanes; ++lane) {
    const T sign = odd_parity(static_cast<Bits>(lane) & z) ? T(-1) : T(1);
    for (int part = 0; part < 2; ++part) {
      signs[2 * lane + part] = sign;
      signs[2 * lanes + 2 * lane + part] = -sign;
    }
  }
  const OverlapArgs<T> args{{0, 0}, x >> lane_qubits, z >> lane_qubits, static_cast<int>(2 * (x & lane_mask)), signs};
  const int item_bits = num_qubits - lane_qubits;
  const auto kernel = kernels_of<T>(runner.table).overlap;
  const auto sums = block_sums<std::complex<double>>(
      runner, Index{1} << item_bits, Index{1} << (block_qubits - lane_qubits), [&](Index begin, Index end) {
        double sum[2];
        kernel(args, bra, ket, begin, end, sum);
        return std::complex<double>(sum[0], sum[1]);
      });
  return tree_sum(sums.data(), static_cast<Index>(sums.size()));
}

std::complex<double> power_of_i(int exponent) {
  constexpr double re[] = {1, 0, -1, 0}, im[] = {0, 1, 0, -1};
  return {re[exponent & 3], im[exponent & 3]};
}

template <class T>
T* writable(const T* amps) {
  return const_cast<T*>(amps);  // Padded only writes when asked to copy back
}

}  // namespace

template <class T>
double norm(const Runner& runner, const T* amps, int num_qubits) {
  const Padded<T> padded(runner.table, writable(amps), num_qubits);
  const std::vector<double> sums = block_norms<T>(runner, padded.data, padded.num_qubits);
  return tree_sum(sums.data(), static_cast<Index>(sums.size()));
}

template <class T>
std::complex<double> pauli_overlap(const Runner& runner, const T* bra, const T* ket, int num_qubits, Bits x, Bits z) {
  const Padded<T> left(runner.table, writable(bra), num_qubits), right(runner.table, writable(ket), num_qubits);
  return power_of_i(count_bits(x & z)) * overlap_sum<T>(runner, left.data, right.data, right.num_qubits, x, z);
}

template <class T>
void probabilities(const Runner& runner, const T* amps, int num_qubits, const std::vector<int>& qubits,
                   double* result) {
  const Padded<T> state(runner.table, writable(amps), num_qubits);
  const int lane_qubits = lane_qubits_of<T>(runner.table);
  const std::size_t elements = std::size_t{2} << lane_qubits;
  const int vector_qubits = state.num_qubits - lane_qubits;
  // High measured qubits: the lowest are resolved inside a part by its histogram, the others by the number of the part.
  // Unmeasured high qubits from the top split parts further, as far as there are too few.
  std::vector<int> measured, other;
  Bits measured_mask = 0;
  for (const int q : qubits) measured_mask |= bit(q);
  for (int q = lane_qubits; q < state.num_qubits; ++q)
    ((measured_mask >> q & 1) != 0 ? measured : other).push_back(q - lane_qubits);
  const int inside = std::min<int>(histogram_qubits, static_cast<int>(measured.size()));
  const int outside = static_cast<int>(measured.size()) - inside;
  const int wanted = std::min(max_parts_log2, std::max(0, state.num_qubits - block_qubits)) - outside;
  const int splits = std::clamp(wanted, 0, static_cast<int>(other.size()));
  Bits part_bits[64];  // of a part's number: splits first, then the measured ones outside
  for (int s = 0; s < splits; ++s) part_bits[s] = bit(other[other.size() - static_cast<std::size_t>(splits - s)]);
  for (int m = 0; m < outside; ++m) part_bits[splits + m] = bit(measured[static_cast<std::size_t>(inside + m)]);
  const int part_qubits = splits + outside;
  Bits fixed = 0;
  for (int p = 0; p < part_qubits; ++p) fixed |= part_bits[p];
  Bits moved[64];
  std::fill_n(moved, 64, Bits{0});
  for (int m = 0; m < inside; ++m) moved[position_in_item(measured[static_cast<std::size_t>(m)], fixed)] = bit(m);
  const int item_bits = vector_qubits - part_qubits;
  int run_bits = 0;
  while (run_bits < item_bits && moved[run_bits] == 0) ++run_bits;
  Arena arena;
  const MarginalArgs args{make_bit_map(moved, item_bits, arena), Index{1} << run_bits};
  const BitMap part_map = make_bit_map(part_bits, part_qubits, arena);

  // Outcome bits that a lane, a histogram row and a part stand for.
  Bits outcome_bit[64];
  std::fill_n(outcome_bit, 64, Bits{0});
  for (std::size_t k = 0; k < qubits.size(); ++k) outcome_bit[qubits[k]] = bit(static_cast<int>(k));
  const BitMap lane_outcome = make_bit_map(outcome_bit, lane_qubits, arena);
  for (int m = 0; m < inside; ++m) moved[m] = outcome_bit[measured[static_cast<std::size_t>(m)] + lane_qubits];
  const BitMap row_outcome = make_bit_map(moved, inside, arena);
  std::fill_n(moved, 64, Bits{0});
  for (int m = 0; m < outside; ++m)
    moved[m] = outcome_bit[measured[static_cast<std::size_t>(inside + m)] + lane_qubits];
  const BitMap part_outcome = make_bit_map(moved, outside, arena);

  // The parts of one setting of the measured qubits outside are added in order, so they belong to one task.
  const Index rows = Index{1} << inside;
  const std::size_t histogram_size = static_cast<std::size_t>(rows) * elements;
  const Index split_parts = Index{1} << splits, groups = Index{1} << outside;
  const auto kernel = kernels_of<T>(runner.table).marginal;
  const auto fold = [&](const double* histogram, Index group) {
    for (Index row = 0; row < rows; ++row) {
      const Bits base = lookup(row_outcome, static_cast<Bits>(row)) | lookup(part_outcome, static_cast<Bits>(group));
      for (std::size_t lane = 0; lane < elements / 2; ++lane) {
        const double* cell = histogram + static_cast<std::size_t>(row) * elements + 2 * lane;
        result[base | lookup(lane_outcome, lane)] += cell[0] + cell[1];
      }
    }
  };
  std::fill_n(result, std::size_t{1} << qubits.size(), 0.0);
  const Index parts = split_parts * groups;
  const int threads = threads_for(runner, Index{1} << std::max(0, state.num_qubits - block_qubits));
  if (split_parts == 1) {
    Buffer scratch(histogram_size * sizeof(double) * static_cast<std::size_t>(threads));
    auto task = [&](Index begin, Index end, int participant, Watch& watch) {
      double* histogram = static_cast<double*>(scratch.data()) + histogram_size * static_cast<std::size_t>(participant);
      for (Index part = begin; part < end; ++part) {
        std::fill_n(histogram, histogram_size, 0.0);
        kernel(args, {fixed, lookup(part_map, static_cast<Bits>(part))}, state.data, Index{1} << item_bits, histogram);
        fold(histogram, part);
        watch.tick(0);
      }
    };
    parallel_for(threads, parts, std::max<Index>(1, (Index{1} << 16) >> item_bits), runner.watch, task);
    return;
  }
  Buffer scratch(histogram_size * sizeof(double) * static_cast<std::size_t>(parts));
  double* histograms = static_cast<double*>(scratch.data());
  auto task = [&](Index begin, Index end, int, Watch&) {
    for (Index part = begin; part < end; ++part) {
      double* histogram = histograms + histogram_size * static_cast<std::size_t>(part);
      std::fill_n(histogram, histogram_size, 0.0);
      kernel(args, {fixed, lookup(part_map, static_cast<Bits>(part))}, state.data, Index{1} << item_bits, histogram);
    }
  };
  parallel_for(threads, parts, 1, runner.watch, task);
  for (Index part = 0; part < parts; ++part)
    fold(histograms + histogram_size * static_cast<std::size_t>(part), part >> splits);
}

#define QSIM_INSTANTIATE(T)                                                                        \
  template double norm(const Runner&, const T*, int);                                              \
  template std::complex<double> pauli_overlap(const Runner&, const T*, const T*, int, Bits, Bits); \
  template void probabilities(const Runner&, const T*, int, const std::vector<int>&, double*);
QSIM_INSTANTIATE(float)
QSIM_INSTANTIATE(double)
#undef QSIM_INSTANTIATE

}  // namespace qsim::cpu
