#include "pauli_sum.hpp"

#include <algorithm>
#include <cstring>

#include "lanes.hpp"

namespace qsim::cpu {
namespace {

// A block of output stays in the first-level cache while strings are added, several per load and store.
constexpr int block_qubits = 10;
constexpr std::size_t most_groups = 4;  // added at a time
constexpr Index most_slots = 64;

// values[a] = sum over masks m of values[m] (-1)^parity(a & m): a Walsh-Hadamard transform, two bits per pass.
void transform(double* values, Index size) {
  Index half = 1;
  for (; 4 * half <= size; half *= 4)
    for (double* at = values; at < values + size; at += 4 * half) {
#pragma GCC ivdep
      for (Index a = 0; a < half; ++a) {
        const double low = at[a] + at[half + a], low_odd = at[a] - at[half + a];
        const double high = at[2 * half + a] + at[3 * half + a], high_odd = at[2 * half + a] - at[3 * half + a];
        at[a] = low + high;
        at[half + a] = low_odd + high_odd;
        at[2 * half + a] = low - high;
        at[3 * half + a] = low_odd - high_odd;
      }
    }
  for (Index a = 0; a < size - half; ++a) {
    const double low = values[a], high = values[half + a];
    values[a] = low + high;
    values[half + a] = low - high;
  }
}

template <class T>
class Apply {
 public:
  Apply(const Runner& runner, const std::vector<PauliString>& strings, const double* coefficients, const T* in, T* out,
        int num_qubits)
      : strings_(strings),
        coefficients_(coefficients),
        kernel_(kernels_of<T>(runner.table).add_paulis),
        in_(in),
        out_(out),
        lane_qubits_(lowest_bit(static_cast<Bits>(runner.table.vector_bytes) / (2 * sizeof(T)))),
        // threads share small states too
        block_(std::clamp(num_qubits - 3, std::min(lane_qubits_ + 3, num_qubits), block_qubits)),
        blocks_(strings, num_qubits, block_) {}

  void run(const Runner& runner) const {
    if (strings_.empty()) clear(0, static_cast<Index>(blocks_.num_blocks()));
    const std::size_t width = (1 + 2 * most_groups) << block_;
    const KeptBuffer memory(sizeof(double) * width * static_cast<std::size_t>(runner.threads));
    blocks_.walk<T>(
        runner, most_slots, false, [&](Bits block, std::size_t first, std::size_t last, Index, int participant) {
          if (first == 0) clear(static_cast<Index>(block), 1);
          double* scratch = static_cast<double*>(memory.data()) + width * static_cast<std::size_t>(participant);
          add(block, blocks_.steps[first].first, blocks_.steps[last - 1].last, scratch);
        });
  }

 private:
  struct alignas(64) Mix {
    T vectors[2 * 64 / sizeof(T)];
  };

  void clear(Index block, Index count) const {
    const auto size = std::size_t{2} << block_;
    std::memset(static_cast<void*>(out_ + static_cast<std::size_t>(block) * size), 0,
                static_cast<std::size_t>(count) * size * sizeof(T));
  }

  // Groups [first, last) onto a block of outputs. What the next ones read is fetched meanwhile.
  void add(Bits block, std::size_t first, std::size_t last, double* scratch) const {
    AddPauliArgs<T> args[most_groups];
    Mix mixes[most_groups];
    T* const factors = reinterpret_cast<T*>(scratch + (std::size_t{1} << block_));
    const Bits following = (block ^ std::min(block + 1, blocks_.num_blocks() - 1)) << block_;
    for (std::size_t start = first; start < last; start += most_groups) {
      const std::size_t count = std::min(most_groups, last - start);
      for (std::size_t g = 0; g < count; ++g) {
        const std::size_t next = start + g + most_groups;
        const Bits fetched =
            next < last ? blocks_.groups[next].x : blocks_.groups[first + (next - last) % (last - first)].x ^ following;
        args[g] = args_of(blocks_.groups[start + g], block, mixes[g].vectors, scratch, factors + (g << (block_ + 1)));
        args[g].fetched = fetched >> lane_qubits_;
      }
      const Index step = Index{1} << (block_ - lane_qubits_), at = static_cast<Index>(block) * step;
      kernel_(args, static_cast<Index>(count), in_, out_, at, at + step);
    }
  }

  AddPauliArgs<T> args_of(const PauliBlocks::Group& group, Bits block, T* mix, double* scratch, T* factors) const {
    const int lanes = 1 << lane_qubits_;
    const Bits lane_x = group.x & (static_cast<Bits>(lanes) - 1);
    const Bits source = (block ^ group.x >> block_) << block_;
    AddPauliArgs<T> args{
        group.x >> lane_qubits_, 0, 0, static_cast<int>(2 * lane_x) + (group.imaginary ? 1 : 0), mix, nullptr,
        source >> lane_qubits_};
    const std::size_t first = blocks_.order[group.first];
    const bool single = group.last - group.first == 1;
    const Bits z = single ? strings_[first].z : 0;
    for (int lane = 0; lane < lanes; ++lane) {
      const Bits from = static_cast<Bits>(lane) ^ lane_x;
      const double size = (single ? weight(first) : 1) * (odd_parity(from & z) ? -1 : 1);
      for (int part = 0; part < 2; ++part) {
        const T value = static_cast<T>(group.imaginary && part == 0 ? -size : size);  // i (re + i im) = -im + i re
        mix[2 * lane + part] = value;
        mix[2 * lanes + 2 * lane + part] = -value;
      }
    }
    if (single) {
      args.z = z >> lane_qubits_;
    } else {
      sum_signs(group, source, scratch, factors);
      args.factors = factors;
    }
    return args;
  }

  // i^(number of Y) is 1, i, -1, -i.
  [[nodiscard]] double weight(std::size_t k) const {
    return num_y(strings_[k]) < 2 ? coefficients_[k] : -coefficients_[k];
  }

  // What the inputs at `source` and after it are multiplied by, twice: for re and im.
  void sum_signs(const PauliBlocks::Group& group, Bits source, double* scratch, T* pairs) const {
    const Index size = Index{1} << block_;
    std::fill_n(scratch, size, 0.0);
    for (std::size_t i = group.first; i < group.last; ++i) {
      const std::size_t k = blocks_.order[i];
      const Bits z = strings_[k].z;
      scratch[z & (static_cast<Bits>(size) - 1)] += odd_parity(source & z) ? -weight(k) : weight(k);
    }
    transform(scratch, size);
    for (Index a = 0; a < size; ++a) pairs[2 * a] = pairs[2 * a + 1] = static_cast<T>(scratch[a]);
  }

  const std::vector<PauliString>& strings_;
  const double* coefficients_;
  void (*kernel_)(const AddPauliArgs<T>*, Index, const T*, T*, Index, Index);
  const T* in_;
  T* out_;
  int lane_qubits_, block_;
  const PauliBlocks blocks_;
};

}  // namespace

template <class T>
void apply_pauli_sum(const Runner& runner, const std::vector<PauliString>& strings, const double* coefficients,
                     const T* in, T* out, int num_qubits) {
  const Padded<T> from(runner.table, const_cast<T*>(in), num_qubits);  // never copied back
  Padded<T> to(runner.table, out, num_qubits);
  Apply<T>(runner, strings, coefficients, from.data, to.data, from.num_qubits).run(runner);
  to.copy_back();
}

template void apply_pauli_sum(const Runner&, const std::vector<PauliString>&, const double*, const float*, float*, int);
template void apply_pauli_sum(const Runner&, const std::vector<PauliString>&, const double*, const double*, double*,
                              int);

}  // namespace qsim::cpu
