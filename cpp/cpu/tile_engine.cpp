#include "tile_engine.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "blocks.hpp"
#include "prepare.hpp"
#include "qsim/bits.hpp"
#include "reductions.hpp"
#include "support.hpp"
#include "tile_program.hpp"
#include "tile_weights.hpp"

namespace qsim::cpu {

namespace generic {
const tile::KernelTable* tile_kernel_table();
}
#ifdef QSIM_X86
namespace avx2 {
const tile::KernelTable* tile_kernel_table();
}
namespace avx512 {
const tile::KernelTable* tile_kernel_table();
}
#endif

namespace tile {
namespace {

constexpr int widest_tile = 20;
constexpr Index longest_program = 8192;  // operations: bounds its tables, and the time between two looks at the watch
constexpr Index most_blocks = 256;       // partial sums of slopes: a number that threads don't change
constexpr int spare_vector_bits = 1;     // a tile has at least this many vector positions; smaller states borrow qubits

const KernelTable& tile_table(const cpu::KernelTable& table) {
#ifdef QSIM_X86
  if (std::strcmp(table.name, "avx512") == 0) return *avx512::tile_kernel_table();
  if (std::strcmp(table.name, "avx2") == 0) return *avx2::tile_kernel_table();
#endif
  static_cast<void>(table);
  return *generic::tile_kernel_table();
}

// From so many qubits on the threads share a state, in four tiles at least. Whether there are threads doesn't matter:
// results would depend on it.
template <class T>
constexpr int shared_from = sizeof(T) == 4 ? 16 : 15;

// A tile takes half of the second-level cache.
int qubits_in_cache(std::size_t amplitude_bytes) {
  static const long cache = [] {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? bytes : 1L << 20;
  }();
  int qubits = 12;
  while (qubits < 18 && static_cast<long>(amplitude_bytes << (qubits + 1)) <= cache / 2) ++qubits;
  return qubits;
}

// Rows that run together: in tiles of the local qubits, or one after the other as sweeps.
struct Unit {
  Index begin, end;
  Bits local;
  bool tiled;
};

Bits extended(Bits local, int tile_qubits, int num_qubits) {
  for (int q = 0; q < num_qubits && count_bits(local) < tile_qubits; ++q) local |= bit(q);
  return local;
}

std::vector<Unit> units_of(const Stage& stage, const Passes& passes, int tile_qubits, int lane_bits, int num_qubits,
                           bool sweep_single) {
  std::vector<Unit> units;
  const Bits every = bit(num_qubits) - 1, lanes = bit(lane_bits) - 1;
  const Bits least = num_qubits <= tile_qubits ? every : lanes;
  for (Index p = passes.begin; p < passes.end; ++p) {
    Unit unit{passes.op_offset[p], passes.op_offset[p + 1], least, passes.kind[p] == 1};
    if (unit.begin == unit.end) continue;
    unit.local |= passes.local[p] & every;
    for (Index row = unit.begin; row < unit.end && unit.tiled && unit.local != every;
         ++row) {  // whatever the plan says of it
      const Op op = unpack(stage.ops, row);
      unit.local |= mixed_qubits(op, has_angle(op.kind) ? nullptr : stage.operands + op.data);
    }
    if (count_bits(unit.local) > widest_tile) unit.tiled = false;
    if (!units.empty() && units.back().tiled == unit.tiled) {
      Unit& back = units.back();
      const Bits both = back.local | unit.local;
      if (!unit.tiled || count_bits(both) <= std::max(tile_qubits, count_bits(back.local))) {
        back.end = unit.end;
        back.local = both;
        continue;
      }
    }
    units.push_back(unit);
  }
  for (Unit& unit : units) {
    unit.local = extended(unit.local, tile_qubits, num_qubits);
    if (sweep_single && unit.end - unit.begin == 1)
      unit.tiled = false;  // nothing to merge: a sweep is cheaper, and exact where controls are off
  }
  return units;
}

// What the backward walk of adjoint differentiation has beside the ket.
template <class T>
struct Slopes {
  T* bra;
  const std::uint8_t* wanted;
  Index stop;  // after the last operation that is wanted
  bool to_zero;
  double* result;
};

// What is around a stage, for states [begin, begin + batch), done apart from its passes.
template <class T>
void move_states(const Runner& runner, const Around<T>& around, T* amps, Index begin, Index batch, int num_qubits) {
  Regrouping part = *around.move;
  if (around.source == amps) {
    const auto value = static_cast<Bits>(part.values[0]);
    return collapse(runner, amps, num_qubits, part.entering, value, part.scales[0]);
  }
  part.rows += begin, part.outcomes += begin, part.scales += begin, part.values += begin;
  part.num_rows = batch;
  regroup(runner, part, around.source, around.source_qubits, amps, num_qubits);
}

template <class T>
void weigh_states(const Runner& runner, const Around<T>& around, const T* amps, Index begin, Index batch,
                  int num_qubits) {
  for (Index b = 0; b < batch; ++b)
    probabilities(runner, amps + (b << (num_qubits + 1)), num_qubits, *around.read,
                  around.weights + ((begin + b) << around.read->size()));
}

// What a unit became: a program and the tiles it runs on, or rows to sweep.
template <class T>
struct Step {
  double start, share;                      // of the run
  std::unique_ptr<Program<T>> program;      // or null
  Bits fixed = 0;                           // local qubits, and those that the parities fix
  std::vector<Support::Parity> parities{};  // of the tiles that hold something
  Index begin = 0, end = 0;
};

// The index of the first amplitude of a tile.
Bits base_of(Index tile, Bits fixed, const std::vector<Support::Parity>& parities) {
  Bits base = spread_around(static_cast<Bits>(tile), fixed);
  for (const Support::Parity& parity : parities)
    if (odd_parity(base & parity.others) != parity.odd) base |= parity.pivot;
  return base;
}

// Runs steps on one state, or on several that share their values.
template <class T>
class Player {
 public:
  Player(const Runner& runner, const Stage& stage, T* amps, Index batch, int num_qubits)
      : runner_(runner), stage_(stage), amps_(amps), batch_(batch), num_qubits_(num_qubits) {}

  void operator()(const std::vector<Step<T>>& steps, Left* left) {
    for (const Step<T>& step : steps) {
      runner_.watch.step(step.start, step.share);
      if (step.program == nullptr) sweep(amps_, step.begin, step.end);
      else run(*step.program, step.fixed, step.parities, &step == &steps.back() ? left : nullptr);
    }
  }

  void sweep(T* amps, Index begin, Index end) {
    Stage rows = stage_;
    rows.begin = begin;
    rows.end = end;
    rows.values_shared = true;
    run_stage(runner_, rows, amps, batch_, num_qubits_);
  }

  void run(const Program<T>& program, Bits fixed, const std::vector<Support::Parity>& parities, Left* left) {
    const int part_bits = left == nullptr || batch_ > 1
                              ? -1
                              : program.weighed_bits(Blocks::bits(num_qubits_));  // negative: nothing is left
    if (left != nullptr) left->done = part_bits >= 0;
    if (part_bits < 0) return run_tiles(program, fixed, parities, nullptr);
    Bits local = fixed;
    for (const Support::Parity& parity : parities) local &= ~parity.pivot;
    const std::size_t parts = std::size_t{1} << (num_qubits_ - part_bits);
    const std::size_t stride = reserve(program.scratch_bytes(), runner_.threads, parts * sizeof(double));
    auto* memory = static_cast<double*>(scratch_of(runner_.threads, stride));
    if (!parities.empty()) std::fill_n(memory, parts, 0.0);  // tiles that hold nothing are left alone
    const TileWeights weights(num_qubits_, local, part_bits, memory);
    run_tiles(program, fixed, parities, &weights);
    weights.sum(runner_, left->weights);
  }

  void run_tiles(const Program<T>& program, Bits fixed, const std::vector<Support::Parity>& parities,
                 const TileWeights* weights) {
    const Index tiles = Index{1} << (num_qubits_ - count_bits(fixed));
    each_tile(program, fixed, parities, [&](Index item, Bits base, Index after, Bits coming, void* scratch) {
      program.run(state_of(item / tiles), base, state_of(after / tiles) + 2 * coming, scratch, nullptr, 0, nullptr,
                  weights);
    });
  }

  // tile(item, its index in the state, the item after it, that one's index, scratch) for the tiles of all states.
  template <class Tile>
  void each_tile(const Program<T>& program, Bits fixed, const std::vector<Support::Parity>& parities, Tile tile) {
    const Index tiles = Index{1} << (num_qubits_ - count_bits(fixed)), items = tiles * batch_;
    const int threads = static_cast<int>(std::min<Index>(runner_.threads, items));
    const std::size_t stride = reserve(program.scratch_bytes(), threads);
    auto task = [&](Index begin, Index end, int participant, Watch&) {
      void* scratch = scratch_of(participant, stride);
      for (Index item = begin; item < end; ++item) {
        const Index after = std::min(item + 1, items - 1);
        tile(item, base_of(item % tiles, fixed, parities), after, base_of(after % tiles, fixed, parities), scratch);
      }
    };
    parallel_for(threads, items, 1, runner_.watch, task);
  }

  [[nodiscard]] T* state_of(Index row) const { return amps_ + (row << (num_qubits_ + 1)); }

  // Scratch of so many bytes for every thread, and more behind them; the distance between them.
  std::size_t reserve(std::size_t bytes, int threads, std::size_t behind = 0) {
    const std::size_t stride = (bytes + 4095) / 4096 * 4096;
    const std::size_t needed = stride * static_cast<std::size_t>(threads) + behind;
    if (needed > scratch_size_) {
      scratch_.reset();
      scratch_ = std::make_unique<KeptBuffer>(needed);
      scratch_size_ = needed;
    }
    return stride;
  }

  [[nodiscard]] void* scratch_of(int participant, std::size_t stride) const {
    return static_cast<char*>(scratch_->data()) + stride * static_cast<std::size_t>(participant);
  }

 private:
  const Runner& runner_;
  const Stage& stage_;
  T* amps_;
  Index batch_;
  int num_qubits_;
  std::unique_ptr<KeptBuffer> scratch_;
  std::size_t scratch_size_ = 0;
};

// Steps that stay, as long as their tables take no more than `room`; then none do.
template <class T>
class Keeping {
 public:
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] const std::vector<Step<T>>& steps() const { return steps_; }

  void begin() {
    for (Step<T>& step : steps_)
      if (step.program != nullptr) spare_.push_back(std::move(step.program));
    steps_.clear();
    bytes_ = 0;
    complete_ = false;
  }

  void add(Step<T> step) {
    if (step.program != nullptr) bytes_ += step.program->bytes();
    if (bytes_ <= room) steps_.push_back(std::move(step));
    else steps_.clear(), spare_.clear();
  }

  void end() { complete_ = bytes_ <= room; }

  Binder& binder(int num_qubits) {
    binder_.restart(num_qubits);
    return binder_;
  }

  // A program to build, with the memory of one that is not needed any more.
  std::unique_ptr<Program<T>> take(const KernelTable& table) {
    if (spare_.empty()) return std::make_unique<Program<T>>(table);
    std::unique_ptr<Program<T>> program = std::move(spare_.back());
    spare_.pop_back();
    return program;
  }

 private:
  static constexpr std::size_t room = std::size_t{2} << 20;
  std::vector<Step<T>> steps_;
  std::vector<std::unique_ptr<Program<T>>> spare_;
  Binder binder_{0};
  std::size_t bytes_ = 0;
  bool complete_ = false;
};

// All rows of one state, or of several that share their values; of one pair of states with `slopes`.
template <class T>
class Run {
 public:
  Run(const Runner& runner, const Stage& stage, T* amps, Index batch, int num_qubits, bool from_zero = false,
      Keeping<T>* keeping = nullptr, const Slopes<T>* slopes = nullptr, std::vector<Work>* works = nullptr,
      const Around<T>& around = {}, Index begin = 0, Left* left = nullptr)
      : runner_(runner),
        stage_(stage),
        amps_(amps),
        batch_(batch),
        num_qubits_(num_qubits),
        keeping_(keeping),
        slopes_(slopes),
        works_(works),
        around_(around),
        begin_(begin),
        left_(left),
        lane_bits_(tile_table(runner.table).lane_bits[sizeof(T) / 8]),
        binder_(keeping != nullptr ? keeping->binder(num_qubits) : own_binder_.emplace(num_qubits)),
        player_(runner, stage, amps, batch, num_qubits) {
    if (from_zero) support_.emplace(num_qubits);
  }

  void operator()(std::vector<Unit> units) {
    turn_angles();
    const double rows = static_cast<double>(std::max<Index>(1, stage_.end - stage_.begin));
    find_waits(units);
    if (slopes_ != nullptr) {
      if (slopes_->to_zero) look_ahead(units);
      while (!units.empty() && units.back().begin >= slopes_->stop) units.pop_back();
      if (!units.empty()) units.back().end = std::min(units.back().end, slopes_->stop);
    }
    for (std::size_t u = 0; u < units.size(); ++u) {
      const Unit& unit = units[u];
      begin_work(unit);
      if (!ahead_.empty()) parities_ = ahead_[u];
      start_ = static_cast<double>(unit.begin - stage_.begin) / rows;
      share_ = static_cast<double>(unit.end - unit.begin) / rows;
      runner_.watch.step(start_, share_);
      if (!unit.tiled) {
        sweep(unit.begin, unit.end);
        continue;
      }
      const bool last = u + 1 == units.size() || !units[u + 1].tiled;
      begin_tiles(unit.local);
      Index first = unit.begin;
      for (Index row = unit.begin; row < unit.end; ++row) {
        if (row - first >= longest_program) {
          binder_.finish(false, unit.local);
          run_tiles(unit.local);
          begin_tiles(unit.local);
          first = row;
        }
        const Op op = unpack(stage_.ops, row);
        const Angle angle = has_angle(op.kind) ? angle_of(row) : Angle{};
        const Operand* operand = has_angle(op.kind) ? nullptr : stage_.operands + op.data;
        if (slopes_ != nullptr && has_angle(op.kind) && slopes_->wanted[op.data] != 0) binder_.probe(op, op.data);
        if (binder_.add(op, angle, operand)) {
          if (support_) support_->apply(op, angle.radians, operand);
          continue;
        }
        binder_.finish(true, 0);
        run_tiles(unit.local);
        sweep(row, row + 1);
        begin_tiles(unit.local);
      }
      binder_.finish(last, last ? 0 : keeping_at_end(u, units[u + 1].local));
      run_tiles(unit.local, u + 1 == units.size());
    }
    arrive();
    if (around_.read != nullptr) weigh_states(runner_, around_, amps_, begin_, batch_, num_qubits_);
    end_work();
  }

 private:
  // e^(i angle) for the angles of all rows, many at a time.
  void turn_angles() {
    const Index rows = (stage_.end - stage_.begin + max_doubles - 1) / max_doubles * max_doubles;
    angles_.assign(static_cast<std::size_t>(rows), 0);
    units_.resize(static_cast<std::size_t>(rows));
    bool wide = false;
    for (Index row = stage_.begin; row < stage_.end; ++row) {
      const auto kind = static_cast<OpKind>(stage_.ops.kind[row]);
      if (!has_angle(kind)) continue;
      const double value = stage_.values[stage_.ops.data[row]], angle = kind == OpKind::phase ? value : value / 2;
      const bool fits = std::abs(angle) <= widest_angle;
      wide |= !fits;
      angles_[static_cast<std::size_t>(row - stage_.begin)] = fits ? angle : 0;
    }
    tile_table(runner_.table).units(angles_.data(), rows, &units_.data()->re);
    for (Index row = stage_.begin; wide && row < stage_.end; ++row) {
      const auto kind = static_cast<OpKind>(stage_.ops.kind[row]);
      if (!has_angle(kind)) continue;
      const double value = stage_.values[stage_.ops.data[row]], angle = kind == OpKind::phase ? value : value / 2;
      if (!(std::abs(angle) <= widest_angle)) units_[static_cast<std::size_t>(row - stage_.begin)] = unit(angle);
    }
  }

  [[nodiscard]] Angle angle_of(Index row) const {
    return {stage_.values[stage_.ops.data[row]], units_[static_cast<std::size_t>(row - stage_.begin)]};
  }

  // Accounts of what a unit takes, for profile_passes; without amplitudes nothing but these is done.
  void begin_work(const Unit& unit) {
    if (works_ == nullptr) return;
    end_work();
    works_->push_back({});
    works_->back().local = unit.tiled ? unit.local : 0;
    works_->back().operations = unit.end - unit.begin;
  }

  void end_work() {
    if (works_ == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    if (!works_->empty() && amps_ != nullptr)
      works_->back().seconds = std::chrono::duration<double>(now - started_).count();
    started_ = now;
  }

  // Whether only to count.
  bool count(const Work& work) {
    if (works_ == nullptr) return false;
    add(works_->back(), work);
    return amps_ == nullptr;
  }

  // The states must be in place now.
  void arrive() {
    if (around_.move != nullptr) move_states(runner_, around_, amps_, begin_, batch_, num_qubits_);
    around_.move = nullptr;
  }

  void sweep(Index begin, Index end) {
    for (Index row = begin; support_ && row < end; ++row) {
      const Op op = unpack(stage_.ops, row);
      if (has_angle(op.kind)) support_->apply(op, stage_.values[op.data], nullptr);
      else support_->apply(op, 0, stage_.operands + op.data);
    }
    for (Index row = begin; works_ != nullptr && row < end; ++row) {
      const Op op = unpack(stage_.ops, row);
      count(work_of_sweep(op, has_angle(op.kind) ? nullptr : stage_.operands + op.data, num_qubits_));
    }
    if (amps_ == nullptr) return;
    arrive();
    player_.sweep(amps_, begin, end);
    if (slopes_ != nullptr) player_.sweep(slopes_->bra, begin, end);
    if (keeping_ != nullptr) keeping_->add({start_, share_, nullptr, 0, {}, begin, end});
  }

  // The qubits on which gates can wait when a unit ends: they are local in the next one; or in a later one, if nothing
  // between touches them and no operation there can end a pass early.
  void find_waits(const std::vector<Unit>& units) {
    waits_.assign(units.size(), 0);
    for (std::size_t u = units.size() - (units.empty() ? 0 : 1); u-- > 0;) {
      const Unit& next = units[u + 1];
      if (!next.tiled) continue;
      waits_[u] = next.local;
      if (slopes_ != nullptr) continue;  // what is read there would have to wait, too
      Bits touched = 0;
      bool sure = true;
      for (Index row = next.begin; row < next.end && sure; ++row) {
        const Op op = unpack(stage_.ops, row);
        sure = is_sure(op);
        for (int i = 0; i < op.num_targets + op.num_controls; ++i) touched |= bit(op.targets[i]);
      }
      if (sure) waits_[u] |= waits_[u + 1] & ~touched;
    }
  }

  // Which tiles hold something is known of the operations, done or waiting: where a gate waits on a qubit that isn't
  // local, it must not depend on this qubit.
  Bits keeping_at_end(std::size_t u, Bits next) {
    Bits keeping = waits_[u];
    if (support_ && (keeping & ~next) != 0)
      for (const Support::Parity& parity : support_->parities(bit(num_qubits_) - 1))
        keeping &= next | ~(parity.others | parity.pivot);
    return keeping;
  }

  // Gates wait on local qubits, on those that no parity is of, or are diagonal: so which tiles hold something is that
  // of the operations so far.
  void begin_tiles(Bits local) {
    binder_.begin(local, lane_bits_);
    fixed_ = local;
    if (support_) parities_ = support_->parities((bit(num_qubits_) - 1) & ~local);
    for (const Support::Parity& parity : parities_) fixed_ |= parity.pivot;
  }

  // The parities of the tiles a unit must run when the last one ends in |0...0>. What the bra is where the ket is zero
  // makes no slope, but a later unit may bring it together with where the ket is not: only what stays fixed till the
  // end can be left alone.
  void look_ahead(const std::vector<Unit>& units) {
    const Bits all = bit(num_qubits_) - 1;
    Support support(num_qubits_);
    ahead_.resize(units.size());
    for (std::size_t u = units.size(); u-- > 0;) {
      const Unit& unit = units[u];
      for (Index row = unit.end; row-- > unit.begin;) {
        const Op op = unpack(stage_.ops, row);
        if (has_angle(op.kind)) support.undo(op, stage_.values[op.data], nullptr);
        else support.undo(op, 0, stage_.operands + op.data);
      }
      if (!unit.tiled) continue;
      for (const Support::Parity& parity : support.parities(all & ~unit.local)) {
        const bool last = unit.end >= slopes_->stop;
        if (last || std::count(ahead_[u + 1].begin(), ahead_[u + 1].end(), parity) > 0) ahead_[u].push_back(parity);
      }
    }
  }

  void run_tiles(Bits local, bool last = false) {
    if (binder_.layers.idle()) return;
    if (program_ == nullptr)
      program_ = keeping_ != nullptr ? keeping_->take(tile_table(runner_.table))
                                     : std::make_unique<Program<T>>(tile_table(runner_.table));
    program_->build(binder_.layers, local);
    if (slopes_ != nullptr) return run_pairs(!last);
    const Index tiles = Index{1} << (num_qubits_ - count_bits(fixed_)), items = tiles * batch_;
    if (works_ != nullptr && count(times_tiles(program_->work(), static_cast<double>(items)))) return;
    if (around_.move != nullptr || (last && around_.read != nullptr)) return run_around(local, tiles, last);
    player_.run(*program_, fixed_, parities_, last ? left_ : nullptr);
    if (keeping_ != nullptr) keeping_->add({start_, share_, std::move(program_), fixed_, parities_});
  }

  // Tiles that come from elsewhere, or that are read before they leave the cache.
  void run_around(Bits local, Index tiles, bool last) {
    std::optional<Source<T>> source;
    if (around_.move != nullptr)
      source.emplace(*around_.move, around_.source, around_.source_qubits, program_->rows(), local, lane_bits_);
    const bool reads = last && around_.read != nullptr && around_.read->size() <= max_read;
    const std::size_t outcomes = reads ? std::size_t{1} << around_.read->size() : 0;
    if (reads) program_->read_outcomes(binder_.layers, local, *around_.read);
    const Index items = tiles * batch_;
    sums_.assign(outcomes * static_cast<std::size_t>(items), 0);
    player_.each_tile(
        *program_, fixed_, parities_, [&](Index item, Bits base, Index after, Bits coming, void* scratch) {
          const Index row = begin_ + item / tiles;
          T* state = player_.state_of(item / tiles);
          double* sums = reads ? sums_.data() + outcomes * static_cast<std::size_t>(item) : nullptr;
          if (source && !source->holds(row, base)) return program_->clear(state, base);
          const T* next =
              source ? source->first(begin_ + after / tiles, coming) : player_.state_of(after / tiles) + 2 * coming;
          program_->run(state, base, next, scratch, source ? &*source : nullptr, row, sums);
        });
    around_.move = nullptr;
    if (!reads) return;
    double* weights = around_.weights + outcomes * static_cast<std::size_t>(begin_);
    std::fill_n(weights, outcomes * static_cast<std::size_t>(batch_), 0.0);
    for (Index item = 0; item < items; ++item)
      for (std::size_t o = 0; o < outcomes; ++o)
        weights[outcomes * static_cast<std::size_t>(item / tiles) + o] +=
            sums_[outcomes * static_cast<std::size_t>(item) + o];
    around_.read = nullptr;
  }

  // Tiles of both states; every block of them has sums of its own, added in the order of blocks.
  void run_pairs(bool store) {
    const Index tiles = Index{1} << (num_qubits_ - count_bits(fixed_));
    const Index blocks = std::min(tiles, most_blocks);
    const int threads = static_cast<int>(std::min<Index>(runner_.threads, blocks));
    const std::size_t stride = player_.reserve(program_->pair_scratch_bytes(), threads);
    const std::size_t width = program_->num_sums();
    sums_.assign(width * static_cast<std::size_t>(blocks), 0);
    auto task = [&](Index begin, Index end, int participant, Watch&) {
      void* scratch = player_.scratch_of(participant, stride);
      auto base = [&](Index tile) { return base_of(tile, fixed_, parities_); };
      for (Index block = begin; block < end; ++block) {
        double* sums = sums_.data() + width * static_cast<std::size_t>(block);
        for (Index tile = block * (tiles / blocks); tile < (block + 1) * (tiles / blocks); ++tile) {
          const T* next = amps_ + 2 * base(std::min(tile + 1, tiles - 1));
          program_->run_pair(amps_, slopes_->bra, base(tile), next, scratch, sums, store);
        }
      }
    };
    parallel_for(threads, blocks, 1, runner_.watch, task);
    for (Index block = 1; block < blocks; ++block)
      for (std::size_t s = 0; s < width; ++s) sums_[s] += sums_[width * static_cast<std::size_t>(block) + s];
    program_->add_slopes(sums_.data(), slopes_->result);
  }

  const Runner& runner_;
  const Stage& stage_;
  T* amps_;
  Index batch_;
  int num_qubits_;
  Keeping<T>* keeping_;
  const Slopes<T>* slopes_;
  std::vector<Work>* works_;
  Around<T> around_;  // what of it is still to be done
  Index begin_;       // number of the first state in it
  Left* left_;        // null: not wanted
  std::chrono::steady_clock::time_point started_;
  int lane_bits_;
  std::optional<Binder> own_binder_;
  Binder& binder_;
  Player<T> player_;
  std::unique_ptr<Program<T>> program_;
  std::optional<Support> support_;
  std::vector<Bits> waits_;                          // of each unit
  std::vector<std::vector<Support::Parity>> ahead_;  // of each unit
  std::vector<Support::Parity> parities_;            // of the tiles that hold something
  Bits fixed_ = 0;                                   // local qubits, and those that the parities fix
  double start_ = 0, share_ = 1;                     // of the run: the unit
  std::vector<double> sums_;
  std::vector<double> angles_;  // of rows: what their units are of
  std::vector<Complex> units_;
};

// work(data, qubits) on a state; one smaller than the smallest tile is copied, with qubits in |0> above its own.
template <class T, class Work>
void on_tile(T* state, int num_qubits, int least, Work work) {
  if (num_qubits >= least) return work(state, num_qubits);
  alignas(64) T data[2 << (max_lane_bits + spare_vector_bits)]{};
  const Index size = Index{2} << num_qubits;
  std::copy_n(state, size, data);
  work(data, least);
  std::copy_n(data, size, state);
}

// States [begin, end) of a batch.
template <class T>
void run_states(const Runner& runner, const Stage& stage, const std::vector<Unit>& units, T* amps, Index begin,
                Index end, int num_qubits, bool from_zero, Keeping<T>* keeping, const Around<T>& around, Left* left) {
  const Index size = Index{2} << num_qubits;
  const int least = tile_table(runner.table).lane_bits[sizeof(T) / 8] + spare_vector_bits;
  if (num_qubits >= least && stage.values_shared) {
    Run<T>(runner, stage, amps + begin * size, end - begin, num_qubits, from_zero, keeping, nullptr, nullptr, around,
           begin, left)(units);
    return;
  }
  if (around.move != nullptr) move_states(runner, around, amps + begin * size, begin, end - begin, num_qubits);
  for (Index b = begin; b < end; ++b) {
    Stage own = stage;
    if (!stage.values_shared) own.values += b * stage.num_values;
    own.values_shared = true;
    on_tile(amps + b * size, num_qubits, least, [&](T* data, int qubits) {
      Run<T>(runner, own, data, 1, qubits, from_zero && qubits == num_qubits, keeping)(units);
    });
  }
  if (around.read != nullptr) weigh_states(runner, around, amps + begin * size, begin, end - begin, num_qubits);
}

template <class T>
int tile_qubits_of(const Passes& passes, int num_qubits, int least) {
  int wished = passes.tile_qubits > 0 ? passes.tile_qubits : qubits_in_cache(2 * sizeof(T));
  if (passes.tile_qubits == 0 && num_qubits >= shared_from<T>) wished = std::min(wished, num_qubits - 2);
  return std::min(std::max(wished, least), widest_tile);
}

template <class T>
void run_all(const Runner& runner, const Stage& stage, const Passes& passes, T* amps, Index batch, int num_qubits,
             Keeping<T>* keeping, const Around<T>& around, Left* left) {
  const int lane_bits = tile_table(runner.table).lane_bits[sizeof(T) / 8];
  const int least = lane_bits + spare_vector_bits;
  const int tile_qubits = tile_qubits_of<T>(passes, num_qubits, least);
  const std::vector<Unit> units =
      units_of(stage, passes, tile_qubits, lane_bits, std::max(num_qubits, least), !passes.from_zero);
  const bool small = num_qubits <= tile_qubits;
  const Awake awake(runner.threads > 1 && !small);
  if (batch == 1 || !small) {
    for (Index b = 0; b < batch; ++b)
      run_states<T>(runner, stage, units, amps, b, b + 1, num_qubits, passes.from_zero && !small, keeping, around,
                    left);
    return;
  }
  // A thread takes a group of small states through the whole stage.
  const Runner single{runner.table, 1, runner.watch};
  const Index group = std::max<Index>(
      1, std::min(Index{1} << (tile_qubits - num_qubits), (batch + runner.threads - 1) / runner.threads));
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    run_states<T>(Runner{single.table, 1, watch}, stage, units, amps, begin, end, num_qubits, false, nullptr, around,
                  nullptr);
  };
  parallel_for(runner.threads, batch, group, runner.watch, task);
}

}  // namespace

template <class T>
struct Kept<T>::State {
  std::mutex mutex;
  Keeping<T> keeping;
  std::vector<unsigned char> key;  // of its steps: see each_part

  static constexpr std::size_t longest_key = std::size_t{1} << 20;

  // The memory that steps depend on, beside the plan.
  template <class Visit>
  static void each_part(const Stage& stage, const Passes& passes, int num_qubits, Visit visit) {
    const int wishes[3] = {num_qubits, passes.tile_qubits, passes.from_zero ? 1 : 0};
    visit(wishes, sizeof wishes);
    visit(stage.values, static_cast<std::size_t>(stage.num_values) * sizeof(double));
    for (Index k = 0; k < stage.num_operands; ++k) {
      const Operand& operand = stage.operands[k];
      const auto size = static_cast<std::size_t>(operand.size);
      if (operand.numbers != nullptr) visit(operand.numbers, size * sizeof(std::complex<double>));
      else visit(operand.table, size * sizeof(std::int64_t));
    }
  }

  [[nodiscard]] bool matches(const Stage& stage, const Passes& passes, int num_qubits) const {
    if (!keeping.complete()) return false;
    std::size_t seen = 0;
    bool same = true;
    each_part(stage, passes, num_qubits, [&](const void* part, std::size_t size) {
      same = same && size <= key.size() - seen && (size == 0 || std::memcmp(key.data() + seen, part, size) == 0);
      seen += same ? size : 0;
    });
    return same && seen == key.size();
  }

  // False where what steps depend on is too much to remember.
  bool begin(const Stage& stage, const Passes& passes, int num_qubits) {
    keeping.begin();
    key.clear();
    std::size_t total = 0;
    each_part(stage, passes, num_qubits, [&](const void*, std::size_t size) { total += size; });
    if (total > longest_key) return false;
    each_part(stage, passes, num_qubits, [&](const void* part, std::size_t size) {
      const auto* bytes = static_cast<const unsigned char*>(part);
      key.insert(key.end(), bytes, bytes + size);
    });
    return true;
  }
};

template <class T>
Kept<T>::Kept() : state_(std::make_unique<State>()) {}
template <class T>
Kept<T>::~Kept() = default;

template <class T>
void Kept<T>::run(const Runner& runner, const Stage& stage, const Passes& passes, T* amps, int num_qubits, Left* left) {
  const std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock) return run_passes(runner, stage, passes, amps, 1, num_qubits, {}, left);  // another thread is at it
  if (state_->matches(stage, passes, num_qubits)) {
    const int least = tile_table(runner.table).lane_bits[sizeof(T) / 8] + spare_vector_bits;
    const Awake awake(runner.threads > 1 && num_qubits >= shared_from<T>);
    on_tile(amps, num_qubits, least, [&](T* data, int qubits) {
      Player<T>(runner, stage, data, 1, qubits)(state_->keeping.steps(), qubits == num_qubits ? left : nullptr);
    });
    return;
  }
  const bool keep = state_->begin(stage, passes, num_qubits);
  run_all(runner, stage, passes, amps, 1, num_qubits, keep ? &state_->keeping : nullptr, {}, left);
  if (keep) state_->keeping.end();
}

template <class T>
void run_passes(const Runner& runner, const Stage& stage, const Passes& passes, T* amps, Index batch, int num_qubits,
                const Around<T>& around, Left* left) {
  run_all<T>(runner, stage, passes, amps, batch, num_qubits, nullptr, around, left);
}

template <class T>
std::vector<Work> profile_passes(const Runner& runner, const Stage& stage, const Passes& passes, T* amps,
                                 int num_qubits) {
  const int lane_bits = tile_table(runner.table).lane_bits[sizeof(T) / 8];
  const int least = lane_bits + spare_vector_bits;
  const int tile_qubits = tile_qubits_of<T>(passes, num_qubits, least);
  const int padded = std::max(num_qubits, least);
  const std::vector<Unit> units = units_of(stage, passes, tile_qubits, lane_bits, padded, !passes.from_zero);
  std::vector<Work> works;
  T* data = num_qubits < least ? nullptr : amps;
  Run<T>(runner, stage, data, 1, padded, passes.from_zero && num_qubits > tile_qubits, nullptr, nullptr, &works)(units);
  return works;
}

template <class T>
bool run_adjoint(const Runner& runner, const Stage& stage, const Passes& passes, T* ket, T* bra, Index batch,
                 int num_qubits, const std::uint8_t* wanted, double* slopes) {
  const int lane_bits = tile_table(runner.table).lane_bits[sizeof(T) / 8];
  const int least = lane_bits + weight_bits;
  const int wished = passes.tile_qubits > 0 ? passes.tile_qubits : qubits_in_cache(4 * sizeof(T));
  const int tile_qubits = std::min(std::max(wished, least), widest_tile);
  const std::vector<Unit> units = units_of(stage, passes, tile_qubits, lane_bits, std::max(num_qubits, least), false);
  Index stop = stage.begin;
  for (const Unit& unit : units)
    for (Index row = unit.begin; row < unit.end; ++row) {
      const Op op = unpack(stage.ops, row);
      if (!has_angle(op.kind) || wanted[op.data] == 0) continue;
      if (!unit.tiled || !can_probe(op)) return false;
      stop = row + 1;
    }
  const bool to_zero = passes.from_zero && num_qubits > tile_qubits;
  const Index size = Index{2} << num_qubits, padded = Index{2} << std::max(least, num_qubits);
  auto run_states = [&](Index begin, Index end, const Runner& own_runner) {
    std::unique_ptr<Buffer> padding;
    if (num_qubits < least) padding = std::make_unique<Buffer>(static_cast<std::size_t>(2 * padded) * sizeof(T));
    for (Index b = begin; b < end; ++b) {
      Stage own = stage;
      if (!stage.values_shared) own.values += b * stage.num_values;
      own.values_shared = true;
      T* states[2] = {ket + b * size, bra + b * size};
      for (int s = 0; s < 2 && padding != nullptr; ++s) {
        T* data = static_cast<T*>(padding->data()) + s * padded;
        std::copy_n(states[s], size, data);
        std::fill(data + size, data + padded, T(0));
        states[s] = data;
      }
      const Slopes<T> pair{states[1], wanted, stop, to_zero, slopes + b * stage.num_values};
      Run<T>(own_runner, own, states[0], 1, std::max(num_qubits, least), false, nullptr, &pair)(units);
    }
  };
  if (batch == 1 || num_qubits > tile_qubits) {
    run_states(0, batch, runner);
    return true;
  }
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    run_states(begin, end, Runner{runner.table, 1, watch});
  };
  parallel_for(runner.threads, batch, 1, runner.watch, task);
  return true;
}

template bool run_adjoint(const Runner&, const Stage&, const Passes&, float*, float*, Index, int, const std::uint8_t*,
                          double*);
template bool run_adjoint(const Runner&, const Stage&, const Passes&, double*, double*, Index, int, const std::uint8_t*,
                          double*);
template class Kept<float>;
template class Kept<double>;
template void run_passes(const Runner&, const Stage&, const Passes&, float*, Index, int, const Around<float>&, Left*);
template void run_passes(const Runner&, const Stage&, const Passes&, double*, Index, int, const Around<double>&, Left*);
template std::vector<Work> profile_passes(const Runner&, const Stage&, const Passes&, float*, int);
template std::vector<Work> profile_passes(const Runner&, const Stage&, const Passes&, double*, int);

}  // namespace tile
}  // namespace qsim::cpu
