#include "pauli_sum.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "lanes.hpp"

namespace qsim::cpu {
namespace {

// Output is made block by block. A block of output and one of input stay in the second-level cache, and a block of
// input serves all strings that read it. Within, a chunk of output at a time: it stays in the first level while the
// strings are added, several per load and store, and the signs of strings with the same X are summed for a chunk.
constexpr int block_qubits = 14;
constexpr int chunk_qubits = 10;
constexpr Index most_groups = 8;        // added at a time
constexpr Index thread_work = 1 << 17;  // amplitudes read: threads are worth waking for this many

// Strings with the same X, all real or all imaginary: i^(number of Y) (-1)^parity(j & z) |j ^ x><j|.
struct Group {
  Bits x;
  bool imaginary;
  Index begin, end;  // in the order of terms
};

struct Order {
  std::vector<Index> terms;
  std::vector<Group> groups;
};

int num_y(const PauliSum& sum, Index k) {
  return count_bits(sum.x[k] & sum.z[k]) & 3;
}

Order order_of(const PauliSum& sum) {
  Order order;
  order.terms.resize(static_cast<std::size_t>(sum.terms));
  std::iota(order.terms.begin(), order.terms.end(), Index{0});
  auto imaginary = [&](Index k) { return (num_y(sum, k) & 1) != 0; };
  std::stable_sort(order.terms.begin(), order.terms.end(), [&](Index a, Index b) {
    return sum.x[a] != sum.x[b] ? sum.x[a] < sum.x[b] : imaginary(a) < imaginary(b);
  });
  for (Index i = 0; i < sum.terms; ++i) {
    const Index k = order.terms[static_cast<std::size_t>(i)];
    if (order.groups.empty() || order.groups.back().x != sum.x[k] || order.groups.back().imaginary != imaginary(k))
      order.groups.push_back({sum.x[k], imaginary(k), i, i});
    order.groups.back().end = i + 1;
  }
  return order;
}

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
  Apply(const Runner& runner, const PauliSum& sum, const T* in, T* out, int num_qubits)
      : sum_(sum),
        order_(order_of(sum)),
        kernel_(kernels_of<T>(runner.table).add_paulis),
        num_qubits_(num_qubits),
        in_(in),
        out_(out),
        lane_qubits_(lowest_bit(static_cast<Bits>(runner.table.vector_bytes) / (2 * sizeof(T)))),
        block_(std::clamp(num_qubits - 3, std::min(lane_qubits_ + 3, num_qubits), block_qubits)),
        chunk_(std::min(block_, chunk_qubits)) {}

  [[nodiscard]] int block() const { return block_; }

  // Amplitudes read.
  [[nodiscard]] Index work() const { return static_cast<Index>(order_.groups.size()) << num_qubits_; }

  // Doubles of scratch.
  [[nodiscard]] std::size_t scratch() const { return static_cast<std::size_t>(1 + 2 * most_groups) << chunk_; }

  void operator()(Index block, double* scratch) const {
    const Index begin = block << block_, size = Index{1} << block_;
    std::memset(static_cast<void*>(out_ + 2 * begin), 0, static_cast<std::size_t>(2 * size) * sizeof(T));
    const Index groups = static_cast<Index>(order_.groups.size());
    for (Index first = 0, last = 0; first < groups; first = last) {
      const Bits source = order_.groups[static_cast<std::size_t>(first)].x >> block_;
      while (last < groups && last < first + most_groups &&
             order_.groups[static_cast<std::size_t>(last)].x >> block_ == source)
        ++last;
      for (Index chunk = begin; chunk < begin + size; chunk += Index{1} << chunk_) add(first, last, chunk, scratch);
    }
  }

 private:
  struct alignas(64) Mix {
    T vectors[2 * 64 / sizeof(T)];
  };

  // Groups [first, last) onto the outputs of one chunk.
  void add(Index first, Index last, Index chunk, double* scratch) const {
    AddPauliArgs<T> args[most_groups];
    Mix mixes[most_groups];
    T* factors = reinterpret_cast<T*>(scratch + (Index{1} << chunk_));
    for (Index g = first; g < last; ++g) {
      T* mine = factors + (g - first) * (Index{2} << chunk_);
      args[g - first] =
          args_of(order_.groups[static_cast<std::size_t>(g)], chunk, mixes[g - first].vectors, scratch, mine);
    }
    const Index step = Index{1} << (chunk_ - lane_qubits_), at = chunk >> lane_qubits_;
    kernel_(args, last - first, in_, out_, at, at + step);
  }

  AddPauliArgs<T> args_of(const Group& group, Index chunk, T* mix, double* scratch, T* factors) const {
    const int lanes = 1 << lane_qubits_;
    const Bits source = (static_cast<Bits>(chunk) ^ group.x) >> chunk_ << chunk_;
    AddPauliArgs<T> args{group.x >> lane_qubits_,
                         0,
                         static_cast<int>(2 * (group.x & (static_cast<Bits>(lanes) - 1))) + (group.imaginary ? 1 : 0),
                         mix,
                         nullptr,
                         source >> lane_qubits_};
    const Index first = order_.terms[static_cast<std::size_t>(group.begin)];
    const bool single = group.end - group.begin == 1;
    const Bits z = single ? sum_.z[first] : 0;
    for (int lane = 0; lane < lanes; ++lane) {
      const Bits from = static_cast<Bits>(lane) ^ (group.x & (static_cast<Bits>(lanes) - 1));
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
  [[nodiscard]] double weight(Index k) const { return num_y(sum_, k) < 2 ? sum_.coefficient[k] : -sum_.coefficient[k]; }

  // What the inputs at `source` and after it are multiplied by, twice: for re and im.
  void sum_signs(const Group& group, Bits source, double* scratch, T* pairs) const {
    const Index size = Index{1} << chunk_;
    std::fill_n(scratch, size, 0.0);
    for (Index i = group.begin; i < group.end; ++i) {
      const Index k = order_.terms[static_cast<std::size_t>(i)];
      const double value = odd_parity(source & sum_.z[k]) ? -weight(k) : weight(k);
      scratch[sum_.z[k] & (static_cast<Bits>(size) - 1)] += value;
    }
    transform(scratch, size);
    for (Index a = 0; a < size; ++a) pairs[2 * a] = pairs[2 * a + 1] = static_cast<T>(scratch[a]);
  }

  const PauliSum& sum_;
  const Order order_;
  void (*kernel_)(const AddPauliArgs<T>*, Index, const T*, T*, Index, Index);
  int num_qubits_;
  const T* in_;
  T* out_;
  int lane_qubits_, block_, chunk_;
};

}  // namespace

template <class T>
void apply_pauli_sum(const Runner& runner, const PauliSum& sum, const T* in, T* out, int num_qubits) {
  const Padded<T> from(runner.table, const_cast<T*>(in), num_qubits);  // never copied back
  Padded<T> to(runner.table, out, num_qubits);
  const Apply<T> apply(runner, sum, from.data, to.data, from.num_qubits);
  const Index blocks = Index{1} << (from.num_qubits - apply.block());
  const int threads = static_cast<int>(std::min<Index>(runner.threads, apply.work() < thread_work ? 1 : blocks));
  const std::size_t width = apply.scratch();
  const Buffer scratch(sizeof(double) * width * static_cast<std::size_t>(threads));
  auto task = [&](Index begin, Index end, int participant, Watch&) {
    for (Index block = begin; block < end; ++block)
      apply(block, static_cast<double*>(scratch.data()) + width * static_cast<std::size_t>(participant));
  };
  parallel_for(threads, blocks, 1, runner.watch, task);
  to.copy_back();
}

template void apply_pauli_sum(const Runner&, const PauliSum&, const float*, float*, int);
template void apply_pauli_sum(const Runner&, const PauliSum&, const double*, double*, int);

}  // namespace qsim::cpu
