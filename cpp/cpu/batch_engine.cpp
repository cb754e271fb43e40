#include "batch_engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "memory.hpp"

namespace qsim::cpu {

namespace generic {
const batch::KernelTable* batch_kernel_table();
}
#ifdef QSIM_X86
namespace avx2 {
const batch::KernelTable* batch_kernel_table();
}
namespace avx512 {
const batch::KernelTable* batch_kernel_table();
}
#endif

namespace batch {
namespace {

constexpr Index group_bytes = Index{1} << 19;  // of amplitudes: half of a usual second-level cache

constexpr Index turn_chunk = Index{1} << 14;  // amplitudes turned between two looks at the watch

double largest(const double* values, Index count) {
  double result = 0;
  for (Index i = 0; i < count; ++i) result = std::max(result, std::abs(values[i]));
  return result;
}

const KernelTable& batch_table(const cpu::KernelTable& table) {
#ifdef QSIM_X86
  if (std::strcmp(table.name, "avx512") == 0) return *avx512::batch_kernel_table();
  if (std::strcmp(table.name, "avx2") == 0) return *avx2::batch_kernel_table();
#endif
  static_cast<void>(table);
  return *generic::batch_kernel_table();
}

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float)) return table.f32;
  else return table.f64;
}

// A program in the precision of the state, shared by all threads.
template <class T>
class Engine {
 public:
  Engine(const cpu::KernelTable& table, const Program& program, const Stage& stage, const Job& job, T* states)
      : kernels_(kernels_of<T>(batch_table(table))),
        program_(program),
        job_(job),
        states_(states),
        lanes_(table.vector_bytes / static_cast<Index>(sizeof(T))),
        size_(Index{1} << job.num_qubits),
        num_forms_(static_cast<Index>(program.forms.size())) {
    offset_.push_back(0);
    for (const Form& form : program.forms) {
      constant_.push_back(form.constant);
      for (const auto& [slot, coefficient] : form.terms) slot_.push_back(slot), coefficient_.push_back(coefficient);
      offset_.push_back(static_cast<Index>(slot_.size()));
    }
    for (const auto& numbers : program.numbers) numbers_.push_back(narrow(numbers.data(), numbers.size()));
    for (const Step& step : program.steps) {
      if (step.kind != Step::Kind::dense) continue;
      const Operand& operand = stage.operands[step.operand];
      matrices_.push_back(narrow(operand.numbers, static_cast<std::size_t>(operand.size)));
    }
  }

  [[nodiscard]] Index groups() const { return (job_.batch + lanes_ - 1) / lanes_; }

  // What a thread needs, in one piece: every part whole vectors.
  [[nodiscard]] std::size_t scratch_bytes() const {
    const Index reals = 2 * size_ * (program_.gathers ? 2 : 1) + 2 * coefficients() + 2 * program_.table_entries +
                        2 * program_.dense_rows;
    const Index doubles = job_.num_slots + num_forms_ + (program_.weights.empty() ? 0 : size_);
    return static_cast<std::size_t>(lanes_) *
           (static_cast<std::size_t>(reals) * sizeof(T) + static_cast<std::size_t>(doubles) * sizeof(double));
  }

  // A thread's part of the work, with its scratch.
  class Worker {
   public:
    Worker(const Engine& engine, void* scratch) : engine_(engine) {
      const Index lanes = engine.lanes_;
      auto* reals = static_cast<T*>(scratch);
      const auto take = [&](Index vectors) {
        T* part = reals;
        reals += vectors * lanes;
        return part;
      };
      amps_ = take(2 * engine.size_);
      if (engine.program_.gathers) other_ = take(2 * engine.size_);
      pairs_ = take(2 * engine.coefficients());
      tables_ = take(2 * engine.program_.table_entries);
      rows_ = take(2 * engine.program_.dense_rows);
      slots_ = reinterpret_cast<double*>(reals);
      values_ = slots_ + engine.job_.num_slots * lanes;
      weights_ = values_ + engine.num_forms_ * lanes;
      T* fixed = pairs_ + 2 * engine.num_forms_ * lanes;
      for (const std::complex<double>& number : engine.program_.fixed) {
        std::fill_n(fixed, lanes, static_cast<T>(number.real()));
        std::fill_n(fixed + lanes, lanes, static_cast<T>(number.imag()));
        fixed += 2 * lanes;
      }
    }

    void run(Index group) {
      const Index first = group * engine_.lanes_;
      const Index count = std::min(engine_.lanes_, engine_.job_.batch - first);
      bind(first, count);
      start(first, count);
      std::size_t next_matrix = 0;
      for (const Step& step : engine_.program_.steps) {
        switch (step.kind) {
          case Step::Kind::sweep: sweep(step); break;
          case Step::Kind::dense: dense(step, engine_.matrices_[next_matrix++]); break;
          case Step::Kind::gather:
            engine_.kernels_.gather(entries(step.bases), engine_.size_, amps_, other_);
            std::swap(amps_, other_);
            break;
        }
      }
      for (const Weights& weights : engine_.program_.weights) expectations(weights, first, count);
      if (engine_.states_ != nullptr) finish(first, count);
    }

   private:
    [[nodiscard]] const Entry* entries(const List& list) const { return engine_.program_.entries.data() + list.first; }

    // Coefficients from slots; the lanes a last group has too many repeat its last state.
    void bind(Index first, Index count) {
      const Index lanes = engine_.lanes_, num_slots = engine_.job_.num_slots;
      for (Index lane = 0; lane < lanes; ++lane) {
        const double* row = engine_.job_.slots + (first + std::min(lane, count - 1)) * num_slots;
        for (Index slot = 0; slot < num_slots; ++slot) slots_[slot * lanes + lane] = row[slot];
      }
      engine_.kernels_.affine({engine_.num_forms_, engine_.constant_.data(), engine_.offset_.data(),
                               engine_.slot_.data(), engine_.coefficient_.data()},
                              slots_, values_);
      if (engine_.kernels_.cosines(values_, engine_.num_forms_, pairs_)) return;
      for (Index i = 0; i < engine_.num_forms_ * lanes; ++i) {
        if (std::abs(values_[i]) <= widest_angle) continue;
        T* pair = pairs_ + i / lanes * 2 * lanes + i % lanes;
        pair[0] = static_cast<T>(std::cos(values_[i]));
        pair[lanes] = static_cast<T>(std::sin(values_[i]));
      }
    }

    void start(Index first, Index count) {
      const Index lanes = engine_.lanes_, size = engine_.size_;
      if (engine_.job_.start == nullptr) {
        std::fill_n(amps_, 2 * size * lanes, T(0));
        std::fill_n(amps_, lanes, T(1));
        return;
      }
      for (Index lane = 0; lane < lanes; ++lane) {
        const Index row = engine_.job_.start_shared ? 0 : first + std::min(lane, count - 1);
        const std::complex<double>* from = engine_.job_.start + row * size;
        for (Index i = 0; i < size; ++i) {
          amps_[2 * i * lanes + lane] = static_cast<T>(from[i].real());
          amps_[(2 * i + 1) * lanes + lane] = static_cast<T>(from[i].imag());
        }
      }
    }

    void sweep(const Step& step) {
      const Index lanes = engine_.lanes_;
      T* table = tables_;
      factors_.clear();
      for (std::size_t t = step.first_table; t < step.last_table; ++t) {
        const TableSpec& spec = engine_.program_.tables[t];
        std::fill_n(table, lanes, T(1));
        std::fill_n(table + lanes, lanes, T(0));
        for (std::size_t s = spec.first_step; s < spec.last_step; ++s) {
          const TableStepSpec& fill = engine_.program_.table_steps[s];
          engine_.kernels_.table({entries(fill.pairs), fill.pairs.count, fill.factor}, pairs_, table);
        }
        factors_.push_back({table, entries(spec.entry)});
        table += 2 * spec.size * lanes;
      }
      Sweep<T> work{};
      work.bases = entries(step.bases);
      work.count = step.bases.count;
      work.numbers = step.numbers >= 0 ? engine_.numbers_[static_cast<std::size_t>(step.numbers)].data() : nullptr;
      work.factors = factors_.data();
      work.num_factors = static_cast<int>(factors_.size());
      work.num_rotations = static_cast<int>(step.rotations.size());
      for (std::size_t k = 0; k < step.rotations.size(); ++k) {
        const Rotation& rotation = step.rotations[k];
        const std::size_t rows = std::size_t{1} << k;
        for (std::size_t row = 0; row < rows; ++row)
          work.offset[rows + row] = static_cast<Entry>(work.offset[row] ^ rotation.x);
        work.rotation[k] = pairs_ + 2 * rotation.coefficient * lanes;
        work.imaginary[k] = rotation.imaginary;
        work.negative[k] = rotation.negative;
      }
      engine_.kernels_.sweep[work.num_rotations](work, amps_);
    }

    void dense(const Step& step, const std::vector<T>& matrix) {
      engine_.kernels_.dense({entries(step.bases), step.bases.count, step.offset.data(), matrix.data(),
                              static_cast<int>(step.offset.size()), rows_},
                             amps_);
    }

    void expectations(const Weights& weights, Index first, Index count) {
      Index size = engine_.size_;
      engine_.kernels_.weights(amps_, size, weights.x, weights.imaginary, weights_);
      for (const int position : weights.folds) {
        engine_.kernels_.fold(weights_, size, position);
        size /= 2;
      }
      for (int position = 0; position < weights.transforms; ++position)
        engine_.kernels_.transform(weights_, size, position);
      for (const Weights::Term& term : weights.terms)
        for (Index lane = 0; lane < count; ++lane)
          engine_.job_.expectations[(first + lane) * engine_.job_.columns + term.column] +=
              term.coefficient * weights_[term.entry * engine_.lanes_ + lane];
    }

    void finish(Index first, Index count) {
      const Index lanes = engine_.lanes_, size = engine_.size_;
      const T* phase = engine_.program_.phase >= 0 ? pairs_ + 2 * engine_.program_.phase * lanes : nullptr;
      for (Index lane = 0; lane < count; ++lane) {
        std::complex<double> factor = engine_.program_.constant;
        if (phase != nullptr)
          factor *= std::complex<double>(static_cast<double>(phase[lane]), static_cast<double>(phase[lanes + lane]));
        const T c = static_cast<T>(factor.real()), s = static_cast<T>(factor.imag());
        T* to = engine_.states_ + 2 * (first + lane) * size;
        for (Index l = 0; l < size; ++l) {
          const T* at = amps_ + 2 * lanes * engine_.program_.place[static_cast<std::size_t>(l)] + lane;
          to[2 * l] = at[0] * c - at[lanes] * s;
          to[2 * l + 1] = at[0] * s + at[lanes] * c;
        }
      }
    }

    const Engine& engine_;
    T* amps_ = nullptr;
    T* other_ = nullptr;
    T* pairs_ = nullptr;  // cosine and sine of every coefficient
    T* tables_ = nullptr;
    T* rows_ = nullptr;
    double* slots_ = nullptr;
    double* values_ = nullptr;
    double* weights_ = nullptr;
    std::vector<Factor<T>> factors_;
  };

 private:
  [[nodiscard]] Index coefficients() const { return num_forms_ + static_cast<Index>(program_.fixed.size()); }

  static std::vector<T> narrow(const std::complex<double>* numbers, std::size_t count) {
    std::vector<T> result;
    result.reserve(2 * count);
    for (std::size_t i = 0; i < count; ++i) {
      result.push_back(static_cast<T>(numbers[i].real()));
      result.push_back(static_cast<T>(numbers[i].imag()));
    }
    return result;
  }

  const Kernels<T>& kernels_;
  const Program& program_;
  const Job& job_;
  T* states_;
  Index lanes_;
  Index size_;
  Index num_forms_;
  std::vector<double> constant_, coefficient_;
  std::vector<Index> offset_;
  std::vector<std::int32_t> slot_;
  std::vector<std::vector<T>> numbers_, matrices_;
};

}  // namespace

bool fits(const cpu::KernelTable& table, int num_qubits) {
  return num_qubits <= widest_group && (Index{2} * table.vector_bytes << num_qubits) <= group_bytes;
}

template <class T>
bool run(const Runner& runner, const Stage& stage, const Job& job, T* states) {
  Program program;
  if (!compile(stage, job.angles, job.num_qubits, job.terms, states != nullptr, batch_table(runner.table).rotations,
               program))
    return false;
  const Engine<T> engine(runner.table, program, stage, job, states);
  std::fill_n(job.expectations, job.batch * job.columns, 0.0);
  const Index groups = engine.groups();
  const auto threads = static_cast<int>(std::min<Index>(runner.threads, groups));
  const std::size_t stride = (engine.scratch_bytes() + 63) / 64 * 64;
  const Buffer scratch(stride * static_cast<std::size_t>(threads));
  std::vector<std::unique_ptr<typename Engine<T>::Worker>> workers(static_cast<std::size_t>(threads));
  auto task = [&](Index begin, Index end, int participant, Watch& watch) {
    auto& worker = workers[static_cast<std::size_t>(participant)];
    if (worker == nullptr)
      worker = std::make_unique<typename Engine<T>::Worker>(
          engine, static_cast<char*>(scratch.data()) + stride * static_cast<std::size_t>(participant));
    for (Index group = begin; group < end; ++group) {
      worker->run(group);
      watch.tick(static_cast<double>(group + 1) / static_cast<double>(groups));
    }
  };
  const Index chunk = std::clamp<Index>(groups / (8 * threads), 1, 64);
  parallel_for(threads, groups, chunk, runner.watch, task);
  return true;
}

template <class T>
void turn(const Runner& runner, const double* costs, const double* angles, T* amps, Index batch, int num_qubits) {
  const Index size = Index{1} << num_qubits, width = runner.table.vector_bytes / static_cast<Index>(sizeof(double));
  const auto kernel = kernels_of<T>(batch_table(runner.table)).turn;
  const Index chunk = std::min(size, turn_chunk), chunks = size / chunk;
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    for (Index item = begin; item < end; ++item) {
      const Index first = item % chunks * chunk;
      T* state = amps + 2 * (item / chunks) * size;
      const double angle = angles[item / chunks];
      // Of a register smaller than a vector, and where the vector cosine doesn't reach.
      if (chunk < width || std::abs(angle) * largest(costs + first, chunk) > widest_angle) {
        for (Index i = first; i < first + chunk; ++i) {
          const double c = std::cos(angle * costs[i]), s = std::sin(angle * costs[i]);
          const double re = static_cast<double>(state[2 * i]), im = static_cast<double>(state[2 * i + 1]);
          state[2 * i] = static_cast<T>(re * c + im * s);
          state[2 * i + 1] = static_cast<T>(im * c - re * s);
        }
      } else {
        kernel(state, costs, angle, first, first + chunk);
      }
      watch.tick(static_cast<double>(item) / static_cast<double>(batch * chunks));
    }
  };
  parallel_for(runner.threads, batch * chunks, 1, runner.watch, task);
}

template void turn(const Runner&, const double*, const double*, float*, Index, int);
template void turn(const Runner&, const double*, const double*, double*, Index, int);
template bool run(const Runner&, const Stage&, const Job&, float*);
template bool run(const Runner&, const Stage&, const Job&, double*);

}  // namespace batch
}  // namespace qsim::cpu
