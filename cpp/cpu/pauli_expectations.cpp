#include "pauli_expectations.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

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

// Both blocks of a pair are in the first-level cache. Where no string leaves its block, there is no partner to find
// again, and what a block costs however small it is comes less often.
constexpr int block_qubits = 10;
constexpr int lone_block_qubits = 13;

constexpr Index most_slots = 64;  // partial sums of a state
constexpr std::size_t most_partial_sums = std::size_t{1} << 23;

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

int block_bits_of(const std::vector<PauliString>& strings, int num_qubits) {
  const bool lone = std::all_of(strings.begin(), strings.end(), [](const PauliString& s) { return s.x == 0; });
  return std::min(num_qubits, lone ? lone_block_qubits : block_qubits);
}

}  // namespace

PauliPlan::PauliPlan(const KernelTable& table, const std::vector<PauliString>& strings, int num_qubits)
    : given_qubits_(num_qubits),
      num_qubits_(std::max(num_qubits, pauli::lane_order)),
      block_bits_(block_bits_of(strings, num_qubits_)),
      lane_bits_(lowest_bit(static_cast<Bits>(table.vector_bytes) / sizeof(double))),
      kernels_(pauli_table(table)),
      blocks_(strings, num_qubits_, block_bits_) {
  for (const PauliBlocks::Group& group : blocks_.groups)
    groups_.push_back({(group.x & low_mask(block_bits_)) >> lane_bits_,
                       static_cast<int>(group.x & low_mask(lane_bits_)), group.imaginary,
                       branch(strings, 0, block_bits_ - lane_bits_, group.first, group.last)});
  for (const std::size_t s : blocks_.order) {
    z_high_.push_back(strings[s].z >> block_bits_);
    // i^(number of Y), times i more where the sum is imaginary; pairs in different blocks are visited once.
    const double sign = ((num_y(strings[s]) + 1) & 2) != 0 ? -1 : 1;
    factors_.push_back(strings[s].x >> block_bits_ == 0 ? sign : 2 * sign);
  }
}

// The highest `bits` bits of the number of a vector within its block: the others have been transformed.
Bits PauliPlan::vector_z(const PauliString& string, int bits) const {
  return (string.z & low_mask(block_bits_)) >> (block_bits_ - bits);
}

// Folding puts the amplitudes of the upper half of the lanes between those of the lower half.
Bits PauliPlan::lane_z(const PauliString& string) const {
  const Bits z = string.z & low_mask(lane_bits_);
  return (z << 1 & low_mask(lane_bits_)) | z >> (lane_bits_ - 1);
}

// What is to be done for strings [first, last) with vectors of `bits` bits, which came as digit `number`. Puts the
// strings in the order of the outputs.
pauli::Branch PauliPlan::branch(const std::vector<PauliString>& strings, int number, int bits, std::size_t first,
                                std::size_t last) {
  const auto begin = blocks_.order.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = blocks_.order.begin() + static_cast<std::ptrdiff_t>(last);
  const auto string = [&](std::size_t place) -> const PauliString& { return strings[blocks_.order[place]]; };
  const auto sort_by = [&](auto key) {
    std::stable_sort(begin, end, [&](std::size_t a, std::size_t b) { return key(strings[a]) < key(strings[b]); });
  };
  const Bits z = vector_z(string(first), bits);
  const bool alone = std::all_of(begin, end, [&](std::size_t s) { return vector_z(strings[s], bits) == z; });
  if (alone) {
    const int first_output = static_cast<int>(outputs_.size());
    sort_by([&](const PauliString& s) { return lane_z(s); });
    for (std::size_t start = first, stop = first; start < last; start = stop) {
      while (stop < last && lane_z(string(stop)) == lane_z(string(start))) ++stop;
      outputs_.push_back(
          {static_cast<int>(lane_z(string(start))), static_cast<Index>(start), static_cast<Index>(stop)});
    }
    return {number, -1, z, first_output, static_cast<int>(outputs_.size())};
  }
  const int digit = bits <= pauli::last_digit ? bits : pauli::digit;
  const auto digit_of = [&](const PauliString& s) { return vector_z(s, bits) & low_mask(digit); };
  sort_by(digit_of);
  std::vector<pauli::Branch> kept, summed;
  for (std::size_t start = first, stop = first; start < last; start = stop) {
    while (stop < last && digit_of(string(stop)) == digit_of(string(start))) ++stop;
    const pauli::Branch found = branch(strings, static_cast<int>(digit_of(string(start))), bits - digit, start, stop);
    (found.node >= 0 ? kept : summed).push_back(found);
  }
  const int first_branch = static_cast<int>(branches_.size()), middle = first_branch + static_cast<int>(kept.size());
  branches_.insert(branches_.end(), kept.begin(), kept.end());
  branches_.insert(branches_.end(), summed.begin(), summed.end());
  nodes_.push_back({bits, digit, first_branch, middle, static_cast<int>(branches_.size())});
  return {number, static_cast<int>(nodes_.size()) - 1, 0, 0, 0};
}

// Memory of one thread.
class PauliPlan::Worker {
 public:
  explicit Worker(const PauliPlan& plan)
      : forest{plan.groups_.data(),  plan.nodes_.data(),  plan.branches_.data(),
               plan.outputs_.data(), plan.z_high_.data(), plan.block_bits_},
        size_(std::size_t{2} << plan.block_bits_),
        buffer_(3 * size_ * sizeof(double)) {}

  const pauli::Forest forest;

  [[nodiscard]] double* scratch() const { return static_cast<double*>(buffer_.data()); }
  [[nodiscard]] double* own() const { return scratch() + size_; }
  [[nodiscard]] double* partner() const { return own() + size_; }

 private:
  std::size_t size_;
  KeptBuffer buffer_;
};

// Steps [first, last) of a block, with single precision widened into the worker's memory.
template <class T>
void PauliPlan::add_block(const T* state, Bits block, std::size_t first, std::size_t last, Worker& worker,
                          double* sums) const {
  const Index size = Index{2} << block_bits_;
  const auto at = [&](Bits number) { return state + static_cast<Index>(number) * size; };
  const T* following = at(std::min(block + 1, blocks_.num_blocks() - 1));
  const T* own = at(block);
  bool widened = false;
  for (std::size_t s = first; s < last; ++s) {
    const PauliBlocks::Step& step = blocks_.steps[s];
    if (PauliBlocks::waits(block, step.x_block)) continue;
    const T* partner = at(block ^ step.x_block);
    const T* next = s + 1 < last ? at(block ^ blocks_.steps[s + 1].x_block) : following;
    const double *left = worker.own(), *right = worker.own();
    if constexpr (sizeof(T) == sizeof(double)) {
      left = own, right = partner;
    } else {
      if (!widened) kernels_.to_doubles(own, size, worker.own());
      widened = true;
      if (step.x_block != 0) {
        kernels_.to_doubles(partner, size, worker.partner());
        right = worker.partner();
      }
    }
    kernels_.block_sums(worker.forest, static_cast<Index>(step.first), static_cast<Index>(step.last), left, right, next,
                        size * static_cast<Index>(sizeof(T)), block, worker.scratch(), sums);
  }
}

void PauliPlan::finish(const double* sums, double* result) const {
  for (std::size_t s = 0; s < num_strings(); ++s) result[blocks_.order[s]] = factors_[s] * sums[s];
}

template <class T>
void PauliPlan::one_state(const Runner& runner, const T* state, double* result) const {
  const std::size_t strings = num_strings();
  std::size_t slots = most_slots;
  while (slots > 8 && slots * strings > most_partial_sums) slots /= 2;
  std::vector<double> partial(slots * strings);
  std::vector<std::unique_ptr<Worker>> workers(static_cast<std::size_t>(runner.threads));
  blocks_.walk<T>(runner, static_cast<Index>(slots), true,
                  [&](Bits block, std::size_t first, std::size_t last, Index slot, int participant) {
                    std::unique_ptr<Worker>& worker = workers[static_cast<std::size_t>(participant)];
                    if (!worker) worker = std::make_unique<Worker>(*this);
                    add_block(state, block, first, last, *worker,
                              partial.data() + static_cast<std::size_t>(slot) * strings);
                  });
  for (std::size_t width = slots / 2; width > 0; width /= 2)
    for (std::size_t i = 0; i < width * strings; ++i) partial[i] += partial[width * strings + i];
  finish(partial.data(), result);
}

template <class T>
void PauliPlan::expectations(const Runner& runner, const T* amps, Index batch, double* result) const {
  const std::size_t elements = std::size_t{2} << given_qubits_, strings = num_strings();
  if (num_qubits_ > block_bits_) {
    for (Index b = 0; b < batch; ++b)
      one_state(runner, amps + static_cast<std::size_t>(b) * elements, result + static_cast<std::size_t>(b) * strings);
    return;
  }
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
      add_block(state, 0, 0, blocks_.steps.size(), worker, sums.data());
      finish(sums.data(), result + static_cast<std::size_t>(b) * strings);
      watch.tick(static_cast<double>(b) / static_cast<double>(batch));
    }
  };
  const auto groups = static_cast<Index>(groups_.size());
  const Index chunk = std::max<Index>(1, (Index{1} << 16) / ((groups + 1) << num_qubits_));
  parallel_for(runner.threads, batch, chunk, runner.watch, task);
}

template void PauliPlan::expectations(const Runner&, const float*, Index, double*) const;
template void PauliPlan::expectations(const Runner&, const double*, Index, double*) const;

}  // namespace qsim::cpu
