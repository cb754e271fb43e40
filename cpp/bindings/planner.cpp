// The planner: columns of operations in, columns of passes out.
#include "planner/partition.hpp"

#include <algorithm>

#include "bindings.hpp"
#include "convert.hpp"

namespace qsim::bindings {
namespace {

using namespace planner;

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

void check_limits(const Limits& limits) {
  if (limits.num_qubits < 0 || limits.num_qubits > max_qubits)
    refuse("register", "0 to 62 qubits", std::to_string(limits.num_qubits));
  if (limits.low_qubits < 0 || limits.low_qubits > limits.tile_qubits || limits.tile_qubits > max_qubits)
    refuse("tile", "0 <= low_qubits <= tile_qubits <= 62",
           std::to_string(limits.low_qubits) + " of " + std::to_string(limits.tile_qubits));
}

// Only what the planner relies on; coefficients and operands are checked where they are used.
void check_row(const OpColumns& ops, Index row, Index num_wires, Index num_operands, int num_qubits) {
  const std::string name = "row " + std::to_string(row) + " of the operations";
  const Index start = ops.offset[row], stop = ops.offset[row + 1];
  if (start < 0 || stop < start || stop > num_wires || ops.num_targets[row] < 0 || ops.num_targets[row] > stop - start)
    refuse(name, "wires within the columns", std::to_string(start) + " to " + std::to_string(stop));
  const Op op = unpack(ops, row);
  if (op.kind < OpKind::rotation || op.kind > OpKind::initialize)
    refuse(name, "a kind from 1 to 6", std::to_string(ops.kind[row]));
  for (Index wire = start; wire < stop; ++wire)
    if (ops.qubits[wire] < 0 || ops.qubits[wire] >= num_qubits)
      refuse(name, "qubits from 0 to " + std::to_string(num_qubits - 1), std::to_string(ops.qubits[wire]));
  if (op.kind == OpKind::rotation) {
    for (int k = 0; k < op.num_targets; ++k)
      if (op.target_tags[k] < 1 || op.target_tags[k] > 3)
        refuse(name, "Pauli letters X 1, Y 2, Z 3", std::to_string(op.target_tags[k]));
  } else if (op.kind != OpKind::phase && (op.data < 0 || op.data >= num_operands)) {
    refuse(name, "an operand with a class", std::to_string(op.data));
  }
}

py::tuple plan(const py::tuple& columns, const py::array& slices, const py::array& operand_classes, int num_qubits,
               int tile_qubits, int low_qubits, int wished_low_qubits, int dense_targets, int permutation_targets) {
  const Limits limits{num_qubits,
                      tile_qubits,
                      std::min(low_qubits, num_qubits),
                      std::min(wished_low_qubits, std::min(tile_qubits, num_qubits)),
                      dense_targets,
                      permutation_targets};
  check_limits(limits);
  if (columns.size() != 6) refuse("operations", "6 columns", std::to_string(columns.size()));
  std::vector<py::array> arrays;
  for (const py::handle& entry : columns) arrays.push_back(entry.cast<py::array>());
  const Index rows = arrays[0].size(), wires = arrays[4].size();
  const OpColumns ops{column<std::uint8_t>("column kind", arrays[0], rows),
                      column<std::int32_t>("column num_targets", arrays[1], rows),
                      column<std::int32_t>("column data", arrays[2], rows),
                      column<std::int64_t>("column offset", arrays[3], rows + 1),
                      column<std::int32_t>("column qubits", arrays[4], wires),
                      column<std::int32_t>("column tags", arrays[5], wires)};
  for (Index row = 0; row < rows; ++row) check_row(ops, row, wires, operand_classes.size(), num_qubits);
  const Index* const first_cut = column<Index>("slices", slices, 1);
  const std::vector<Index> cuts(first_cut, first_cut + slices.size());
  if (cuts.front() < 0 || cuts.back() > rows || !std::is_sorted(cuts.begin(), cuts.end()))
    refuse("slices", "rows from 0 to " + std::to_string(rows) + " in order", std::to_string(cuts.back()));
  const auto* classes =
      reinterpret_cast<const OperandClass*>(column<std::uint8_t>("operand_classes", operand_classes, 0));
  Partition result;
  {
    PythonWatch watch(py::none{});
    const py::gil_scoped_release unlocked;
    result = partition(ops, cuts, classes, limits, [&] { watch.tick(0); });
  }
  return py::make_tuple(to_array(result.order), to_array(result.kind), to_array(result.local),
                        to_array(result.op_offset), to_array(result.pass_offset));
}

}  // namespace

void add_planner(py::module_& module) {
  module.def("partition", &plan, py::arg("columns"), py::arg("slices"), py::arg("operand_classes"), py::kw_only(),
             py::arg("num_qubits"), py::arg("tile_qubits"), py::arg("low_qubits"), py::arg("wished_low_qubits"),
             py::arg("dense_targets"), py::arg("permutation_targets"),
             "Reorder and cut straight-line operations into passes; see qsim_core.planner.");
}

}  // namespace qsim::bindings
