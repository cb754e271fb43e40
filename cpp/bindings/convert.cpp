#include "convert.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::bindings {
namespace {

std::string text(const py::handle& object) {
  return py::str(object).cast<std::string>();
}

std::string row_name(Index row) {
  return "row " + std::to_string(row) + " of the operations";
}

// The k of an operand with 2^k rows. `operand` must be of the kind the operation wants.
void check_operand(const Op& op, Index row, const std::vector<Operand>& operands) {
  if (op.data < 0 || op.data >= static_cast<Index>(operands.size()))
    refuse(row_name(row), "an operand index from 0 to " + std::to_string(operands.size()) + " - 1",
           std::to_string(op.data));
  const Operand& operand = operands[static_cast<std::size_t>(op.data)];
  const bool dense = op.kind == OpKind::dense;
  const int widest = dense ? max_dense_qubits : max_table_qubits;
  if (op.num_targets > widest)
    refuse(row_name(row), "at most " + std::to_string(widest) + " targets", std::to_string(op.num_targets));
  const Index size = Index{1} << (dense ? 2 * op.num_targets : op.num_targets);
  const bool table = op.kind == OpKind::permutation;
  if (operand.size != size || (table ? operand.table == nullptr : operand.numbers == nullptr))
    refuse(row_name(row), "an operand of " + std::to_string(size) + (table ? " int64" : " complex128") + " numbers",
           std::to_string(operand.size) + " of dtype " + (operand.table != nullptr ? "int64" : "complex128"));
}

void check_row(const OpColumns& columns, Index row, Index num_wires, int num_qubits, Index num_values,
               const std::vector<Operand>& operands) {
  const std::int64_t start = columns.offset[row], stop = columns.offset[row + 1];
  if (start < 0 || stop < start || stop > num_wires || columns.num_targets[row] < 0 ||
      columns.num_targets[row] > stop - start)
    refuse(row_name(row), "wires within the columns", std::to_string(start) + " to " + std::to_string(stop));
  if (stop - start > num_qubits)
    refuse(row_name(row), "at most " + std::to_string(num_qubits) + " wires", std::to_string(stop - start));
  const Op op = unpack(columns, row);
  Bits seen = 0;
  for (std::int64_t wire = start; wire < stop; ++wire) {
    const std::int32_t qubit = columns.qubits[wire];
    if (qubit < 0 || qubit >= num_qubits || (seen >> qubit & 1) != 0)
      refuse(row_name(row), "different qubits from 0 to " + std::to_string(num_qubits - 1), std::to_string(qubit));
    seen |= bit(qubit);
  }
  for (int c = 0; c < op.num_controls; ++c)
    if (op.control_values[c] != 0 && op.control_values[c] != 1)
      refuse(row_name(row), "control values 0 or 1", std::to_string(op.control_values[c]));
  switch (op.kind) {
    case OpKind::rotation:
      for (int k = 0; k < op.num_targets; ++k)
        if (op.target_tags[k] < 1 || op.target_tags[k] > 3)
          refuse(row_name(row), "Pauli letters X 1, Y 2, Z 3", std::to_string(op.target_tags[k]));
      [[fallthrough]];
    case OpKind::phase:
      if (op.data < 0 || op.data >= num_values)
        refuse(row_name(row), "a coefficient from 0 to " + std::to_string(num_values) + " - 1",
               std::to_string(op.data));
      if (op.kind == OpKind::phase && op.num_targets != 0)
        refuse(row_name(row), "a phase without targets", std::to_string(op.num_targets));
      return;
    case OpKind::initialize:
      if (op.num_controls != 0)
        refuse(row_name(row), "an initialisation without controls", std::to_string(op.num_controls));
      [[fallthrough]];
    case OpKind::dense:
    case OpKind::diagonal:
    case OpKind::permutation: return check_operand(op, row, operands);
  }
  refuse(row_name(row), "an operation kind from 1 to 6", std::to_string(static_cast<int>(op.kind)));
}

Operand operand_of(const py::handle& object) {
  if (!py::isinstance<py::array>(object)) refuse("operand", "a NumPy array", text(py::type::of(object)));
  const auto array = py::reinterpret_borrow<py::array>(object);
  if ((array.flags() & py::array::c_style) == 0) refuse("operand", "a C-contiguous array", "another layout");
  if (is_plainly<std::complex<double>>(array) || (!is_plainly<std::int64_t>(array) && is<std::complex<double>>(array)))
    return {static_cast<const std::complex<double>*>(array.data()), nullptr, array.size()};
  if (is<std::int64_t>(array)) return {nullptr, static_cast<const std::int64_t*>(array.data()), array.size()};
  refuse("operand", "dtype complex128 or int64", text(array.dtype()));
}

}  // namespace

void refuse(const std::string& what, const std::string& allowed, const std::string& given) {
  throw py::value_error(what + ": expected " + allowed + ", got " + given + ".");
}

Amps amps_of(const py::array& array, bool writable) {
  const bool single = !is_plainly<std::complex<double>>(array) && is<std::complex<float>>(array);
  if (!single && !is<std::complex<double>>(array))
    refuse("amplitudes", "dtype complex64 or complex128", text(array.dtype()));
  const bool shaped = array.ndim() == 2 && array.shape(1) > 0 && (array.shape(1) & (array.shape(1) - 1)) == 0;
  if (!shaped) refuse("amplitudes", "shape (batch, 2^n)", text(array.attr("shape")));
  if ((array.flags() & py::array::c_style) == 0) refuse("amplitudes", "a C-contiguous array", "another layout");
  if (reinterpret_cast<std::uintptr_t>(array.data()) % (single ? alignof(float) : alignof(double)) != 0)
    refuse("amplitudes", "an aligned array", "an unaligned one");
  if (writable && !array.writeable()) refuse("amplitudes", "a writable array", "a read-only one");
  return {const_cast<void*>(array.data()), array.shape(0), lowest_bit(static_cast<Bits>(array.shape(1))), single};
}

Columns columns_of(const py::tuple& columns) {
  if (columns.size() != 6) refuse("operations", "6 columns", std::to_string(columns.size()));
  std::vector<py::array> arrays;
  for (const py::handle& entry : columns) {
    if (!py::isinstance<py::array>(entry)) refuse("column of operations", "a NumPy array", text(py::type::of(entry)));
    arrays.push_back(py::reinterpret_borrow<py::array>(entry));
  }
  const Index rows = arrays[0].size(), wires = arrays[4].size();
  return {
      {column<std::uint8_t>("column kind", arrays[0], rows),
       column<std::int32_t>("column num_targets", arrays[1], rows),
       column<std::int32_t>("column data", arrays[2], rows), column<std::int64_t>("column offset", arrays[3], rows + 1),
       column<std::int32_t>("column qubits", arrays[4], wires), column<std::int32_t>("column tags", arrays[5], wires)},
      rows,
      wires};
}

cpu::Stage stage_of(const Columns& columns, Index begin, Index end, const py::array& values, const py::tuple& operands,
                    const Amps& amps, std::vector<Operand>& storage, Sizes* known) {
  if (begin < 0 || end < begin || end > columns.rows)
    refuse("rows to run", "within 0 to " + std::to_string(columns.rows),
           std::to_string(begin) + " to " + std::to_string(end));
  const bool table = is<double>(values) && values.ndim() == 2 && (values.flags() & py::array::c_style) != 0;
  if (!table || (values.shape(0) != 1 && values.shape(0) != amps.batch))
    refuse("coefficient values", "contiguous float64 of shape (1 or " + std::to_string(amps.batch) + ", C)",
           text(values.dtype()) + " of shape " + text(values.attr("shape")));
  storage.reserve(operands.size());
  for (const py::handle& operand : operands) storage.push_back(operand_of(operand));
  const Index num_values = values.shape(1);
  if (known == nullptr || !known->same(amps.num_qubits, num_values, storage)) {
    for (Index row = begin; row < end; ++row)
      check_row(columns.ops, row, columns.wires, amps.num_qubits, num_values, storage);
    if (known != nullptr) *known = {amps.num_qubits, num_values, storage};
  }
  return {columns.ops,
          begin,
          end,
          static_cast<const double*>(values.data()),
          num_values,
          values.shape(0) == 1,
          storage.data(),
          static_cast<Index>(storage.size())};
}

bool Sizes::same(int qubits, Index values, const std::vector<Operand>& others) const {
  return qubits == num_qubits && values == num_values &&
         std::equal(operands.begin(), operands.end(), others.begin(), others.end(),
                    [](const Operand& a, const Operand& b) {
                      return a.size == b.size && (a.table == nullptr) == (b.table == nullptr);
                    });
}

std::vector<int> qubits_of(const py::sequence& qubits, int num_qubits) {
  std::vector<int> result;
  Bits seen = 0;
  for (const py::handle& entry : qubits) {
    const auto qubit = entry.cast<Index>();
    if (qubit < 0 || qubit >= num_qubits || (seen >> qubit & 1) != 0)
      refuse("qubits", "different ones from 0 to " + std::to_string(num_qubits - 1), std::to_string(qubit));
    seen |= bit(static_cast<int>(qubit));
    result.push_back(static_cast<int>(qubit));
  }
  return result;
}

Bits mask_of(const char* name, const py::int_& mask, int num_qubits) {
  const unsigned long long bits = PyLong_AsUnsignedLongLong(mask.ptr());
  const bool failed = PyErr_Occurred() != nullptr;
  PyErr_Clear();
  if (failed || bits >> num_qubits != 0) refuse(name, "bits of " + std::to_string(num_qubits) + " qubits", text(mask));
  return bits;
}

void PythonWatch::poll(double fraction) {
  const py::gil_scoped_acquire lock;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  if (!callback_.is_none()) callback_(std::min(fraction, 1.0));
}

}  // namespace qsim::bindings
