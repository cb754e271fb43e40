#include "lowering.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "prepare.hpp"
#include "program.cuh"
#include "qsim/bits.hpp"
#include "support.hpp"

namespace qsim::cuda {
namespace {

constexpr int lane_bits = 5;
constexpr int max_lane_ops = 2;        // a shuffle costs about what a trip through shared memory does
constexpr int max_group_targets = 12;  // of what a block does in shared memory
constexpr int max_dense_sweep = 5;
constexpr int sweep_threads = 128;
constexpr int second_qubit = 62;         // what the highest bit of a tile of two states stands for: second_state
constexpr std::size_t max_merged = 128;  // tile constants of a pass

static_assert(second_state == Bits{1} << second_qubit && second_qubit >= max_qubits, "no qubit of a state");

// One operation as the kernels see it.
struct Item {
  Op op;
  Index row;
  OpKind kind;
  Bits flips = 0;     // qubits whose basis states it mixes: they must be local
  Bits signs = 0;     // Z and Y letters of a rotation
  Bits diagonal = 0;  // qubits it only reads: controls, Z letters, targets of a diagonal
  Bits controls = 0, values = 0;
  int num_y = 0;
  bool wanted = false;  // its slope is
};

bool is_diagonal(const Operand& operand, int k) {
  const Index size = Index{1} << k;
  for (Index i = 0; i < size; ++i)
    for (Index j = 0; j < size; ++j)
      if (i != j && operand.numbers[i * size + j] != 0.0) return false;
  return true;
}

template <class T>
class Lowering {
 public:
  Lowering(const cpu::Stage& stage, Index batch, int num_qubits, Index max_blocks, const Adjoint& adjoint, Ends ends)
      : stage_(stage),
        batch_(batch),
        num_qubits_(num_qubits),
        max_blocks_(max_blocks),
        adjoint_(adjoint),
        ends_(ends),
        two_(adjoint.wanted != nullptr ? 1 : 0) {
    rows_ = stage.values_shared ? 1 : batch;
    numbers_.resize(static_cast<std::size_t>(rows_));
  }

  void add(const Pass& pass) {
    const bool tiled = count_bits(pass.local) <= Shape<T>::tile_bits - two_;  // else planned for another memory
    int slopes = 0;
    bool open = false;  // the last unit takes more
    for (Index row = pass.first_op; row < pass.last_op; ++row) {
      const Item item = item_of(row);
      if (item.wanted && ++slopes > max_slopes) {
        open = false;
        slopes = 1;
      }
      const bool inside = tiled && fits(item, pass.local);
      if (!inside || !open) units_.push_back({{}, pass.local, !inside, {}});
      units_.back().items.push_back(item);
      open = inside;
    }
  }

  LaunchList finish() {
    if (ends_.to_zero) look_ahead();
    if (two_ != 0) leave_out_what_nobody_wants();
    if (ends_.from_zero) look_behind();
    for (const Unit& unit : units_) {
      parities_ = unit.parities;
      if (unit.alone) add_alone(unit.items.front());
      else add_tile(unit.items, unit.local);
    }
    // The numbers of all launches are one table, row by row; now its width is known.
    const std::size_t width = numbers_[0].size();
    const std::size_t start = align();
    constexpr std::size_t each = sizeof(std::complex<T>);
    list_.program.resize(start + static_cast<std::size_t>(rows_) * width * each);
    for (std::size_t row = 0; row < numbers_.size(); ++row)
      std::memcpy(list_.program.data() + start + row * width * each, numbers_[row].data(), width * each);
    const u64 stride = rows_ > 1 ? width : 0;
    for (const std::size_t place : patches_) {
      const std::array<u64, 2> both{start, stride};
      std::memcpy(list_.program.data() + place, both.data(), sizeof both);
    }
    return std::move(list_);
  }

 private:
  // Operations of a tile, or one alone; the parities of the tiles that it must run.
  struct Unit {
    std::vector<Item> items;
    Bits local;
    bool alone;
    std::vector<cpu::Support::Parity> parities;
  };

  // --- what can't hold an amplitude

  [[nodiscard]] Bits outside_of(const Unit& unit) const { return (bit(num_qubits_) - 1) & ~tile_of(unit.local); }

  // The local qubits, then the lowest others, so that rows are long.
  [[nodiscard]] Bits tile_of(Bits local) const {
    const int wanted = std::min(num_qubits_, Shape<T>::tile_bits - two_);
    for (int q = 0; q < num_qubits_ && count_bits(local) < wanted; ++q) local |= bit(q);
    return local;
  }

  // The angle of an operation, if all elements of the batch have the same; else one that is no multiple of anything.
  [[nodiscard]] double angle_of(const Item& item) const {
    const auto of = [&](Index row) { return stage_.values[row * stage_.num_values + item.op.data]; };
    for (Index row = 1; row < rows_; ++row)
      if (of(row) != of(0)) return 0.7390851332151607;
    return of(0);
  }

  template <class Step>
  void follow(const Item& item, Step step) const {
    const bool angled = cpu::has_angle(item.op.kind);
    step(item.op, angled ? angle_of(item) : 0.0, angled ? nullptr : &operand(item));
  }

  // A state that begins as |0...0>: tiles of zeros stay zero.
  void look_behind() {
    cpu::Support support(num_qubits_);
    for (Unit& unit : units_) {
      if (!unit.alone) unit.parities = support.parities(outside_of(unit));
      for (const Item& item : unit.items)
        follow(item, [&](const Op& op, double angle, const Operand* operand) { support.apply(op, angle, operand); });
    }
  }

  // A ket that ends as |0...0>: where it is zero already the bra makes no slope. But a later unit may bring the bra
  // together with where the ket is not, so only what stays fixed to the end can be left alone.
  void look_ahead() {
    cpu::Support support(num_qubits_);
    const std::size_t stop = units_wanted();
    for (std::size_t u = units_.size(); u-- > 0;) {
      Unit& unit = units_[u];
      for (auto item = unit.items.rbegin(); item != unit.items.rend(); ++item)
        follow(*item, [&](const Op& op, double angle, const Operand* operand) { support.undo(op, angle, operand); });
      if (unit.alone || u >= stop) continue;
      for (const cpu::Support::Parity& parity : support.parities(outside_of(unit))) {
        const bool last = u + 1 == stop;
        if (last || std::count(units_[u + 1].parities.begin(), units_[u + 1].parities.end(), parity) > 0)
          unit.parities.push_back(parity);
      }
    }
  }

  // Units up to the last one with a slope.
  [[nodiscard]] std::size_t units_wanted() const {
    std::size_t stop = units_.size();
    const auto wanted = [](const Item& item) { return item.wanted; };
    while (stop > 0 && std::none_of(units_[stop - 1].items.begin(), units_[stop - 1].items.end(), wanted)) --stop;
    return stop;
  }

  void leave_out_what_nobody_wants() {
    units_.resize(units_wanted());
    if (units_.empty()) return;
    std::vector<Item>& items = units_.back().items;
    while (!items.back().wanted) items.pop_back();
  }

  // --- the program ---------------------------------------------------------------------------------------------------

  std::size_t align() {
    list_.program.resize((list_.program.size() + 15) / 16 * 16);
    return list_.program.size();
  }

  template <class Entry>
  u64 put(const Entry* entries, std::size_t count) {
    const std::size_t start = align(), bytes = count * sizeof(Entry);
    list_.program.resize(start + bytes);
    if (bytes > 0) std::memcpy(list_.program.data() + start, entries, bytes);
    return start;
  }

  template <class Struct>
  u64 put(const Struct& value) {
    return put(&value, 1);
  }

  // Write a struct whose members numbers and stride finish() fills in.
  template <class Struct>
  u64 put_numbered(const Struct& value) {
    const u64 start = put(value);
    patches_.push_back(start + offsetof(Struct, numbers));
    static_assert(offsetof(Struct, stride) == offsetof(Struct, numbers) + sizeof(u64), "patched together");
    return start;
  }

  u64 put_complex(const std::complex<double>* numbers, std::size_t count) {
    std::vector<T> values(2 * count);
    for (std::size_t k = 0; k < count; ++k) {
      values[2 * k] = static_cast<T>(numbers[k].real());
      values[2 * k + 1] = static_cast<T>(numbers[k].imag());
    }
    return put(values.data(), values.size());
  }

  // Append (cos, sin) of scale·angle to every row; return their column.
  u64 angle(Index data, double scale) {
    const u64 column = numbers_[0].size();
    for (Index row = 0; row < rows_; ++row) {
      const double value = scale * stage_.values[row * stage_.num_values + data];
      numbers_[static_cast<std::size_t>(row)].emplace_back(static_cast<T>(std::cos(value)),
                                                           static_cast<T>(std::sin(value)));
    }
    return column;
  }

  void launch(const char* name, Index items, int threads, std::size_t shared, u64 offset, Index row, bool per_thread) {
    const Index blocks = per_thread ? (items + threads - 1) / threads : items;
    push(name, std::min(blocks, max_blocks_), threads, shared, offset, row);
    if (two_ == 0) return;
    list_.launches.push_back(list_.launches.back());
    list_.launches.back().on_second = true;
  }

  void push(const char* name, Index blocks, int threads, std::size_t shared, u64 offset, Index row, int stages = 0) {
    list_.launches.push_back({std::string("qsim_") + name + (sizeof(T) == 4 ? "_f32" : "_f64"), blocks, threads,
                              static_cast<int>(shared), offset, row, stages, false});
  }

  // The parts in which `tiles` (a power of two) of an element are summed.
  int slice_bits(Index tiles_bits) const { return std::min(adjoint_.max_slice_bits, static_cast<int>(tiles_bits)); }

  // --- operations
  // ------------------------------------------------------------------------------------------------------

  Item item_of(Index row) const {
    Item item{unpack(stage_.ops, row), row, OpKind::rotation};
    const Op& op = item.op;
    item.kind = op.kind;
    for (int k = 0; k < op.num_controls; ++k) {
      item.controls |= bit(op.controls[k]);
      if (op.control_values[k] != 0) item.values |= bit(op.controls[k]);
    }
    item.diagonal = item.controls;
    if (op.kind == OpKind::dense && is_diagonal(operand(item), op.num_targets)) item.kind = OpKind::diagonal;
    for (int k = 0; k < op.num_targets; ++k) {
      const Bits here = bit(op.targets[k]);
      if (op.kind == OpKind::rotation) {
        const int letter = op.target_tags[k];  // I 0, X 1, Y 2, Z 3
        if (letter == 1 || letter == 2) item.flips |= here;
        if (letter == 2 || letter == 3) item.signs |= here;
        if (letter == 3) item.diagonal |= here;
        item.num_y += letter == 2;
      } else if (item.kind == OpKind::diagonal) {
        item.diagonal |= here;
      } else {
        item.flips |= here;
      }
    }
    item.wanted = two_ != 0 && cpu::has_angle(op.kind) && adjoint_.wanted[op.data] != 0;
    return item;
  }

  const Operand& operand(const Item& item) const { return stage_.operands[item.op.data]; }

  bool fits(const Item& item, Bits local) const {
    if ((item.flips & ~local) != 0) return false;
    switch (item.kind) {
      case OpKind::dense: return item.op.num_targets <= registers - two_;
      case OpKind::initialize: return false;
      default: return true;
    }
  }

  // An operation in a sweep of its own, or in a tile of its own where that does as well.
  void add_alone(const Item& item) {
    const int width = count_bits(item.flips);
    const bool sweep = item.kind == OpKind::initialize || (item.kind == OpKind::rotation && width > 1) ||
                       (item.kind == OpKind::dense && num_qubits_ >= 4) ||
                       (item.kind == OpKind::dense && width > registers - two_) ||
                       (item.kind == OpKind::permutation && width > Shape<T>::tile_bits - 4 - two_);
    if (sweep && item.wanted) add_slope_sweep(item);
    if (!sweep) return add_tile({item}, item.flips);
    switch (item.kind) {
      case OpKind::initialize: return add_initialize(item);
      case OpKind::rotation: return add_pauli(item);
      case OpKind::permutation: return add_permutation(item);
      default: return add_dense(item);
    }
  }

  // --- tiles
  // -------------------------------------------------------------------------------------------------------------

  static constexpr int registers = Shape<T>::register_bits;
  static constexpr bool packed = sizeof(T) == 4;     // threads take two amplitudes, 128 bits
  using Slots = std::array<int, max_register_bits>;  // tile bit held at each register position, or -1

  // How an item meets the registers of a stage: at which positions its targets lie.
  struct Placed {
    Item item;
    std::vector<int> positions;  // of targets[0], targets[1], ...; empty for diagonals
    bool lane = false;
  };

  bool is_exchange(const Item& item) const {
    const int width = count_bits(item.flips);
    return (item.kind == OpKind::rotation && width > 2) ||
           (item.kind == OpKind::permutation && (width > 1 || !is_flip(item)));
  }

  bool is_flip(const Item& item) const {
    return item.kind == OpKind::permutation && item.op.num_targets == 1 && operand(item).table[0] == 1;
  }

  bool can_lie_on_lanes(const Item& item) const {
    return !item.wanted && count_bits(item.flips) == 1 && (item.kind == OpKind::rotation || is_flip(item));
  }

  int tile_bit(int qubit) const {
    for (int k = 0; k < tile_bits_; ++k)
      if (tile_qubits_[static_cast<std::size_t>(k)] == qubit) return k;
    return -1;
  }

  // Give the targets of an item register positions, filling free slots; false if they do not fit.
  bool place(const Item& item, Slots& slots, std::vector<int>& positions) const {
    positions.clear();
    if (item.flips == 0) return true;
    std::vector<int> bits;
    for (int k = 0; k < item.op.num_targets; ++k)
      if ((item.flips >> item.op.targets[k] & 1) != 0) bits.push_back(tile_bit(item.op.targets[k]));
    const int width = static_cast<int>(bits.size());
    // Windows of neighbouring positions the kernels know: any single one (from the top), (0,1), (2,3), (0,1,2), all.
    std::vector<int> starts;
    if (width == 1)
      for (int s = registers - 1; s >= 0; --s) starts.push_back(s);
    else if (width == 2 && registers == 4) starts = {0, 2};
    else starts = {0};
    // A window that already holds the bits wins over one that has room.
    for (const bool held_only : {true, false}) {
      for (const int start : starts) {
        Slots trial = slots;
        std::vector<int> found(bits.size(), -1);
        bool ok = true;
        for (std::size_t b = 0; b < bits.size(); ++b) {
          for (int p = 0; p < registers; ++p)
            if (trial[static_cast<std::size_t>(p)] == bits[b]) found[b] = p;
          if (found[b] >= 0 && (found[b] < start || found[b] >= start + width)) ok = false;
        }
        for (std::size_t b = 0; ok && b < bits.size(); ++b) {
          for (int p = start; found[b] < 0 && p < start + width; ++p) {
            if (trial[static_cast<std::size_t>(p)] != -1 || held_only) continue;
            trial[static_cast<std::size_t>(p)] = bits[b];
            found[b] = p;
          }
          ok = found[b] >= 0;
        }
        if (!ok) continue;
        slots = trial;
        positions = found;
        return true;
      }
    }
    return false;
  }

  void add_tile(std::vector<Item> items, Bits local) {
    const Bits rest = tile_of(local);
    tile_qubits_.clear();
    for (int q = 0; q < num_qubits_; ++q)
      if ((rest >> q & 1) != 0) tile_qubits_.push_back(q);
    // Then bits the register does not have.
    for (int q = num_qubits_; static_cast<int>(tile_qubits_.size()) < registers + lane_bits - two_; ++q)
      tile_qubits_.push_back(q);
    if (two_ != 0) tile_qubits_.push_back(second_qubit);
    tile_bits_ = static_cast<int>(tile_qubits_.size());
    const Index row = items.front().row;
    constants_.clear();
    slope_columns_.clear();

    std::vector<TileStage> stages;
    while (!items.empty()) {
      if (is_exchange(items.front())) {
        if (items.front().wanted) stages.push_back(exchange_stage(items.front(), true));
        stages.push_back(exchange_stage(items.front()));
        items.erase(items.begin());
      } else {
        stages.push_back(register_stage(items));
      }
    }
    TilePass pass{};
    for (const TileStage& stage : stages)
      pass.staged = std::max(pass.staged, static_cast<u64>(stage.num_entries + stage.num_angles + 1) / 2 * 2);
    pass.fixed = rest;
    std::vector<TileParity> parities;
    for (const cpu::Support::Parity& parity : parities_) {
      parities.push_back({parity.others, parity.pivot, parity.odd ? u64{1} : u64{0}});
      pass.fixed |= parity.pivot;
    }
    pass.num_parities = static_cast<i32>(parities.size());
    pass.parities = put(parities.data(), parities.size());
    const int outside = num_qubits_ - count_bits(pass.fixed);
    pass.num_items = static_cast<u64>(batch_) << outside;
    pass.num_amplitudes = u64{1} << num_qubits_;
    pass.count_bits = outside;
    pass.tile_bits = tile_bits_;
    pass.num_stages = static_cast<i32>(stages.size());
    pass.stages = put(stages.data(), stages.size());
    for (int k = 0; k < tile_bits_; ++k) pass.index[k] = u64{1} << tile_qubits_[static_cast<std::size_t>(k)];
    pass.num_constants = static_cast<i32>(constants_.size());
    pass.constants = put(constants_.data(), constants_.size());
    pass.num_slopes = static_cast<i32>(slope_columns_.size());
    pass.slope_columns = put(slope_columns_.data(), slope_columns_.size());
    Index blocks = std::min(batch_ << outside, max_blocks_);
    if (two_ != 0) {
      pass.second = adjoint_.second;
      pass.slopes = adjoint_.slopes;
      pass.num_columns = static_cast<u64>(adjoint_.num_columns);
      pass.max_slice_bits = adjoint_.max_slice_bits;
    }
    if (pass.num_slopes > 0) {
      pass.slice_bits = slice_bits(outside);
      blocks = batch_ << pass.slice_bits;
    }
    const std::size_t shared = ((std::size_t{2} * sizeof(T)) << tile_bits_) +
                               2 * sizeof(T) * (2 * pass.staged + (constants_.size() + 1) / 2 * 2) +
                               sizeof(double) * max_warps * slope_columns_.size();
    push("tile", blocks, 1 << (tile_bits_ - registers), shared, put_numbered(pass), row,
         static_cast<int>(stages.size()));
  }

  // The second of two states is always at the highest register position.
  Slots empty_slots() const {
    Slots slots;
    slots.fill(-1);
    if (two_ != 0) slots[registers - 1] = tile_bits_ - 1;
    return slots;
  }

  // Which bit of the tile each register position and each bit of the thread number stands for.
  TileStage deal(Slots slots, const std::vector<int>& lanes) const {
    std::vector<int> free;
    for (int k = tile_bits_ - 1; k >= 0; --k)
      if (std::find(slots.begin(), slots.end(), k) == slots.end() &&
          std::find(lanes.begin(), lanes.end(), k) == lanes.end())
        free.push_back(k);
    for (int p = 0; p < registers; ++p) {
      if (slots[static_cast<std::size_t>(p)] != -1) continue;
      slots[static_cast<std::size_t>(p)] = free.front();  // the highest bits
      free.erase(free.begin());
    }
    std::reverse(free.begin(), free.end());
    // Lanes that meet different banks first: bits of different classes modulo bank_bits.
    std::vector<int> threads = lanes;
    for (int c = 0; c < Shape<T>::bank_bits; ++c) {
      const auto same = [c](int k) { return k % Shape<T>::bank_bits == c; };
      if (static_cast<int>(threads.size()) >= lane_bits || std::any_of(threads.begin(), threads.end(), same)) continue;
      const auto found = std::find_if(free.begin(), free.end(), same);
      if (found == free.end()) continue;
      threads.push_back(*found);
      free.erase(found);
    }
    threads.insert(threads.end(), free.begin(), free.end());
    TileStage stage{};
    for (int p = 0; p < registers; ++p) {
      const int k = slots[static_cast<std::size_t>(p)];
      stage.register_address[p] = swizzled<T>(1u << k);
      stage.register_index[p] = u64{1} << tile_qubits_[static_cast<std::size_t>(k)];
      stage.register_tile[p] = 1u << k;
    }
    for (std::size_t b = 0; b < threads.size(); ++b) {
      stage.thread_address[b] = swizzled<T>(1u << threads[b]);
      stage.thread_index[b] = u64{1} << tile_qubits_[static_cast<std::size_t>(threads[b])];
      stage.thread_tile[b] = 1u << threads[b];
    }
    return stage;
  }

  static bool commutes(const Item& item, Bits skipped_flips, Bits skipped_diagonal) {
    return (item.flips & (skipped_flips | skipped_diagonal)) == 0 && (item.diagonal & skipped_flips) == 0;
  }

  // Take from `items` all that one arrangement of registers can do, in an order that means the same.
  TileStage register_stage(std::vector<Item>& items) {
    Slots slots = empty_slots();
    std::vector<Placed> taken;
    std::vector<Item> left;
    Bits skipped_flips = 0, skipped_diagonal = 0;
    std::size_t numbers = max_lane_ops, entries = 0;
    for (const Item& item : items) {
      std::vector<int> positions;
      if (commutes(item, skipped_flips, skipped_diagonal) && !is_exchange(item) &&
          numbers + numbers_of(item) <= capacity && place(item, slots, positions)) {
        taken.push_back({item, positions});
        numbers += numbers_of(item);
        entries += item.kind == OpKind::dense ? numbers_of(item) : 0;
        continue;
      }
      skipped_flips |= item.flips;
      skipped_diagonal |= item.diagonal;
      left.push_back(item);
    }
    // A last op or two go along by shuffles, if that saves a stage.
    std::vector<int> lanes;
    if (static_cast<int>(left.size()) <= max_lane_ops &&
        std::all_of(left.begin(), left.end(), [this](const Item& item) { return can_lie_on_lanes(item); })) {
      for (const Item& item : left) {
        const int k = tile_bit(lowest_bit(item.flips));
        const auto held = std::find(slots.begin(), slots.end(), k);
        if (held != slots.end()) {
          taken.push_back({item, {static_cast<int>(held - slots.begin())}});
          continue;
        }
        if (std::find(lanes.begin(), lanes.end(), k) == lanes.end()) lanes.push_back(k);
        const int lane = static_cast<int>(std::find(lanes.begin(), lanes.end(), k) - lanes.begin());
        taken.push_back({item, {lane}, true});
      }
      left.clear();
    }
    items = std::move(left);
    TileStage stage = deal(slots, lanes);
    begin_numbers(entries);
    std::vector<TileOp> ops;
    ops.reserve(taken.size());
    std::vector<Group> groups;
    for (const Placed& placed : taken) {
      if (placed.item.wanted) ops.push_back(slope_op(placed.item, stage));
      const TileOp op = tile_op(placed, stage);
      if (!merge(op, placed.item, ops, groups)) ops.push_back(op);
      for (Group& group : groups) group.flips |= placed.item.flips;
    }
    for (Group& group : groups) finish_group(group, ops[group.place]);
    stage.kind = stage_registers;
    stage.num_ops = static_cast<i32>(ops.size());
    stage.ops = put(ops.data(), ops.size());
    put_numbers(stage);
    return stage;
  }

  // --- the numbers of a stage, which lie in shared memory while it runs: its matrices, then its angles

  static constexpr std::size_t capacity = max_staged / sizeof(std::complex<T>);
  static_assert((std::size_t{1} << 2 * registers) + max_lane_ops <= capacity, "a stage has room for any operation");

  static std::size_t numbers_of(const Item& item) {
    if (item.kind == OpKind::dense) return std::size_t{1} << 2 * item.op.num_targets;
    return cpu::has_angle(item.kind) ? 1 : 0;
  }

  void begin_numbers(std::size_t entries) {
    matrices_.clear();
    first_angle_ = numbers_[0].size();
    column_of_first_ = first_angle_ - entries;
  }

  u64 staged_angle(Index data, double scale) { return angle(data, scale) - column_of_first_; }

  void put_numbers(TileStage& stage) {
    stage.num_entries = static_cast<i32>(matrices_.size());
    stage.matrices = put_complex(matrices_.data(), matrices_.size());
    stage.num_angles = static_cast<i32>(numbers_[0].size() - first_angle_);
    stage.angles = first_angle_;
  }

  // Split masks over qubits into register positions and the rest.
  static u32 registers_of(Bits mask, const TileStage& stage) {
    u32 result = 0;
    for (int p = 0; p < registers; ++p)
      if ((mask & stage.register_index[p]) != 0) result |= 1u << p;
    return result;
  }

  static Bits rest_of(Bits mask, const TileStage& stage) {
    for (int p = 0; p < registers; ++p) mask &= ~Bits{stage.register_index[p]};
    return mask;
  }

  TileOp tile_op(const Placed& placed, const TileStage& stage) {
    const Item& item = placed.item;
    TileOp op{};
    op.register_controls = registers_of(item.controls, stage);
    op.register_values = registers_of(item.values, stage);
    op.controls = rest_of(item.controls, stage);
    op.values = rest_of(item.values, stage);
    switch (item.kind) {
      case OpKind::phase:
        op.kind = op_phase;
        op.numbers = staged_angle(item.op.data, 1.0);
        break;
      case OpKind::rotation:
        op.numbers = staged_angle(item.op.data, 0.5);
        op.register_z = registers_of(item.signs & ~item.flips, stage);
        op.z = rest_of(item.signs & ~item.flips, stage);
        if (item.flips == 0) {
          op.kind = op_rotate_z;
          break;
        }
        if (count_bits(item.flips) == 2) {
          op.kind = op_rotate_pair;
          op.bit = std::min(placed.positions[0], placed.positions[1]);
          op.register_z = registers_of(item.signs, stage);
          op.num_places = static_cast<u32>(item.num_y);
          break;
        }
        op.bit = placed.positions[0];
        op.kind = item.num_y == 0 ? (placed.lane ? op_lane_x : op_rotate_x) : (placed.lane ? op_lane_y : op_rotate_y);
        break;
      case OpKind::permutation:
        op.kind = placed.lane ? op_lane_flip : op_flip;
        op.bit = placed.positions[0];
        break;
      case OpKind::dense: dense_op(op, item, placed.positions); break;
      default: diagonal_op(op, item);
    }
    return op;
  }

  // The matrix with bit p of its index at the p-th of the neighbouring positions.
  void dense_op(TileOp& op, const Item& item, const std::vector<int>& positions) {
    const int k = item.op.num_targets;
    const int first = *std::min_element(positions.begin(), positions.end());
    const Index size = Index{1} << k;
    const auto moved = [&](Index entry) {
      Index result = 0;
      for (int t = 0; t < k; ++t) result |= (entry >> (positions[static_cast<std::size_t>(t)] - first) & 1) << t;
      return result;
    };
    op.numbers = matrices_.size();
    for (Index i = 0; i < size; ++i)
      for (Index j = 0; j < size; ++j) matrices_.push_back(operand(item).numbers[moved(i) * size + moved(j)]);
    constexpr std::array<i32, 5> kinds{0, op_dense1, op_dense2, op_dense3, op_dense4};
    op.kind = kinds[static_cast<std::size_t>(k)];
    op.bit = first;
  }

  void diagonal_op(TileOp& op, const Item& item) {
    const std::size_t size = std::size_t{1} << item.op.num_targets;
    const std::complex<double>* numbers = operand(item).numbers;
    std::vector<std::complex<double>> factors(numbers, numbers + size);
    if (item.op.kind == OpKind::dense)
      for (std::size_t k = 0; k < size; ++k) factors[k] = numbers[k * size + k];
    op.kind = op_diagonal;
    op.table = put_complex(factors.data(), size);
    const std::vector<i32> places(item.op.targets, item.op.targets + item.op.num_targets);
    op.num_places = static_cast<u32>(places.size());
    op.places = put(places.data(), places.size());
  }

  // Phases and Z rotations of a stage that turn the same registers: one operation, if nothing between them minds.
  struct Group {
    std::size_t place;  // among the stage's operations
    Bits flips;         // of all that came after it
    std::vector<Term> terms;
  };

  static Term term_of(const TileOp& op) { return {op.controls, op.values, op.z, op.numbers}; }

  // Take an operation into a group, new or old; false if it is none of that kind, or nothing is gained.
  bool merge(const TileOp& op, const Item& item, std::vector<TileOp>& ops, std::vector<Group>& groups) {
    if (constants_.size() + groups.size() >= max_merged) return false;
    const bool phase = op.kind == op_phase && op.register_controls == op.register_values;
    if (!phase && (op.kind != op_rotate_z || op.register_controls != 0)) return false;
    for (Group& group : groups) {
      const TileOp& first = ops[group.place];
      if (first.kind != op.kind || first.register_controls != op.register_controls ||
          first.register_z != op.register_z || (item.diagonal & group.flips) != 0)
        continue;
      group.terms.push_back(term_of(op));
      return true;
    }
    groups.push_back({ops.size(), 0, {term_of(op)}});
    return false;
  }

  // What a term looks at inside of the tile, other than registers, is for threads; the rest is a constant of the tile.
  void finish_group(Group& group, TileOp& op) {
    if (group.terms.size() == 1) return;
    Bits inside = 0;
    for (const int qubit : tile_qubits_) inside |= bit(qubit);
    const auto middle = std::stable_partition(group.terms.begin(), group.terms.end(), [&](const Term& term) {
      return ((term.controls | term.z) & inside) == 0;
    });
    const auto outside = static_cast<std::size_t>(middle - group.terms.begin());
    std::for_each(group.terms.begin(), middle, [&](Term& term) { term.numbers += column_of_first_; });
    constants_.push_back({put(group.terms.data(), outside), static_cast<i32>(outside), 0});
    op = TileOp{op.kind == op_phase ? op_phases : op_rotate_zs,
                0,
                op.register_controls,
                op.register_values,
                op.register_z,
                static_cast<u32>(group.terms.size() - outside),
                0,
                0,
                0,
                constants_.size() - 1,
                put(group.terms.data() + outside, group.terms.size() - outside),
                0};
  }

  // The slope before an operation whose partners share registers.
  TileOp slope_op(const Item& item, const TileStage& stage) {
    TileOp op = slope_of(item);
    op.kind = op_slope;
    op.bit = static_cast<i32>(registers_of(item.flips, stage));
    op.register_controls = registers_of(item.controls, stage);
    op.register_values = registers_of(item.values, stage);
    op.register_z = registers_of(item.signs, stage);
    op.controls = rest_of(item.controls, stage);
    op.values = rest_of(item.values, stage);
    op.z = rest_of(item.signs, stage);
    op.num_places = static_cast<u32>(item.num_y);
    return op;
  }

  // A slope's number in this pass, which it gets here.
  TileOp slope_of(const Item& item) {
    TileOp op{};
    op.numbers = slope_columns_.size();
    slope_columns_.push_back(static_cast<u64>(item.op.data));
    return op;
  }

  TileStage exchange_stage(const Item& item, bool slope = false) {
    TileStage stage = deal(empty_slots(), {});
    begin_numbers(0);
    TileOp op = slope ? slope_of(item) : TileOp{};
    op.controls = item.controls;
    op.values = item.values;
    if (item.kind == OpKind::rotation) {
      stage.kind = slope ? stage_slope : stage_pauli;
      if (!slope) op.numbers = staged_angle(item.op.data, 0.5);
      for (int k = 0; k < tile_bits_; ++k)
        if ((item.flips >> tile_qubits_[static_cast<std::size_t>(k)] & 1) != 0) op.register_controls |= 1u << k;
      op.z = item.signs;
      op.register_z = static_cast<u32>(item.num_y);
    } else {
      stage.kind = stage_permute;
      std::vector<i32> places;
      for (int k = 0; k < item.op.num_targets; ++k) places.push_back(tile_bit(item.op.targets[k]));
      op.num_places = static_cast<u32>(places.size());
      op.places = put(places.data(), places.size());
      const std::vector<i32> sources = sources_of(item);
      op.table = put(sources.data(), sources.size());
    }
    stage.num_ops = 1;
    stage.ops = put(op);
    put_numbers(stage);
    return stage;
  }

  std::vector<i32> sources_of(const Item& item) const {
    std::vector<i32> sources(std::size_t{1} << item.op.num_targets);
    for (std::size_t from = 0; from < sources.size(); ++from)
      sources[static_cast<std::size_t>(operand(item).table[from])] = static_cast<i32>(from);
    return sources;
  }

  // --- sweeps
  // --------------------------------------------------------------------------------------------------------------

  // Targets, controls and a matrix; a control becomes a target where loads of two amplitudes would straddle it.
  void add_dense(const Item& item) {
    std::vector<int> targets(item.op.targets, item.op.targets + item.op.num_targets);
    const std::size_t plain = std::size_t{1} << targets.size();
    std::vector<std::complex<double>> matrix(operand(item).numbers, operand(item).numbers + plain * plain);
    Bits controls = item.controls, values = item.values;
    if (packed && (controls & 1) != 0) {
      matrix = controlled(matrix, plain, (values & 1) != 0);
      targets.push_back(0);
      controls &= ~Bits{1};
      values &= ~Bits{1};
    }
    const int k = static_cast<int>(targets.size());
    const bool paired = packed && std::find(targets.begin(), targets.end(), 0) != targets.end();
    std::vector<int> order(targets.size());
    for (std::size_t t = 0; t < order.size(); ++t) order[t] = static_cast<int>(t);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      return targets[static_cast<std::size_t>(a)] < targets[static_cast<std::size_t>(b)];
    });
    const std::size_t size = std::size_t{1} << k;
    const auto moved = [&](std::size_t entry) {
      std::size_t result = 0;
      for (std::size_t p = 0; p < order.size(); ++p) result |= (entry >> p & 1) << order[p];
      return result;
    };
    std::vector<std::complex<double>> sorted;
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t j = 0; j < size; ++j) sorted.push_back(matrix[moved(i) * size + moved(j)]);
    std::sort(targets.begin(), targets.end());
    if (k > max_dense_sweep) return add_wide_dense(item, targets, controls, values, sorted);
    DenseSweep sweep{};
    for (const int target : targets) sweep.fixed |= bit(target);
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t p = 0; p < targets.size(); ++p)
        if ((i >> p & 1) != 0) sweep.offset[i] |= bit(targets[p]);
    if (packed && !paired) sweep.fixed |= 1;
    sweep.fixed |= controls;
    sweep.values = values;
    sweep.controls = controls;
    sweep.num_amplitudes = u64{1} << num_qubits_;
    sweep.count_bits = num_qubits_ - count_bits(sweep.fixed);
    sweep.num_items = static_cast<u64>(batch_) << sweep.count_bits;
    sweep.matrix = put_complex(sorted.data(), sorted.size());
    const std::string name = "dense" + std::to_string(k) + (paired ? "_paired" : "");
    launch(name.c_str(), static_cast<Index>(sweep.num_items), sweep_threads, 2 * sizeof(T) * size * size, put(sweep),
           item.row, true);
  }

  static std::vector<std::complex<double>> controlled(const std::vector<std::complex<double>>& matrix, std::size_t size,
                                                      bool on) {
    std::vector<std::complex<double>> result(4 * size * size);
    const std::size_t shift = on ? size : 0, other = on ? 0 : size;
    for (std::size_t i = 0; i < size; ++i) {
      result[(i + other) * 2 * size + i + other] = 1.0;
      for (std::size_t j = 0; j < size; ++j) result[(i + shift) * 2 * size + j + shift] = matrix[i * size + j];
    }
    return result;
  }

  void set_groups(TableSweep& sweep, const std::vector<int>& targets, Bits controls, Bits values) const {
    sweep.controls = controls;
    sweep.values = values;
    sweep.fixed = controls;
    sweep.num_targets = static_cast<i32>(targets.size());
    for (std::size_t t = 0; t < targets.size(); ++t) {
      sweep.targets[t] = targets[t];
      sweep.fixed |= bit(targets[t]);
    }
    sweep.num_amplitudes = u64{1} << num_qubits_;
    sweep.count_bits = num_qubits_ - count_bits(sweep.fixed);
    sweep.num_items = static_cast<u64>(batch_) << sweep.count_bits;
  }

  // Targets ascending, and a matrix over them; where threads take two amplitudes qubit 0 is no control.
  void add_wide_dense(const Item& item, const std::vector<int>& targets, Bits controls, Bits values,
                      const std::vector<std::complex<double>>& matrix) {
    TableSweep sweep{};
    set_groups(sweep, targets, controls, values);
    sweep.table = put_complex(matrix.data(), matrix.size());
    const int beside = packed && targets[0] != 0 ? 1 : 0;  // groups side by side: two
    const std::size_t shared = (std::size_t{2} * sizeof(T)) << (sweep.num_targets + beside);
    launch("wide_dense", static_cast<Index>(sweep.num_items >> beside), max_threads, shared, put(sweep), item.row,
           false);
  }

  void add_permutation(const Item& item) {
    std::vector<int> targets(item.op.targets, item.op.targets + item.op.num_targets);
    std::vector<i32> sources = sources_of(item);
    Bits controls = item.controls, values = item.values;
    if (packed && std::find(targets.begin(), targets.end(), 0) == targets.end()) {
      // Where threads take two amplitudes qubit 0 is a target: the highest bit of an entry.
      const std::size_t size = sources.size();
      const auto active = [&](int side) { return (controls & 1) == 0 || (values & 1) == static_cast<Bits>(side); };
      sources.resize(2 * size);
      for (std::size_t k = size; k < 2 * size; ++k)
        sources[k] = static_cast<i32>(size) + (active(1) ? sources[k - size] : static_cast<i32>(k - size));
      for (std::size_t k = 0; k < size && !active(0); ++k) sources[k] = static_cast<i32>(k);
      targets.push_back(0);
      controls &= ~Bits{1};
      values &= ~Bits{1};
    }
    TableSweep sweep{};
    set_groups(sweep, targets, controls, values);
    sweep.table = put(sources.data(), sources.size());
    if (item.op.num_targets <= max_group_targets)
      return launch("permute", static_cast<Index>(sweep.num_items), max_threads,
                    (std::size_t{2} * sizeof(T)) << sweep.num_targets, put(sweep), item.row, false);
    // Too wide for shared memory: through a second buffer.
    list_.scratch_bytes =
        std::max(list_.scratch_bytes, static_cast<std::size_t>(batch_) << num_qubits_ << (sizeof(T) == 4 ? 3 : 4));
    const u64 offset = put(sweep);
    const int pairs = packed ? 1 : 0;
    launch("copy_out", batch_ << (num_qubits_ - pairs), max_threads, 0, offset, item.row, true);
    launch("permute_back", static_cast<Index>(sweep.num_items) << (sweep.num_targets - pairs), max_threads, 0, offset,
           item.row, true);
  }

  void add_initialize(const Item& item) {
    const std::vector<int> targets(item.op.targets, item.op.targets + item.op.num_targets);
    TableSweep sweep{};
    set_groups(sweep, targets, item.controls, item.values);
    sweep.table = put_complex(operand(item).numbers, std::size_t{1} << targets.size());
    const int beside = packed && (sweep.fixed & 1) == 0 ? 1 : 0;  // groups side by side: two
    launch("initialize", static_cast<Index>(sweep.num_items >> beside), max_threads, 0, put(sweep), item.row, true);
  }

  void add_pauli(const Item& item) {
    PauliSweep sweep{};
    sweep.x = item.flips;
    sweep.z = item.signs;
    sweep.pivot = bit(63 - __builtin_clzll(item.flips));
    sweep.controls = item.controls;
    sweep.values = item.values;
    sweep.num_y = item.num_y;
    sweep.num_amplitudes = u64{1} << num_qubits_;
    sweep.count_bits = num_qubits_ - 1 - (sizeof(T) == 4 ? 1 : 0);
    sweep.num_items = static_cast<u64>(batch_) << sweep.count_bits;
    PauliSweep numbered = sweep;
    numbered.numbers = 0;
    const u64 column = angle(item.op.data, 0.5);
    numbered.column = column;
    launch("pauli", static_cast<Index>(sweep.num_items), max_threads, 0, put_numbered(numbered), item.row, true);
  }

  void add_slope_sweep(const Item& item) {
    SlopeSweep read{};
    read.num_amplitudes = u64{1} << num_qubits_;
    read.x = item.flips;
    read.z = item.signs;
    read.controls = item.controls;
    read.values = item.values;
    read.second = adjoint_.second;
    read.slopes = adjoint_.slopes;
    read.column = static_cast<u64>(item.op.data);
    read.num_columns = static_cast<u64>(adjoint_.num_columns);
    read.num_y = item.num_y;
    read.max_slice_bits = adjoint_.max_slice_bits;
    read.slice_bits = slice_bits(std::max(num_qubits_ - max_thread_bits, 0));
    push("slope", batch_ << read.slice_bits, max_threads, sizeof(double) * max_warps, put(read), item.row);
  }

  const cpu::Stage& stage_;
  Index batch_, rows_ = 1;
  int num_qubits_;
  Index max_blocks_;
  LaunchList list_;
  std::vector<std::vector<std::complex<T>>> numbers_;
  std::vector<std::size_t> patches_;
  const Adjoint adjoint_;
  const Ends ends_;
  std::vector<Unit> units_;
  std::vector<cpu::Support::Parity> parities_;  // of the unit being lowered
  const int two_;                               // 1: tiles are of two states
  // Of the pass being made:
  std::vector<int> tile_qubits_;
  int tile_bits_ = 0;
  std::vector<TileConstant> constants_;
  std::vector<u64> slope_columns_;
  // Of the stage being made: its matrices; where its angles begin in a row, and where its numbers would.
  std::vector<std::complex<double>> matrices_;
  u64 first_angle_ = 0, column_of_first_ = 0;
};

}  // namespace

template <class T>
LaunchList lower(const cpu::Stage& stage, const std::vector<Pass>& passes, Index batch, int num_qubits,
                 Index max_blocks, const Adjoint& adjoint, Ends ends) {
  Lowering<T> lowering(stage, batch, num_qubits, max_blocks, adjoint, ends);
  for (const Pass& pass : passes) lowering.add(pass);
  return lowering.finish();
}

template LaunchList lower<float>(const cpu::Stage&, const std::vector<Pass>&, Index, int, Index, const Adjoint&, Ends);
template LaunchList lower<double>(const cpu::Stage&, const std::vector<Pass>&, Index, int, Index, const Adjoint&, Ends);

}  // namespace qsim::cuda
