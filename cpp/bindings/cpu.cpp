// The CPU backend: one object per instruction set, arrays in, arrays out.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>

#include "batch_engine.hpp"
#include "bindings.hpp"
#include "binomial.hpp"
#include "convert.hpp"
#include "counting.hpp"
#include "memory.hpp"
#include "pauli_expectations.hpp"
#include "pauli_sum.hpp"
#include "prepare.hpp"
#include "qsim/bits.hpp"
#include "reductions.hpp"
#include "registers.hpp"
#include "sampling.hpp"
#include "support.hpp"
#include "tile_engine.hpp"

namespace qsim::bindings {
namespace {

using cpu::Runner;

constexpr Index least_unlocked = Index{1} << 16;  // touched amplitudes

// Call work(T*) for the precision of the amplitudes, without the GIL: but where it touches a few only, for which giving
// the GIL away and getting it back takes longer. Then it must run on this thread alone.
template <class Work>
void dispatch(const Amps& amps, Work work, Index touched = least_unlocked) {
  std::optional<py::gil_scoped_release> unlocked;
  if (touched >= least_unlocked) unlocked.emplace();
  if (amps.single) work(static_cast<float*>(amps.data));
  else work(static_cast<double*>(amps.data));
}

py::array allocate(Index batch, int num_qubits, bool single, bool zero_state) {
  if (batch < 0 || num_qubits < 0 || num_qubits > max_qubits)
    refuse("register", "0 to 62 qubits", std::to_string(num_qubits));
  const Index size = Index{1} << num_qubits;
  const Index item = single ? 8 : 16;
  if (batch > (Index{1} << 62) / item / size) throw std::bad_alloc();
  auto buffer = std::make_unique<cpu::Buffer>(static_cast<std::size_t>(batch * size * item));
  void* data = buffer->data();
  if (zero_state) {  // pages the system maps for the first time hold zeros: nothing is written twice
    if (!buffer->zeroed()) std::memset(data, 0, static_cast<std::size_t>(batch * size * item));
    for (Index b = 0; b < batch; ++b) {
      if (single) static_cast<float*>(data)[2 * b * size] = 1;
      else static_cast<double*>(data)[2 * b * size] = 1;
    }
  }
  const py::capsule owner(buffer.release(), [](void* pointer) { delete static_cast<cpu::Buffer*>(pointer); });
  const std::vector<Index> shape{batch, size};
  if (single) return py::array_t<std::complex<float>>(shape, static_cast<std::complex<float>*>(data), owner);
  return py::array_t<std::complex<double>>(shape, static_cast<std::complex<double>*>(data), owner);
}

// The columns kind, local and op_offset of a pass table.
cpu::tile::Passes passes_of(const py::tuple& columns, Index first, Index last, int tile_qubits, bool from_zero) {
  if (columns.size() != 3) refuse("passes", "3 columns", std::to_string(columns.size()));
  const auto kind = columns[0].cast<py::array>(), local = columns[1].cast<py::array>(),
             offset = columns[2].cast<py::array>();
  const Index size = kind.size();
  if (first < 0 || last < first || last > size)
    refuse("passes to run", "within 0 to " + std::to_string(size),
           std::to_string(first) + " to " + std::to_string(last));
  const cpu::tile::Passes passes{column<std::uint8_t>("column kind", kind, size),
                                 column<std::uint64_t>("column local", local, size),
                                 column<std::int64_t>("column op_offset", offset, size + 1),
                                 first,
                                 last,
                                 tile_qubits,
                                 from_zero};
  for (Index p = first; p < last; ++p)
    if (passes.op_offset[p + 1] < passes.op_offset[p])
      refuse("column op_offset", "ascending numbers", std::to_string(passes.op_offset[p + 1]));
  return passes;
}

// The columns constant, row, slot and coefficient of an angle table; `offset` becomes the first term of every angle.
cpu::batch::Angles angles_of(const py::tuple& columns, Index num_slots, std::vector<Index>& offset) {
  if (columns.size() != 4) refuse("angles", "4 columns", std::to_string(columns.size()));
  const auto constant = columns[0].cast<py::array>(), row = columns[1].cast<py::array>(),
             slot = columns[2].cast<py::array>(), coefficient = columns[3].cast<py::array>();
  const Index count = constant.size(), terms = row.size();
  const std::int64_t* rows = column<std::int64_t>("column row", row, terms);
  const std::int64_t* slots = column<std::int64_t>("column slot", slot, terms);
  offset.assign(static_cast<std::size_t>(count) + 1, 0);
  for (Index j = 0; j < terms; ++j) {
    if (rows[j] < (j == 0 ? 0 : rows[j - 1]) || rows[j] >= count || slots[j] < 0 || slots[j] >= num_slots)
      refuse("angles", "ascending rows and slots of the parameters", "others");
    ++offset[static_cast<std::size_t>(rows[j]) + 1];
  }
  for (std::size_t a = 1; a < offset.size(); ++a) offset[a] += offset[a - 1];
  return {column<double>("column constant", constant, count), offset.data(), slots,
          column<double>("column coefficient", coefficient, terms)};
}

std::vector<cpu::batch::PauliTerm> terms_of(const py::tuple& columns, int num_qubits, Index num_columns) {
  if (columns.size() != 4) refuse("terms", "4 columns", std::to_string(columns.size()));
  const auto x = columns[0].cast<py::array>(), z = columns[1].cast<py::array>(),
             coefficient = columns[2].cast<py::array>(), result = columns[3].cast<py::array>();
  const Index count = x.size();
  const std::int64_t* xs = column<std::int64_t>("column x", x, count);
  const std::int64_t* zs = column<std::int64_t>("column z", z, count);
  const double* coefficients = column<double>("column coefficient", coefficient, count);
  const std::int64_t* results = column<std::int64_t>("column result", result, count);
  std::vector<cpu::batch::PauliTerm> terms;
  for (Index k = 0; k < count; ++k) {
    if (((xs[k] | zs[k]) >> num_qubits) != 0 || results[k] < 0 || results[k] >= num_columns)
      refuse("terms", "masks of the register and columns of the result", "others");
    terms.push_back({static_cast<Bits>(xs[k]), static_cast<Bits>(zs[k]), coefficients[k], results[k]});
  }
  return terms;
}

// The columns leaving, entering, rows, outcomes, values and scales of a regrouping.
cpu::Regrouping move_of(const py::tuple& columns, const Amps& source, const Amps& result) {
  if (columns.size() != 6) refuse("regrouping", "6 columns", std::to_string(columns.size()));
  const auto rows = columns[2].cast<py::array>(), outcomes = columns[3].cast<py::array>(),
             values = columns[4].cast<py::array>(), scales = columns[5].cast<py::array>();
  const cpu::Regrouping move{mask_of("leaving", columns[0].cast<py::int_>(), source.num_qubits),
                             mask_of("entering", columns[1].cast<py::int_>(), result.num_qubits),
                             result.batch,
                             column<Index>("rows", rows, result.batch),
                             column<Index>("outcomes", outcomes, result.batch),
                             column<double>("scales", scales, result.batch),
                             column<Index>("values", values, result.batch)};
  if (source.single != result.single ||
      source.num_qubits - count_bits(move.leaving) != result.num_qubits - count_bits(move.entering))
    refuse("result", "the precision and the qubits of the source", std::to_string(result.num_qubits) + " qubits");
  for (Index i = 0; i < result.batch; ++i)
    if (move.rows[i] < 0 || move.rows[i] >= source.batch ||
        (static_cast<Bits>(move.outcomes[i]) & ~move.leaving) != 0 ||
        (static_cast<Bits>(move.values[i]) & ~move.entering) != 0)
      refuse("rows", "rows of the source, outcomes and values of their qubits", std::to_string(move.rows[i]));
  return move;
}

constexpr Index max_sampled = Index{1} << 30;  // numbers of a state in one call
constexpr Index max_counted = Index{1} << 40;  // beyond, rounding of large logarithms would show in a binomial draw
constexpr int most_qubits_of_rows = 17;

// What operations leave of |0...0>: rows (mask, odd), basis states x with an amplitude have that parity of x & mask.
py::list parities(const py::tuple& columns, const py::array& values, const py::tuple& operands, int num_qubits) {
  if (num_qubits < 0 || num_qubits > max_qubits) refuse("register", "0 to 62 qubits", std::to_string(num_qubits));
  std::vector<Operand> storage;
  const Index rows = columns.size() == 6 ? columns[0].cast<py::array>().size() : 0;
  const cpu::Stage stage = stage_of(columns, 0, rows, values, operands, Amps{nullptr, 1, num_qubits, false}, storage);
  cpu::Support support(num_qubits);
  for (Index row = 0; row < rows; ++row) {
    const Op op = unpack(stage.ops, row);
    if (cpu::has_angle(op.kind)) support.apply(op, stage.values[op.data], nullptr);
    else support.apply(op, 0, stage.operands + op.data);
  }
  py::list result;
  for (const cpu::Support::Parity& row : support.parities(bit(num_qubits) - 1))
    result.append(py::make_tuple(row.others | row.pivot, row.odd));
  return result;
}

class Cpu {
 public:
  explicit Cpu(const std::string& isa) : table_(cpu::find_table(isa)) {}

  [[nodiscard]] std::string isa() const { return table_.name; }
  [[nodiscard]] int vector_bytes() const { return table_.vector_bytes; }

  void run(const py::tuple& columns, Index begin, Index end, const py::array& values, const py::tuple& operands,
           const py::array& array, int threads, py::object callback) const {
    const Amps amps = amps_of(array, true);
    std::vector<Operand> storage;
    const cpu::Stage stage = stage_of(columns, begin, end, values, operands, amps, storage);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps, [&](auto* data) { cpu::run_stage(runner, stage, data, amps.batch, amps.num_qubits); });
  }

  // As run, for the passes [first, last) of a pass table given as its columns kind, local and op_offset. `source`: the
  // states come from there by the regrouping `move`, and may be `array` itself where one row keeps its qubits; see
  // cpu::tile::Around. Returns the outcome probabilities of the qubits `read` after the passes, or None without any.
  py::object run_passes(const py::tuple& columns, const py::tuple& passes, Index first, Index last,
                        const py::array& values, const py::tuple& operands, const py::array& array, int threads,
                        int tile_qubits, py::object callback, bool from_zero, const py::object& source_array,
                        const py::tuple& move_columns, const py::sequence& read) const {
    const Amps amps = amps_of(array, true);
    Amps source{nullptr, 1, 0, amps.single};
    cpu::Regrouping move{};
    if (!source_array.is_none()) {
      source = amps_of(source_array.cast<py::array>(), false);
      move = move_of(move_columns, source, amps);
      const bool stays =
          amps.batch == 1 && source.batch == 1 && move.leaving == move.entering && move.outcomes[0] == move.values[0];
      if (source.data == amps.data && !stays) refuse("source", "other memory than the amplitudes", "the same");
    }
    const std::vector<int> qubits = qubits_of(read, amps.num_qubits);
    py::array_t<double> weights(std::vector<Index>{amps.batch, Index{1} << qubits.size()});
    double* rows = weights.mutable_data();
    const cpu::tile::Passes table = passes_of(passes, first, last, tile_qubits, from_zero);
    std::vector<Operand> storage;
    const cpu::Stage stage =
        stage_of(columns, table.op_offset[first], table.op_offset[last], values, operands, amps, storage);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps, [&](auto* data) {
      const cpu::tile::Around<std::remove_pointer_t<decltype(data)>> around{
          source.data == nullptr ? nullptr : &move, static_cast<decltype(data)>(source.data), source.num_qubits,
          qubits.empty() ? nullptr : &qubits, rows};
      cpu::tile::run_passes(runner, stage, table, data, amps.batch, amps.num_qubits, around);
    });
    return qubits.empty() ? py::none() : py::object(std::move(weights));
  }

  // What run_passes does with one state of num_qubits qubits: for every group of passes that run together its local
  // qubits and the counts of cpu::tile::Work. It is done and timed on `state`, or only counted where that is None.
  py::list profile_passes(const py::tuple& columns, const py::tuple& passes, Index first, Index last,
                          const py::array& values, const py::tuple& operands, int num_qubits, bool single,
                          const py::object& state, int threads, int tile_qubits, py::object callback,
                          bool from_zero) const {
    if (num_qubits < 0 || num_qubits > max_qubits) refuse("register", "0 to 62 qubits", std::to_string(num_qubits));
    Amps amps{nullptr, 1, num_qubits, single};
    if (!state.is_none()) amps = amps_of(state.cast<py::array>(), true);
    if (amps.batch != 1 || amps.num_qubits != num_qubits || amps.single != single)
      refuse("state", "one of the register's size and the precision", "another");
    const cpu::tile::Passes table = passes_of(passes, first, last, tile_qubits, from_zero);
    std::vector<Operand> storage;
    const cpu::Stage stage =
        stage_of(columns, table.op_offset[first], table.op_offset[last], values, operands, amps, storage);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    std::vector<cpu::tile::Work> works;
    dispatch(amps, [&](auto* data) { works = cpu::tile::profile_passes(runner, stage, table, data, num_qubits); });
    py::list result;
    for (const cpu::tile::Work& w : works)
      result.append(py::make_tuple(w.local, w.operations, w.tiles, w.steps, w.moved, w.touched, w.rotations, w.lanes,
                                   w.diagonals, w.entries, w.copies, w.seconds));
    return result;
  }

  // d/d(value) of every wanted column, shape (batch, C), or None where tiles can't give them; see
  // cpu::tile::run_adjoint.
  py::object run_adjoint(const py::tuple& columns, const py::tuple& passes, Index first, Index last,
                         const py::array& values, const py::tuple& operands, const py::array& ket_array,
                         const py::array& bra_array, const py::array& wanted, int threads, int tile_qubits,
                         py::object callback, bool to_zero) const {
    const Amps ket = amps_of(ket_array, true), bra = amps_of(bra_array, true);
    if (bra.single != ket.single || bra.batch != ket.batch || bra.num_qubits != ket.num_qubits)
      refuse("bra and ket", "the same dtype and shape", "different ones");
    const cpu::tile::Passes table = passes_of(passes, first, last, tile_qubits, to_zero);
    std::vector<Operand> storage;
    const cpu::Stage stage =
        stage_of(columns, table.op_offset[first], table.op_offset[last], values, operands, ket, storage);
    const std::uint8_t* columns_wanted = column<std::uint8_t>("wanted columns", wanted, stage.num_values);
    py::array_t<double> result(std::vector<Index>{ket.batch, stage.num_values});
    double* slopes = result.mutable_data();
    std::fill_n(slopes, result.size(), 0.0);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    bool done = false;
    dispatch(ket, [&](auto* data) {
      done = cpu::tile::run_adjoint(runner, stage, table, data, static_cast<decltype(data)>(bra.data), ket.batch,
                                    ket.num_qubits, columns_wanted, slopes);
    });
    return done ? py::object(std::move(result)) : py::none();
  }

  // The rows [begin, end) of the columns for every row of slot values, from |0...0> or from the rows of `start`:
  // expectation values of shape (B, columns), or None where the batch engine can't do it. `angles`: the columns of
  // qsim_core.angles.AngleTable; `terms`: columns x mask, z mask, coefficient, column of the result; final states go to
  // `states` unless it is None.
  py::object run_batch(const py::tuple& columns, Index begin, Index end, const py::tuple& operands, int num_qubits,
                       bool single, const py::array& slots, const py::tuple& angles, const py::object& start_states,
                       const py::tuple& terms, Index num_columns, const py::object& states, int threads,
                       py::object callback) const {
    if (num_qubits < 0 || !cpu::batch::fits(table_, num_qubits)) return py::none();
    const bool table =
        py::isinstance<py::array_t<double>>(slots) && slots.ndim() == 2 && (slots.flags() & py::array::c_style) != 0;
    if (!table) refuse("slot values", "contiguous float64 of shape (B, P)", py::str(slots.dtype()).cast<std::string>());
    cpu::batch::Job job{};
    job.batch = slots.shape(0), job.num_qubits = num_qubits;
    job.slots = static_cast<const double*>(slots.data()), job.num_slots = slots.shape(1);
    std::vector<Index> offset;
    job.angles = angles_of(angles, job.num_slots, offset);
    job.terms = terms_of(terms, num_qubits, num_columns);
    job.columns = num_columns;
    Amps given{};
    if (!start_states.is_none()) {
      given = amps_of(start_states.cast<py::array>(), false);
      if (given.single || given.num_qubits != num_qubits || (given.batch != 1 && given.batch != job.batch))
        refuse("initial states", "complex128, one or one per row of the slots", std::to_string(given.batch));
      job.start = static_cast<const std::complex<double>*>(given.data), job.start_shared = given.batch == 1;
    }
    Amps final{nullptr, job.batch, num_qubits, single};
    if (!states.is_none()) {
      final = amps_of(states.cast<py::array>(), true);
      if (final.single != single || final.num_qubits != num_qubits || final.batch != job.batch)
        refuse("final states", "the precision of the run and one row per row of the slots",
               std::to_string(final.batch));
    }
    const py::array_t<double> no_values(std::vector<Index>{1, static_cast<Index>(offset.size()) - 1});
    std::vector<Operand> storage;
    const cpu::Stage stage = stage_of(columns, begin, end, no_values, operands, final, storage);
    py::array_t<double> result(std::vector<Index>{job.batch, num_columns});
    job.expectations = result.mutable_data();
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    bool done = false;
    dispatch(final, [&](auto* data) { done = cpu::batch::run(runner, stage, job, data); });
    return done ? py::object(result) : py::none();
  }

  // amps[b][i] *= e^(-i angles[b] costs[i]).
  void turn(const py::array& array, const py::array& costs, const py::array& angles, int threads,
            py::object callback) const {
    const Amps amps = amps_of(array, true);
    if (costs.size() != Index{1} << amps.num_qubits || angles.size() != amps.batch)
      refuse("costs and angles", "one cost per amplitude and one angle per state", std::to_string(costs.size()));
    const double* all_costs = column<double>("costs", costs, costs.size());
    const double* all_angles = column<double>("angles", angles, angles.size());
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps,
             [&](auto* data) { cpu::batch::turn(runner, all_costs, all_angles, data, amps.batch, amps.num_qubits); });
  }

  void fill_zero_state(const py::array& array, int threads) const {
    const Amps amps = amps_of(array, true);
    PythonWatch watch(py::none{});
    const Runner runner = start(threads, watch);
    const auto fill = [&](auto* data) { cpu::fill_zero_state(runner, data, amps.batch, amps.num_qubits); };
    dispatch(amps, fill, amps.batch << amps.num_qubits);
  }

  py::array_t<double> norms(const py::array& array, int threads, py::object callback) const {
    const Amps amps = amps_of(array, false);
    return each_state<double>(amps, threads, std::move(callback),
                              [&](const Runner& runner, auto* data, Index, double* result) {
                                *result = cpu::norm(runner, data, amps.num_qubits);
                              });
  }

  py::array_t<std::complex<double>> pauli_overlap(const py::array& bra, const py::array& ket, const py::int_& x_mask,
                                                  const py::int_& z_mask, int threads, py::object callback) const {
    const Amps left = amps_of(bra, false), right = amps_of(ket, false);
    if (left.single != right.single || left.batch != right.batch || left.num_qubits != right.num_qubits)
      refuse("bra and ket", "the same dtype and shape", "different ones");
    const Bits x = mask_of("x_mask", x_mask, right.num_qubits), z = mask_of("z_mask", z_mask, right.num_qubits);
    return each_state<std::complex<double>>(
        right, threads, std::move(callback),
        [&](const Runner& runner, auto* data, Index b, std::complex<double>* result) {
          auto* other = static_cast<decltype(data)>(left.data) + (b << (left.num_qubits + 1));
          *result = cpu::pauli_overlap(runner, other, data, right.num_qubits, x, z);
        });
  }

  // out = sum of coefficients[b, k] P_k times the amplitudes; coefficients of one row serve every state.
  void apply_pauli_sum(const py::array& array, const py::array& x_masks, const py::array& z_masks,
                       const py::array_t<double, py::array::c_style>& coefficients, const py::array& out_array,
                       int threads, py::object callback) const {
    const Amps amps = amps_of(array, false), out = amps_of(out_array, true);
    if (out.single != amps.single || out.batch != amps.batch || out.num_qubits != amps.num_qubits ||
        out.data == amps.data)
      refuse("states of a Pauli sum", "two of the same dtype and shape", "others");
    const std::vector<cpu::PauliString> strings = strings_of(x_masks, z_masks, amps.num_qubits);
    const auto terms = static_cast<Index>(strings.size());
    if (coefficients.ndim() != 2 || coefficients.shape(1) != terms ||
        (coefficients.shape(0) != 1 && coefficients.shape(0) != amps.batch))
      refuse("coefficients", "shape (1 or " + std::to_string(amps.batch) + ", " + std::to_string(terms) + ")",
             "another one");
    const Index step = coefficients.shape(0) == 1 ? 0 : terms;
    const double* values = coefficients.data();
    run_states(amps, threads, std::move(callback), [&](const Runner& runner, auto* data, Index b) {
      auto* result = static_cast<decltype(data)>(out.data) + (b << (amps.num_qubits + 1));
      cpu::apply_pauli_sum(runner, strings, values + b * step, data, result, amps.num_qubits);
    });
  }

  py::array_t<double> pauli_expectations(const py::array& array, const py::array& x_masks, const py::array& z_masks,
                                         int threads, py::object callback) const {
    const Amps amps = amps_of(array, false);
    const std::vector<cpu::PauliString> strings = strings_of(x_masks, z_masks, amps.num_qubits);
    py::array_t<double> result(std::vector<Index>{amps.batch, static_cast<Index>(strings.size())});
    double* places = result.mutable_data();
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps, [&](auto* data) {
      cpu::PauliPlan(table_, strings, amps.num_qubits).expectations(runner, data, amps.batch, places);
    });
    return result;
  }

  py::array_t<double> probabilities(const py::array& array, const py::sequence& qubits, int threads,
                                    py::object callback) const {
    const Amps amps = amps_of(array, false);
    const std::vector<int> list = qubits_of(qubits, amps.num_qubits);
    const Index outcomes = Index{1} << list.size();
    py::array_t<double> result(std::vector<Index>{amps.batch, outcomes});
    double* rows = result.mutable_data();
    run_states(amps, threads, std::move(callback), [&](const Runner& runner, auto* data, Index b) {
      cpu::probabilities(runner, data, amps.num_qubits, list, rows + b * outcomes);
    });
    return result;
  }

  void collapse(const py::array& array, const py::int_& mask, const py::int_& value, double scale, int threads) const {
    const Amps amps = amps_of(array, true);
    const Bits kept = mask_of("mask", mask, amps.num_qubits), bits = mask_of("value", value, amps.num_qubits);
    if ((bits & ~kept) != 0) refuse("value", "bits of the mask only", std::to_string(bits));
    run_states(amps, threads, py::none{}, [&](const Runner& runner, auto* data, Index) {
      cpu::collapse(runner, data, amps.num_qubits, kept, bits, scale);
    });
  }

  // Row i of `result` from row rows[i] of `array`; see cpu::regroup.
  void regroup(const py::array& array, const py::tuple& columns, const py::array& result_array, int threads,
               py::object callback) const {
    const Amps source = amps_of(array, false), result = amps_of(result_array, true);
    const cpu::Regrouping move = move_of(columns, source, result);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(source, [&](auto* data) {
      cpu::regroup(runner, move, data, source.num_qubits, static_cast<decltype(data)>(result.data), result.num_qubits);
    });
  }

  // (basis states, shape (batch, numbers of a state); squared norms): without states where a norm is not positive and
  // finite. `weights`: of blocks, as KeptPasses::run gave them for these states; None: they are read.
  py::tuple sample(const py::array& array, const py::array& uniforms, int threads, py::object callback,
                   const py::object& weights) const {
    const Amps amps = amps_of(array, false);
    const double* known = weights_of(weights, amps);
    const double* numbers = column<double>("uniform numbers", uniforms, 0);
    const Index count = amps.batch > 0 ? uniforms.size() / amps.batch : 0;
    if (count * amps.batch != uniforms.size())
      refuse("uniform numbers", "equally many for every state", std::to_string(uniforms.size()));
    if (count > max_sampled) refuse("uniform numbers", "at most " + std::to_string(max_sampled), std::to_string(count));
    const auto outside = [](double number) { return !(number >= 0 && number < 1); };
    const double* last = numbers + uniforms.size();
    if (const double* wrong = std::find_if(numbers, last, outside); wrong != last)
      refuse("uniform numbers", "numbers in [0, 1)", std::to_string(*wrong));
    py::array_t<Index> result(std::vector<Index>{amps.batch, count});
    py::array_t<double> norms(amps.batch);
    Index* places = result.mutable_data();
    double* all_norms = norms.mutable_data();
    run_rows(amps, threads, std::move(callback), [&](const Runner& runner, auto* data, Index b) {
      const cpu::Sampler sampler(blocks_of(runner, data, amps.num_qubits, known, b));
      all_norms[b] = sampler.norm();
      if (cpu::can_be_drawn(sampler.norm())) sampler.draw(runner, data, numbers + b * count, count, places + b * count);
    });
    return py::make_tuple(result, norms);
  }

  // (first entry of every state and the end, basis states seen, how often; squared norms): states one after the other,
  // state b with numbers of stream + b.
  py::tuple sample_counts(const py::array& array, Index shots, Bits seed, Bits stream, Bits site, int threads,
                          py::object callback, const py::object& weights) const {
    const Amps amps = amps_of(array, false);
    const double* known = weights_of(weights, amps);
    if (shots < 0 || shots > max_counted) refuse("shots", "0 to " + std::to_string(max_counted), std::to_string(shots));
    const Index room = std::min(shots, Index{1} << amps.num_qubits);
    py::array_t<Index> starts(amps.batch + 1), outcomes(amps.batch * room), counts(amps.batch * room);
    py::array_t<double> norms(amps.batch);
    Index *first = starts.mutable_data(), *all_outcomes = outcomes.mutable_data(), *all_counts = counts.mutable_data();
    double* all_norms = norms.mutable_data();
    first[0] = 0;
    run_rows(amps, threads, std::move(callback), [&](const Runner& runner, auto* data, Index b) {
      const cpu::Philox source{{seed, stream + static_cast<Bits>(b)}, site, 0};
      const cpu::Blocks blocks = blocks_of(runner, data, amps.num_qubits, known, b);
      const cpu::Tally tally =
          cpu::count_shots(runner, data, blocks, source, shots, all_outcomes + b * room, all_counts + b * room);
      all_norms[b] = tally.norm;
      first[b + 1] = tally.entries;
    });
    for (Index b = 0; b < amps.batch; ++b) {
      if (first[b] < b * room) {
        std::copy_n(all_outcomes + b * room, first[b + 1], all_outcomes + first[b]);
        std::copy_n(all_counts + b * room, first[b + 1], all_counts + first[b]);
      }
      first[b + 1] += first[b];
    }
    const Index total = first[amps.batch];
    outcomes.resize({total}, false);
    counts.resize({total}, false);
    return py::make_tuple(starts, outcomes, counts, norms);
  }

 private:
  [[nodiscard]] Runner start(int threads, cpu::Watch& watch) const {
    return {table_, std::min(std::max(threads, 1), cpu::max_threads), watch};
  }

  // The weights of the blocks of all states, or null.
  static const double* weights_of(const py::object& weights, const Amps& amps) {
    if (weights.is_none()) return nullptr;
    const auto array = weights.cast<py::array>().attr("reshape")(-1).cast<py::array>();
    const Index number = amps.batch * cpu::Blocks::number(amps.num_qubits);
    const double* known = column<double>("weights of blocks", array, number);
    if (array.size() != number || std::any_of(known, known + number, [](double w) { return !(w >= 0); }))
      refuse("weights of blocks", std::to_string(number) + " numbers that are not negative", "others");
    return known;
  }

  template <class T>
  static cpu::Blocks blocks_of(const Runner& runner, const T* amps, int num_qubits, const double* known, Index row) {
    if (known == nullptr) return {runner, amps, num_qubits};
    return {known + row * cpu::Blocks::number(num_qubits), num_qubits};
  }

  static std::vector<cpu::PauliString> strings_of(const py::array& x_masks, const py::array& z_masks, int num_qubits) {
    const Index count = x_masks.size();
    const auto* x = column<std::int64_t>("x_masks", x_masks, count);
    const auto* z = column<std::int64_t>("z_masks", z_masks, count);
    std::vector<cpu::PauliString> strings;
    for (Index s = 0; s < count; ++s) {
      strings.push_back({static_cast<Bits>(x[s]), static_cast<Bits>(z[s])});
      if ((strings.back().x | strings.back().z) >> num_qubits != 0)
        refuse("masks of a Pauli string", "bits of " + std::to_string(num_qubits) + " qubits",
               std::to_string(x[s]) + " and " + std::to_string(z[s]));
    }
    return strings;
  }

  // work(runner, data of state b, b) for every state of the batch.
  template <class Work>
  void run_states(const Amps& amps, int threads, py::object callback, Work work) const {
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps, [&](auto* data) {
      for (Index b = 0; b < amps.batch; ++b) {
        watch.step(static_cast<double>(b) / static_cast<double>(amps.batch), 1.0 / static_cast<double>(amps.batch));
        work(runner, data + (b << (amps.num_qubits + 1)), b);
        watch.tick(1);
      }
    });
  }

  // work(runner, data of state b, b) for every state of the batch: many small states side by side.
  template <class Work>
  void run_rows(const Amps& amps, int threads, py::object callback, Work work) const {
    if (amps.batch < 2 || amps.num_qubits > most_qubits_of_rows)
      return run_states(amps, threads, std::move(callback), work);
    PythonWatch watch(std::move(callback));
    const Runner runner = start(threads, watch);
    dispatch(amps, [&](auto* data) {
      auto task = [&](Index begin, Index end, int, cpu::Watch& own) {
        for (Index b = begin; b < end; ++b) {
          own.step(static_cast<double>(b) / static_cast<double>(amps.batch), 0);
          work(Runner{table_, 1, own}, data + (b << (amps.num_qubits + 1)), b);
        }
      };
      cpu::parallel_for(runner.threads, amps.batch, 1, watch, task);
    });
  }

  template <class Result, class Work>
  py::array_t<Result> each_state(const Amps& amps, int threads, py::object callback, Work work) const {
    py::array_t<Result> result(amps.batch);
    Result* places = result.mutable_data();
    run_states(amps, threads, std::move(callback),
               [&](const Runner& runner, auto* data, Index b) { work(runner, data, b, places + b); });
    return result;
  }

  const cpu::KernelTable& table_;

  friend class KeptPasses;
};

// The passes [first, last) of a pass table, given as its columns kind, local and op_offset, to be run again and again.
// What is the same in every run is checked once, so nobody may write to the columns.
class KeptPasses {
 public:
  KeptPasses(const Cpu& cpu, py::tuple columns, py::tuple passes, Index first, Index last, int tile_qubits)
      : cpu_(cpu),
        owners_{std::move(columns), std::move(passes)},
        columns_(columns_of(owners_[0])),
        passes_(passes_of(owners_[1], first, last, tile_qubits, false)) {}

  // With `from_zero` the states are |0...0>. With `weigh`: the weights of blocks that sampling takes, shape (1,
  // blocks), or None where the last pass leaves none.
  py::object run(const py::array& values, const py::tuple& operands, int threads, py::object callback,
                 const py::array& array, bool from_zero, bool weigh) {
    const Amps amps = amps_of(array, true);
    std::optional<py::array_t<double>> weights;  // an array takes as long to make as a small circuit to run
    if (weigh) weights.emplace(std::vector<Index>{1, cpu::Blocks::number(amps.num_qubits)});
    cpu::tile::Left left{weigh ? weights->mutable_data() : nullptr, false};
    std::vector<Operand> storage;
    const cpu::Stage stage = stage_of(columns_, passes_.op_offset[passes_.begin], passes_.op_offset[passes_.end],
                                      values, operands, amps, storage, &known_);
    cpu::tile::Passes passes = passes_;
    passes.from_zero = from_zero;
    PythonWatch watch(std::move(callback));
    const Runner runner = cpu_.start(threads, watch);
    const bool single = amps.batch == 1;
    const auto work = [&](auto* data) {
      if (single) kept(data).run(runner, stage, passes, data, amps.num_qubits, weigh ? &left : nullptr);
      else cpu::tile::run_passes(runner, stage, passes, data, amps.batch, amps.num_qubits);
    };
    const Index rows = stage.end - stage.begin + 1;
    if (single && rows < least_unlocked && amps.num_qubits < 12)
      dispatch(amps, work, rows << std::max(amps.num_qubits, 6));
    else dispatch(amps, work);
    return left.done ? py::object(std::move(*weights)) : py::none();
  }

 private:
  cpu::tile::Kept<float>& kept(const float*) { return single_; }
  cpu::tile::Kept<double>& kept(const double*) { return double_; }

  const Cpu& cpu_;
  std::array<py::tuple, 2> owners_;
  Columns columns_;
  cpu::tile::Passes passes_;
  Sizes known_;
  cpu::tile::Kept<float> single_;
  cpu::tile::Kept<double> double_;
};

// Numbers of shots `first`, first + 1, ... into `result`, cut into equal rows: row b is of stream + b.
void uniforms(Bits seed, Bits stream, Bits site, Bits visit, Index first, const py::array& result, int threads,
              Index rows) {
  column<double>("result", result, 0);
  if (!result.writeable()) refuse("result", "a writable array", "a read-only one");
  auto* places = static_cast<double*>(const_cast<void*>(result.data()));
  PythonWatch watch(py::none{});
  const Runner runner{cpu::find_table(""), std::min(std::max(threads, 1), cpu::max_threads), watch};
  if (rows < 1 || result.size() % rows != 0) refuse("rows", "a divisor of the numbers", std::to_string(rows));
  const Index count = result.size() / rows;
  const py::gil_scoped_release unlocked;
  for (Index b = 0; b < rows; ++b)
    cpu::uniforms(runner, {{seed, stream + static_cast<Bits>(b)}, site, visit}, first, count, places + b * count);
}

// How many of `shots` fall to each outcome, for every row of weights; row b with numbers of stream + b.
py::array_t<Index> multinomial(const py::array& weights, Index rows, Index shots, Bits seed, Bits stream, Bits site) {
  const double* values = column<double>("weights", weights, 0);
  if (rows < 1 || weights.size() % rows != 0) refuse("rows", "a divisor of the weights", std::to_string(rows));
  if (shots < 0 || shots > max_counted) refuse("shots", "0 to " + std::to_string(max_counted), std::to_string(shots));
  const Index size = weights.size() / rows;
  py::array_t<Index> result(std::vector<Index>{rows, size});
  Index* counts = result.mutable_data();
  const py::gil_scoped_release unlocked;
  for (Index b = 0; b < rows; ++b) {
    cpu::Draws draws(cpu::Philox{{seed, stream + static_cast<Bits>(b)}, site, 0, 1});
    cpu::multinomial(draws, values + b * size, size, shots, counts + b * size);
  }
  return result;
}

// The affine map from slots to angles, given as the columns of angles_of; nobody may write to them.
class AngleMap {
 public:
  AngleMap(py::tuple columns, Index num_slots)
      : columns_(std::move(columns)), num_slots_(num_slots), angles_(angles_of(columns_, num_slots, offset_)) {}

  // Angles, shape (batch, A), of slots, shape (batch, P); None where one of them is not finite.
  [[nodiscard]] py::object operator()(
      const py::array_t<double, py::array::c_style | py::array::forcecast>& slots) const {
    if (slots.ndim() != 2 || slots.shape(1) < num_slots_)
      refuse("slots", "rows of " + std::to_string(num_slots_) + " numbers", std::to_string(slots.size()));
    const Index batch = slots.shape(0), width = slots.shape(1), count = static_cast<Index>(offset_.size()) - 1;
    py::array_t<double> result(std::vector<Index>{batch, count});
    const double* values = slots.data();
    double* angle = result.mutable_data();
    bool finite = true;
    for (Index b = 0; b < batch; ++b, values += width)
      for (Index a = 0; a < count; ++a, ++angle) {
        *angle = angles_.constant[a];
        for (Index j = angles_.offset[a]; j < angles_.offset[a + 1]; ++j)
          *angle += angles_.coefficient[j] * values[angles_.slot[j]];
        finite &= std::isfinite(*angle);
      }
    return finite ? py::object(std::move(result)) : py::none();
  }

 private:
  py::tuple columns_;
  Index num_slots_;
  std::vector<Index> offset_;
  cpu::batch::Angles angles_;
};

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const cpu::KernelTable* table : cpu::available_tables()) names.emplace_back(table->name);
  return names;
}

}  // namespace

void add_cpu(py::module_& module) {
  using py::arg;
  module.def("isas", [] {
    py::list names;
    for (const std::string& name : isas()) names.append(name);
    return names;
  });
  module.def("uniforms", &uniforms, arg("seed"), arg("stream"), arg("site"), arg("visit"), arg("first"),
             arg("result").noconvert(), arg("threads"), arg("rows") = 1);
  module.def("multinomial", &multinomial, arg("weights").noconvert(), arg("rows"), arg("shots"), arg("seed"),
             arg("stream"), arg("site"));
  module.def("allocate", &allocate, arg("batch"), arg("num_qubits"), arg("single"), arg("zero_state") = false);
  module.def("parities", &parities, arg("columns"), arg("values"), arg("operands"), arg("num_qubits"));
  py::class_<AngleMap>(module, "AngleMap")
      .def(py::init<py::tuple, Index>(), arg("columns"), arg("num_slots"))
      .def("__call__", &AngleMap::operator(), arg("slots"));
  py::class_<KeptPasses>(module, "KeptPasses")
      .def(py::init<const Cpu&, py::tuple, py::tuple, Index, Index, int>(), arg("cpu"), arg("columns"), arg("passes"),
           arg("first"), arg("last"), arg("tile_qubits"), py::keep_alive<1, 2>())
      .def("run", &KeptPasses::run, arg("values"), arg("operands"), arg("threads"), arg("callback"),
           arg("amps").noconvert(), arg("from_zero"), arg("weigh"));
  py::class_<Cpu>(module, "Cpu")
      .def(py::init<const std::string&>(), arg("isa") = "")
      .def_property_readonly("isa", &Cpu::isa)
      .def_property_readonly("vector_bytes", &Cpu::vector_bytes)
      .def("run", &Cpu::run, arg("columns"), arg("begin"), arg("end"), arg("values"), arg("operands"),
           arg("amps").noconvert(), arg("threads"), arg("callback"))
      .def("run_passes", &Cpu::run_passes, arg("columns"), arg("passes"), arg("first"), arg("last"), arg("values"),
           arg("operands"), arg("amps").noconvert(), arg("threads"), arg("tile_qubits"), arg("callback"),
           arg("from_zero") = false, arg("source") = py::none(), arg("move") = py::tuple(), arg("read") = py::tuple())
      .def("profile_passes", &Cpu::profile_passes, arg("columns"), arg("passes"), arg("first"), arg("last"),
           arg("values"), arg("operands"), arg("num_qubits"), arg("single"), arg("state"), arg("threads"),
           arg("tile_qubits"), arg("callback"), arg("from_zero"))
      .def("run_adjoint", &Cpu::run_adjoint, arg("columns"), arg("passes"), arg("first"), arg("last"), arg("values"),
           arg("operands"), arg("ket").noconvert(), arg("bra").noconvert(), arg("wanted").noconvert(), arg("threads"),
           arg("tile_qubits"), arg("callback"), arg("to_zero") = false)
      .def("run_batch", &Cpu::run_batch, arg("columns"), arg("begin"), arg("end"), arg("operands"), arg("num_qubits"),
           arg("single"), arg("slots").noconvert(), arg("angles"), arg("start"), arg("terms"), arg("num_columns"),
           arg("states"), arg("threads"), arg("callback"))
      .def("turn", &Cpu::turn, arg("amps").noconvert(), arg("costs").noconvert(), arg("angles").noconvert(),
           arg("threads"), arg("callback"))
      .def("fill_zero_state", &Cpu::fill_zero_state, arg("amps").noconvert(), arg("threads"))
      .def("norms", &Cpu::norms, arg("amps").noconvert(), arg("threads"), arg("callback"))
      .def("pauli_overlap", &Cpu::pauli_overlap, arg("bra").noconvert(), arg("ket").noconvert(), arg("x_mask"),
           arg("z_mask"), arg("threads"), arg("callback"))
      .def("apply_pauli_sum", &Cpu::apply_pauli_sum, arg("amps").noconvert(), arg("x_masks").noconvert(),
           arg("z_masks").noconvert(), arg("coefficients"), arg("out").noconvert(), arg("threads"), arg("callback"))
      .def("pauli_expectations", &Cpu::pauli_expectations, arg("amps").noconvert(), arg("x_masks").noconvert(),
           arg("z_masks").noconvert(), arg("threads"), arg("callback"))
      .def("probabilities", &Cpu::probabilities, arg("amps").noconvert(), arg("qubits"), arg("threads"),
           arg("callback"))
      .def("collapse", &Cpu::collapse, arg("amps").noconvert(), arg("mask"), arg("value"), arg("scale"), arg("threads"))
      .def("regroup", &Cpu::regroup, arg("amps").noconvert(), arg("move"), arg("result").noconvert(), arg("threads"),
           arg("callback"))
      .def("sample", &Cpu::sample, arg("amps").noconvert(), arg("uniforms").noconvert(), arg("threads"),
           arg("callback"), arg("weights") = py::none())
      .def("sample_counts", &Cpu::sample_counts, arg("amps").noconvert(), arg("shots"), arg("seed"), arg("stream"),
           arg("site"), arg("threads"), arg("callback"), arg("weights") = py::none());
}

}  // namespace qsim::bindings
