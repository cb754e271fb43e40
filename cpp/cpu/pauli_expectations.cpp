#include "pauli_expectations.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>

#include "memory.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {

namespace generic {
const pauli::KernelTable* pauli_kernel_table();
}
#ifdef QSIM_X86
namespace avx2 {
const pauli::KernelTable* pauli_kernel_table();
}
namespace avx512 {
const pauli::KernelTable* pauli_kernel_table();
}
#endif

namespace {

constexpr Index region_bytes = Index{8} << 20;  // two of them are in the third-level cache together
constexpr Index most_slots = 64;                // partial sums of a region
constexpr Index thread_groups = 8;              // blocks times X masks a thread is worth waking for
constexpr Index most_partial_sums = Index{1} << 23;

const pauli::KernelTable& pauli_table(const KernelTable& table) {
#ifdef QSIM_X86
  if (std::strcmp(table.name, "avx512") == 0) return *avx512::pauli_kernel_table();
  if (std::strcmp(table.name, "avx2") == 0) return *avx2::pauli_kernel_table();
#endif
  static_cast<void>(table);
  return *generic::pauli_kernel_table();
}

Bits low_mask(int bits) {
  return bit(bits) - 1;
}

Bits top_bit(Bits bits) {
  return bits == 0 ? 0 : bit(63 - __builtin_clzll(bits));
}

bool imaginary(const PauliString& string) {
  return odd_parity(string.x & string.z);
}

}  // namespace

PauliPlan::PauliPlan(const KernelTable& table, const std::vector<PauliString>& strings, int num_qubits)
    : given_qubits_(num_qubits),
      num_qubits_(std::max(num_qubits, pauli::lane_order)),
      block_bits_(std::min(num_qubits_, pauli::block_qubits)),
      lane_bits_(lowest_bit(static_cast<Bits>(table.vector_bytes) / sizeof(double))),
      kernels_(pauli_table(table)),
      order_(strings.size()) {
  const Bits inside = low_mask(block_bits_);
  const auto key = [&](std::size_t s) {
    const auto& [x, z] = strings[s];
    return std::make_tuple(x >> block_bits_, x, imaginary(strings[s]), z & inside, z);
  };
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  for (const std::size_t s : order_) {
    const auto& [x, z] = strings[s];
    sorted_.push_back({x, z});
    z_high_.push_back(z >> block_bits_);
    // i^(number of Y), times i more where the sum is imaginary; pairs in different blocks are visited once.
    const double sign = ((count_bits(x & z) + 1) & 2) != 0 ? -1 : 1;
    factors_.push_back(x >> block_bits_ == 0 ? sign : 2 * sign);
  }
  const auto same_group = [&](std::size_t a, std::size_t b) {
    return sorted_[a].x == sorted_[b].x && imaginary(sorted_[a]) == imaginary(sorted_[b]);
  };
  for (std::size_t first = 0, last = 0; first < sorted_.size(); first = last) {
    while (last < sorted_.size() && same_group(first, last)) ++last;
    const Bits x = sorted_[first].x, x_block = x >> block_bits_;
    const int root = add_node(block_bits_ - lane_bits_, first, last);
    groups_.push_back(
        {(x & inside) >> lane_bits_, static_cast<int>(x & low_mask(lane_bits_)), imaginary(sorted_[first]), root});
    const Index group = static_cast<Index>(groups_.size());
    if (steps_.empty() || steps_.back().x_block != x_block) steps_.push_back({x_block, group - 1, group});
    steps_.back().last_group = group;
  }
}

// The tree over the low Z masks of sorted strings [first, last), which agree above `bits` vector bits.
int PauliPlan::add_node(int bits, std::size_t first, std::size_t last) {
  const auto vector_z = [&](std::size_t s) { return sorted_[s].z >> lane_bits_ & low_mask(bits); };
  const int index = static_cast<int>(nodes_.size());
  nodes_.push_back({bits, -1, -1, true, false, vector_z(first), static_cast<int>(outputs_.size()), 0});
  const bool whole = vector_z(first) != vector_z(last - 1);
  if (whole && bits > pauli::leaf_bits) {
    std::size_t middle = first;
    while (middle < last && (vector_z(middle) >> (bits - 1) & 1) == 0) ++middle;
    const int sum = middle > first ? add_node(bits - 1, first, middle) : -1;
    const int difference = middle < last ? add_node(bits - 1, middle, last) : -1;
    pauli::Node& node = nodes_[static_cast<std::size_t>(index)];
    node.leaf = false;
    node.sum = sum, node.difference = difference;
    return index;
  }
  const Bits lanes = low_mask(lane_bits_), inside = low_mask(block_bits_);
  for (std::size_t s = first; s < last;) {
    const Bits z = sorted_[s].z & inside;
    const std::size_t start = s;
    while (s < last && (sorted_[s].z & inside) == z) ++s;
    // Folding puts the amplitudes of the upper half of the lanes between those of the lower half.
    const Bits lane = (z << 1 & lanes) | (z & lanes) >> (lane_bits_ - 1);
    const Bits entry = whole ? vector_z(start) << lane_bits_ | lane : lane;
    outputs_.push_back({static_cast<int>(entry), static_cast<Index>(start), static_cast<Index>(s)});
  }
  nodes_[static_cast<std::size_t>(index)].whole = whole;
  nodes_[static_cast<std::size_t>(index)].last_output = static_cast<int>(outputs_.size());
  return index;
}

// Memory of one thread.
struct PauliPlan::Worker {
  explicit Worker(const PauliPlan& plan)
      : forest{plan.groups_.data(), plan.nodes_.data(), plan.outputs_.data(), plan.z_high_.data(), plan.block_bits_},
        buffer_((std::size_t{6} << plan.block_bits_) * sizeof(double)),
        scratch(static_cast<double*>(buffer_.data())),
        own(scratch + (Index{2} << plan.block_bits_)),
        partner(own + (Index{2} << plan.block_bits_)) {}

  const pauli::Forest forest;

 private:
  Buffer buffer_;

 public:
  double* const scratch;
  double* const own;
  double* const partner;
};

// Steps [first, last) of a block, with single precision widened into the worker's memory.
template <class T>
void PauliPlan::add_block(const T* state, Bits block, std::size_t first, std::size_t last, Worker& worker,
                          double* sums) const {
  const Index size = Index{2} << block_bits_;
  const auto at = [&](Bits number) { return state + static_cast<Index>(number) * size; };
  const T* following = at(std::min(block + 1, bit(num_qubits_ - block_bits_) - 1));
  const T* own = at(block);
  bool widened = false;
  for (std::size_t s = first; s < last; ++s) {
    const Step& step = steps_[s];
    if ((block & top_bit(step.x_block)) != 0) continue;  // its partner does the pair
    const T* partner = at(block ^ step.x_block);
    const T* next = s + 1 < last ? at(block ^ steps_[s + 1].x_block) : following;
    const auto add = [&](const double* left, const double* right, const double* fetched) {
      kernels_.block_sums(worker.forest, step.first_group, step.last_group, left, right, fetched, block, worker.scratch,
                          sums);
    };
    if constexpr (sizeof(T) == sizeof(double)) {
      add(own, partner, next);
    } else {
      if (!widened) kernels_.to_doubles(own, size, partner, worker.own);
      widened = true;
      if (step.x_block != 0) kernels_.to_doubles(partner, size, next, worker.partner);
      add(worker.own, step.x_block == 0 ? worker.own : worker.partner, nullptr);
    }
  }
}

void PauliPlan::finish(const double* sums, double* result) const {
  for (std::size_t s = 0; s < order_.size(); ++s) result[order_[s]] = factors_[s] * sums[s];
}

// Regions of blocks in pairs, so that all X masks between two regions find both in the cache. Which partial sum a block
// adds to depends on its number only, and regions come one after the other.
template <class T>
void PauliPlan::one_state(const Runner& runner, const T* state, double* result) const {
  const Index strings = num_strings();
  const int region_bits = std::min(num_qubits_, lowest_bit(static_cast<Bits>(region_bytes) / (2 * sizeof(T))));
  const int region_block_bits = region_bits - block_bits_;
  const Index blocks = Index{1} << region_block_bits, regions = Index{1} << (num_qubits_ - region_bits);
  Index slots = std::min(most_slots, blocks);
  while (slots > 8 && slots * strings > most_partial_sums) slots /= 2;
  std::vector<double> partial(static_cast<std::size_t>(slots * strings));
  for (std::size_t first = 0, last = 0; first < steps_.size(); first = last) {
    const Bits x_region = steps_[first].x_block >> region_block_bits;
    while (last < steps_.size() && steps_[last].x_block >> region_block_bits == x_region) ++last;
    for (Index region = 0; region < regions; ++region) {
      if ((static_cast<Bits>(region) & top_bit(x_region)) != 0) continue;
      auto task = [&](Index begin, Index end, int, Watch& watch) {
        Worker worker(*this);
        for (Index slot = begin; slot < end; ++slot)
          for (Index b = slot * blocks / slots; b < (slot + 1) * blocks / slots; ++b) {
            const Bits block = static_cast<Bits>(region << region_block_bits | b);
            add_block(state, block, first, last, worker, partial.data() + slot * strings);
            watch.tick(0);
          }
      };
      const Index work = blocks * (steps_[last - 1].last_group - steps_[first].first_group);
      const auto threads = static_cast<int>(std::clamp<Index>(work / thread_groups, 1, runner.threads));
      parallel_for(threads, slots, 1, runner.watch, task);
    }
  }
  for (Index width = slots / 2; width > 0; width /= 2)
    for (Index i = 0; i < width * strings; ++i)
      partial[static_cast<std::size_t>(i)] += partial[static_cast<std::size_t>(width * strings + i)];
  finish(partial.data(), result);
}

template <class T>
void PauliPlan::expectations(const Runner& runner, const T* amps, Index batch, double* result) const {
  const std::size_t elements = std::size_t{2} << given_qubits_;
  if (num_qubits_ > block_bits_) {
    for (Index b = 0; b < batch; ++b)
      one_state(runner, amps + static_cast<std::size_t>(b) * elements, result + b * num_strings());
    return;
  }
  const auto strings = static_cast<std::size_t>(num_strings());
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    Worker worker(*this);
    std::vector<double> sums(strings);
    std::vector<T> padded(std::size_t{2} << num_qubits_);  // a register of few qubits borrows some in |0>
    for (Index b = begin; b < end; ++b) {
      const T* state = amps + static_cast<std::size_t>(b) * elements;
      if (given_qubits_ < num_qubits_) {
        std::copy_n(state, elements, padded.data());
        state = padded.data();
      }
      std::fill(sums.begin(), sums.end(), 0.0);
      add_block(state, 0, 0, steps_.size(), worker, sums.data());
      finish(sums.data(), result + b * num_strings());
      watch.tick(static_cast<double>(b) / static_cast<double>(batch));
    }
  };
  const Index chunk = std::max<Index>(1, (Index{1} << 16) / ((num_groups() + 1) << num_qubits_));
  parallel_for(runner.threads, batch, chunk, runner.watch, task);
}

template void PauliPlan::expectations(const Runner&, const float*, Index, double*) const;
template void PauliPlan::expectations(const Runner&, const double*, Index, double*) const;

}  // namespace qsim::cpu
