#include "prepare.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "lanes.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr Index cycle_chunk = 4096;
constexpr Index pulse = Index{1} << 16;  // steps of a table between two ticks

template <class T>
class Preparer {
 public:
  Preparer(const KernelTable& table, const Op& op, int num_qubits, Arena& arena, Watch& watch)
      : kernels_(kernels_of<T>(table)),
        op_(op),
        num_qubits_(num_qubits),
        arena_(arena),
        watch_(watch),
        lanes_(table.vector_bytes / static_cast<int>(2 * sizeof(T))),
        lane_qubits_(lowest_bit(static_cast<Bits>(lanes_))),
        block_columns_(table.block_columns) {
    for (int c = 0; c < op.num_controls; ++c) {
      control_mask_ |= bit(op.controls[c]);
      if (op.control_values[c] != 0) control_value_ |= bit(op.controls[c]);
    }
  }

  Prepared<T> rotation(double angle) {
    const double cosine = std::cos(angle / 2), sine = std::sin(angle / 2);
    Bits x = 0, z = 0;
    for (int k = 0; k < op_.num_targets; ++k) {
      const int letter = op_.target_tags[k];  // X 1, Y 2, Z 3
      if (letter != 3) x |= bit(op_.targets[k]);
      if (letter != 1) z |= bit(op_.targets[k]);
    }
    // new[i] = cos a[i] - i sin i^#Y (-1)^parity((i ^ x) & z) a[i ^ x]
    const int y = count_bits(x & z) & 3;
    const bool imaginary = (y & 1) == 0;
    const double factor = (y == 0 || y == 3 ? -1 : 1) * sine;  // -i . i^y = -i, 1, i, -1
    const Bits lane_x = x & lane_mask(), lane_z = z & lane_mask();
    const Bits high_x = x >> lane_qubits_;
    T* keep = arena_.get<T>(elements());
    T* mix = arena_.get<T>(2 * elements());
    for (int lane = 0; lane < lanes_; ++lane) {
      const bool active = is_active(lane);
      const bool odd = odd_parity((static_cast<Bits>(lane) ^ lane_x) & lane_z);
      for (int part = 0; part < 2; ++part) {
        const double value = active ? (odd ? -factor : factor) * (imaginary && part == 0 ? -1 : 1) : 0.0;
        keep[2 * lane + part] = static_cast<T>(active ? cosine : 1.0);
        mix[2 * lane + part] = static_cast<T>(value);
        mix[elements() + static_cast<std::size_t>(2 * lane + part)] = static_cast<T>(-value);
      }
    }
    auto* args = arena_.get<RotationArgs<T>>(1);
    const int pivot = high_x == 0 ? 0 : 63 - __builtin_clzll(high_x);
    const Space space = vectors(high_x == 0 ? 0 : bit(pivot));
    *args = {space, high_x, z >> lane_qubits_, static_cast<int>(2 * lane_x) + (imaginary ? 1 : 0), keep, mix};
    return one(high_x == 0 ? kernels_.rotate_lanes : kernels_.rotate_pairs, args, count(space), high_x == 0 ? 1 : 2);
  }

  Prepared<T> phase(double angle) {
    T* re = arena_.get<T>(2 * elements());
    T* im = re + elements();
    const double cosine = std::cos(angle), sine = std::sin(angle);
    for (int lane = 0; lane < lanes_; ++lane) {
      const bool active = is_active(lane);
      re[2 * lane] = re[2 * lane + 1] = static_cast<T>(active ? cosine : 1);
      im[2 * lane] = static_cast<T>(active ? -sine : 0);
      im[2 * lane + 1] = static_cast<T>(active ? sine : 0);
    }
    auto* args = arena_.get<ScaleArgs<T>>(1);
    *args = {vectors(0), re, im};
    return one(kernels_.scale, args, count(args->space), 1);
  }

  Prepared<T> dense(const Operand& operand) {
    const Split split = split_targets();
    const int num_rows = 1 << split.num_high, num_patterns = 1 << split.num_lane;
    const Index size = Index{1} << op_.num_targets;
    const bool small = op_.num_targets >= 1 && op_.num_targets <= max_register_targets;
    const bool uniform = split.num_lane == 0 && (control_mask_ & lane_mask()) == 0;
    const std::size_t width = uniform ? 1 : elements();
    const std::size_t sources = static_cast<std::size_t>(num_rows) * static_cast<std::size_t>(num_patterns);
    T* coefficients = arena_.get<T>(static_cast<std::size_t>(num_rows) * sources * 2 * width);
    T* to = coefficients;
    bool real = true;
    for (Index e = 0; e < size * size && real; ++e) real = operand.numbers[e].imag() == 0;
    for (int out = 0; out < num_rows; ++out) {
      watch_.tick(0);
      for (int in = 0; in < num_rows; ++in) {
        for (int pattern = 0; pattern < num_patterns; ++pattern, to += 2 * width) {
          for (int lane = 0; lane < (uniform ? 1 : lanes_); ++lane) {
            const int from = lane ^ split.pattern[pattern];
            std::complex<double> value = out == in && pattern == 0 ? 1 : 0;
            if (is_active(lane))
              value = operand.numbers[(split.row_index[out] | split.lane_index[lane]) * size +
                                      (split.row_index[in] | split.lane_index[from])];
            if (uniform) {
              to[0] = static_cast<T>(value.real()), to[1] = static_cast<T>(value.imag());
            } else {
              T *re = to + 2 * lane, *im = re + width;
              re[0] = re[1] = static_cast<T>(value.real());
              im[0] = im[1] = static_cast<T>(value.imag());
            }
          }
        }
      }
    }
    int* patterns = arena_.get<int>(static_cast<std::size_t>(num_patterns));
    for (int p = 0; p < num_patterns; ++p) patterns[p] = 2 * split.pattern[p];
    auto* args = arena_.get<DenseArgs<T>>(1);
    *args = {vectors(split.high_mask), split.offset, patterns, coefficients, num_rows, num_patterns, uniform};
    const double cost = num_rows * (1 + 0.2 * static_cast<double>(size));
    if (small)
      return one(kernels_.dense[split.num_high][split.num_lane][real][uniform], args, count(args->space), cost);
    const std::size_t block = sources * elements() * sizeof(T) * static_cast<std::size_t>(block_columns_);
    return one(kernels_.dense_block, args, count(args->space), cost, block);
  }

  Prepared<T> diagonal(const Operand& operand) {
    // The table in ascending order of qubits: entry = lane bits, then high bits.
    const int k = op_.num_targets;
    int order[max_table_qubits];
    sorted_targets(order);
    int num_lane = 0;
    while (num_lane < k && op_.targets[order[num_lane]] < lane_qubits_) ++num_lane;
    T* table = permuted_vector(operand, order);
    const Space space = vectors(0);
    Bits moved[64];
    std::fill_n(moved, 64, Bits{0});
    for (int j = num_lane; j < k; ++j)
      moved[position_in_item(op_.targets[order[j]] - lane_qubits_, space.fixed)] = bit(j);
    int* sources = arena_.get<int>(2 * elements());
    for (int lane = 0; lane < lanes_; ++lane) {
      int entry = 0;
      for (int j = 0; j < num_lane; ++j) entry |= (lane >> op_.targets[order[j]] & 1) << j;
      for (int part = 0; part < 2; ++part) {
        sources[2 * lane + part] = 2 * entry;
        sources[2 * lanes_ + 2 * lane + part] = 2 * entry + 1;
      }
    }
    T* active = nullptr;
    if ((control_mask_ & lane_mask()) != 0) {
      active = arena_.get<T>(elements());
      for (int lane = 0; lane < lanes_; ++lane) active[2 * lane] = active[2 * lane + 1] = is_active(lane) ? T(1) : T(0);
    }
    auto* args = arena_.get<DiagonalArgs<T>>(1);
    *args = {space, bit_map(moved, item_bits(space)), table, sources, sources + 2 * lanes_, active};
    return one(kernels_.diagonal, args, count(space), 1);
  }

  Prepared<T> permutation(const Operand& operand) {
    const int k = op_.num_targets;
    const Index size = Index{1} << k;
    const bool lane_targets = any_lane_target(), lane_controls = (control_mask_ & lane_mask()) != 0;
    if (!lane_targets && !lane_controls) return k <= 6 ? pairs_or_cycles(operand) : cycles(operand, true);
    if (k > 6) return cycles(operand, false);
    check_permutation(operand.table, size);
    const Split split = split_targets();
    return split.num_high == 0 ? lane_permutation(operand, split) : blend(operand, split);
  }

  Prepared<T> initialize(const Operand& operand) {
    const int k = op_.num_targets;
    int order[max_table_qubits];
    sorted_targets(order);
    const Index length = Index{1} << k;
    auto* args = arena_.get<InitializeArgs<T>>(1);
    Bits mask = 0;
    Bits moved[64];
    for (int j = 0; j < k; ++j) mask |= moved[j] = bit(op_.targets[order[j]]);
    const Space space{mask, 0};
    const Index rest = Index{1} << (num_qubits_ - k);
    const Index chunks = (length + cycle_chunk - 1) / cycle_chunk;
    T* saved = chunks > 1 ? arena_.get<T>(2 * static_cast<std::size_t>(rest)) : nullptr;
    *args = {space, permuted_vector(operand, order), length, std::min(length, cycle_chunk), chunks, bit_map(moved, k),
             saved};
    const double cost = static_cast<double>(args->chunk) / 2;
    if (chunks == 1) return one(kernels_.initialize, args, rest, cost);
    return {{kernels_.save_initialize, args, rest, 2}, {kernels_.initialize, args, rest * chunks, cost}};
  }

 private:
  // Targets as high ones and lane ones. Rows count the high ones, patterns XOR the lane ones.
  struct Split {
    int num_high = 0;
    int num_lane = 0;
    Bits high_mask = 0;   // in vectors
    Bits* offset;         // of row h, in vectors
    Index* row_index;     // bits of the operand's index that row h stands for
    int pattern[8];       // lane XOR of pattern p
    Index lane_index[8];  // bits of the operand's index that a lane stands for
  };

  [[nodiscard]] Split split_targets() {
    Split split{};
    int high[max_table_qubits], lane[3];
    for (int k = 0; k < op_.num_targets; ++k) {
      if (op_.targets[k] >= lane_qubits_) high[split.num_high++] = k;
      else lane[split.num_lane++] = k;
    }
    const std::size_t rows = std::size_t{1} << split.num_high;
    split.offset = arena_.get<Bits>(rows);
    split.row_index = arena_.get<Index>(rows);
    split.offset[0] = 0;
    split.row_index[0] = 0;
    for (std::size_t h = 1; h < rows; ++h) {
      const int k = high[lowest_bit(h)];
      split.offset[h] = split.offset[h & (h - 1)] | bit(op_.targets[k] - lane_qubits_);
      split.row_index[h] = split.row_index[h & (h - 1)] | Index{1} << k;
    }
    split.high_mask = split.offset[rows - 1];
    for (int p = 0; p < 1 << split.num_lane; ++p) {
      split.pattern[p] = 0;
      for (int j = 0; j < split.num_lane; ++j) split.pattern[p] |= (p >> j & 1) << op_.targets[lane[j]];
    }
    for (int l = 0; l < lanes_; ++l) {
      split.lane_index[l] = 0;
      for (int j = 0; j < split.num_lane; ++j) split.lane_index[l] |= Index{l >> op_.targets[lane[j]] & 1} << lane[j];
    }
    return split;
  }

  // The lane whose bits stand for these operand bits, other lane bits as in `like`.
  [[nodiscard]] int lane_of(const Split& split, Index index, int like) const {
    for (int l = 0; l < lanes_; ++l)
      if (((l ^ like) & ~split.pattern[(1 << split.num_lane) - 1]) == 0 &&
          split.lane_index[l] == (index & split.lane_index[lanes_ - 1]))
        return l;
    return like;
  }

  Prepared<T> lane_permutation(const Operand& operand, const Split& split) {
    int* source = arena_.get<int>(elements());
    for (int lane = 0; lane < lanes_; ++lane) {
      const int to = is_active(lane) ? lane_of(split, operand.table[split.lane_index[lane]], lane) : lane;
      source[2 * to] = 2 * lane;
      source[2 * to + 1] = 2 * lane + 1;
    }
    auto* args = arena_.get<LanePermutationArgs>(1);
    *args = {vectors(0), source};
    return one(kernels_.permute_lanes, args, count(args->space), 1);
  }

  Prepared<T> blend(const Operand& operand, const Split& split) {
    const int rows = 1 << split.num_high;
    const std::size_t cells = static_cast<std::size_t>(rows) * static_cast<std::size_t>(rows);
    // source_lane[out][in][lane]: the lane of row `in` that lane of row `out` receives, -1 for another row.
    const std::size_t width = static_cast<std::size_t>(lanes_);
    int* source_lane = arena_.get<int>(cells * width);
    std::fill_n(source_lane, cells * width, -1);
    for (int in = 0; in < rows; ++in) {
      for (int lane = 0; lane < lanes_; ++lane) {
        int out = in, to = lane;
        if (is_active(lane)) {
          const Index image = operand.table[split.row_index[in] | split.lane_index[lane]];
          to = lane_of(split, image, lane);
          out = 0;
          while ((image & split.row_index[rows - 1]) != split.row_index[out]) ++out;
        }
        source_lane[static_cast<std::size_t>(out * rows + in) * width + static_cast<std::size_t>(to)] = lane;
      }
    }
    auto* sources = arena_.get<BlendSource<T>>(cells);
    int num_sources = 0;
    for (int out = 0; out < rows; ++out) {
      const int* whole = source_lane + static_cast<std::size_t>(out * rows + out) * width;
      bool fixed = true;
      for (int lane = 0; lane < lanes_; ++lane) fixed = fixed && whole[lane] == lane;
      if (fixed) continue;
      for (int in = 0; in < rows; ++in) {
        const int* lanes = source_lane + static_cast<std::size_t>(out * rows + in) * width;
        if (rows != 2 && std::all_of(lanes, lanes + lanes_, [](int lane) { return lane < 0; })) continue;
        int* source = arena_.get<int>(elements());
        T* active = arena_.get<T>(elements());
        for (int lane = 0; lane < lanes_; ++lane)
          for (int part = 0; part < 2; ++part) {
            source[2 * lane + part] = lanes[lane] < 0 ? part : 2 * lanes[lane] + part;
            active[2 * lane + part] = lanes[lane] < 0 ? T(0) : T(1);
          }
        sources[num_sources++] = {out, in, false, source, active};
      }
      sources[num_sources - 1].last = true;
    }
    auto* args = arena_.get<BlendArgs<T>>(1);
    *args = {vectors(split.high_mask), split.offset, sources, rows, num_sources};
    const std::size_t scratch = static_cast<std::size_t>(rows) * elements() * sizeof(T);
    return one(kernels_.blend_rows, args, num_sources > 0 ? count(args->space) : 0, 2 * rows, scratch);
  }

  // Whole vectors move. Exchanges, which most named gates are, need no order.
  Prepared<T> pairs_or_cycles(const Operand& operand) {
    const Index size = Index{1} << op_.num_targets;
    check_permutation(operand.table, size);
    for (Index x = 0; x < size; ++x)
      if (operand.table[operand.table[x]] != x) return cycles(operand, true);
    const Split split = split_targets();
    auto* pairs = arena_.get<RowPair>(static_cast<std::size_t>(size) / 2 + 1);
    Index num_pairs = 0;
    for (Index x = 0; x < size; ++x)
      if (operand.table[x] > x) pairs[num_pairs++] = {split.offset[x], split.offset[operand.table[x]]};
    auto* args = arena_.get<SwapRowsArgs>(1);
    *args = {vectors(split.high_mask), pairs, num_pairs};
    return one(kernels_.swap_rows, args, num_pairs > 0 ? count(args->space) : 0, 2.0 * static_cast<double>(num_pairs));
  }

  Prepared<T> cycles(const Operand& operand, bool whole_vectors) {
    const int k = op_.num_targets;
    const Index size = Index{1} << k;
    auto* order = arena_.get<std::uint32_t>(static_cast<std::size_t>(size) + 1);
    const Index length = cycle_order(operand.table, size, order);
    const Index chunks = std::max<Index>(1, (length + cycle_chunk - 1) / cycle_chunk);
    auto* wraps = arena_.get<std::uint32_t>(static_cast<std::size_t>(chunks));
    find_wraps(order, length, chunks, wraps);
    const int shift = whole_vectors ? lane_qubits_ : 0;
    Bits moved[64];
    Bits mask = 0;
    for (int j = 0; j < k; ++j) mask |= moved[j] = bit(op_.targets[j] - shift);
    const Space space = whole_vectors ? vectors(mask) : Space{mask | control_mask_, control_value_};
    const Index rest = Index{1} << (num_qubits_ - shift - count_bits(space.fixed));
    const Index items = length == 0 ? 0 : rest * chunks;
    const std::size_t unit = (whole_vectors ? elements() : 2) * sizeof(T);
    void* saved = chunks > 1 ? arena_.get<char>(2 * unit * static_cast<std::size_t>(items)) : nullptr;
    auto* args = arena_.get<CycleArgs>(1);
    *args = {space, order, length, std::min(length, cycle_chunk), chunks, wraps, bit_map(moved, k), saved};
    const double cost = 2.0 * static_cast<double>(args->chunk);
    Work<T> save{kernels_.save_cycles[whole_vectors], args, chunks > 1 ? items : 0, 4};
    return {save, {kernels_.move_cycles[whole_vectors], args, items, cost}};
  }

  // Rows in cycle order, `head` set on the first of each cycle; fixed rows are left out. Returns how many there are.
  Index cycle_order(const std::int64_t* table, Index size, std::uint32_t* order) {
    const std::size_t words = static_cast<std::size_t>(size + 63) / 64;
    Bits* seen = arena_.get<Bits>(words);
    std::fill_n(seen, words, Bits{0});
    const auto visit = [&](Index row) {
      const Bits mask = Bits{1} << (row & 63);
      const bool fresh = (seen[row >> 6] & mask) == 0;
      seen[row >> 6] |= mask;
      return fresh;
    };
    Index length = 0, steps = 0;
    for (Index start = 0; start < size; ++start) {
      if (++steps % pulse == 0) watch_.tick(0);
      if (table[start] == start || !visit(start)) continue;
      order[length++] = static_cast<std::uint32_t>(start) | CycleArgs::head;
      for (Index row = table[start]; row != start; row = table[row]) {
        if (row < 0 || row >= size || !visit(row)) refuse_permutation();
        order[length++] = static_cast<std::uint32_t>(row);
        if (++steps % pulse == 0) watch_.tick(0);
      }
    }
    return length;
  }

  static void find_wraps(const std::uint32_t* order, Index length, Index chunks, std::uint32_t* wraps) {
    std::fill_n(wraps, chunks, CycleArgs::none);
    Index head_chunk = -1;
    for (Index j = 0; j < length; ++j) {
      if ((order[j] & CycleArgs::head) != 0) head_chunk = j / cycle_chunk;
      const bool ends = j + 1 == length || (order[j + 1] & CycleArgs::head) != 0;
      if (ends && j / cycle_chunk != head_chunk) wraps[head_chunk] = order[j];
    }
  }

  static void check_permutation(const std::int64_t* table, Index size) {
    Bits seen[1] = {0};  // size <= 64
    for (Index x = 0; x < size; ++x) {
      if (table[x] < 0 || table[x] >= size || (seen[0] >> table[x] & 1) != 0) refuse_permutation();
      seen[0] |= bit(static_cast<int>(table[x]));
    }
  }

  [[noreturn]] static void refuse_permutation() {
    throw std::invalid_argument("permutation table: expected every row number exactly once.");
  }

  // Positions of targets in ascending order of qubit.
  void sorted_targets(int* order) const {
    for (int k = 0; k < op_.num_targets; ++k) order[k] = k;
    std::sort(order, order + op_.num_targets, [&](int a, int b) { return op_.targets[a] < op_.targets[b]; });
  }

  // The operand with bit j of its index meaning target order[j]; one vector longer, so that loads may run over its end.
  T* permuted_vector(const Operand& operand, const int* order) {
    Bits moved[64];
    bool same = true;
    for (int j = 0; j < op_.num_targets; ++j) moved[j] = bit(order[j]), same = same && order[j] == j;
    const BitMap map = bit_map(moved, op_.num_targets);
    const Index size = operand.size;
    T* table = arena_.get<T>(2 * static_cast<std::size_t>(size) + elements());
    for (Index x = 0; x < size; ++x) {
      if (x % pulse == 0) watch_.tick(0);
      const Index from = same ? x : static_cast<Index>(lookup(map, static_cast<Bits>(x)));
      table[2 * x] = static_cast<T>(operand.numbers[from].real());
      table[2 * x + 1] = static_cast<T>(operand.numbers[from].imag());
    }
    std::fill_n(table + 2 * size, elements(), T(0));
    return table;
  }

  BitMap bit_map(const Bits* moved, int bits) { return make_bit_map(moved, bits, arena_); }

  [[nodiscard]] bool any_lane_target() const {
    return std::any_of(op_.targets, op_.targets + op_.num_targets, [&](int q) { return q < lane_qubits_; });
  }

  [[nodiscard]] std::size_t elements() const { return static_cast<std::size_t>(2 * lanes_); }
  [[nodiscard]] Bits lane_mask() const { return static_cast<Bits>(lanes_) - 1; }
  [[nodiscard]] bool is_active(int lane) const {
    return ((static_cast<Bits>(lane) ^ control_value_) & control_mask_ & lane_mask()) == 0;
  }
  // Vectors where the high controls hold, `fixed` more bits zero.
  [[nodiscard]] Space vectors(Bits fixed) const {
    return {fixed | control_mask_ >> lane_qubits_, control_value_ >> lane_qubits_};
  }
  [[nodiscard]] int item_bits(const Space& space) const { return num_qubits_ - lane_qubits_ - count_bits(space.fixed); }
  [[nodiscard]] Index count(const Space& space) const { return Index{1} << item_bits(space); }

  static Prepared<T> one(RangeKernel<T> kernel, const void* args, Index items, double cost, std::size_t scratch = 0) {
    return {{}, {kernel, args, items, cost, scratch}};
  }

  const Kernels<T>& kernels_;
  const Op& op_;
  int num_qubits_;
  Arena& arena_;
  Watch& watch_;
  int lanes_;
  int lane_qubits_;
  int block_columns_;
  Bits control_mask_ = 0;
  Bits control_value_ = 0;
};

}  // namespace

template <class T>
Prepared<T> prepare(const KernelTable& table, const Op& op, double angle, const Operand* operand, int num_qubits,
                    Arena& arena, Watch& watch) {
  Preparer<T> preparer(table, op, num_qubits, arena, watch);
  switch (op.kind) {
    case OpKind::rotation: return preparer.rotation(angle);
    case OpKind::phase: return preparer.phase(angle);
    case OpKind::dense: return preparer.dense(*operand);
    case OpKind::diagonal: return preparer.diagonal(*operand);
    case OpKind::permutation: return preparer.permutation(*operand);
    case OpKind::initialize: return preparer.initialize(*operand);
  }
  throw std::invalid_argument("operation kind: expected a unitary or an initialisation.");
}

template Prepared<float> prepare(const KernelTable&, const Op&, double, const Operand*, int, Arena&, Watch&);
template Prepared<double> prepare(const KernelTable&, const Op&, double, const Operand*, int, Arena&, Watch&);

}  // namespace qsim::cpu
