// Plans lowered to launches, for the CUDA backends. Works on every machine: no CUDA is needed to lower.
#include "bindings.hpp"
#include "convert.hpp"
#include "cuda/lowering.hpp"

namespace qsim::bindings {
namespace {

// Return (launches, program, scratch bytes); a launch is (kernel, blocks, threads, shared bytes, offset, first op).
py::tuple lower(const py::tuple& columns, const py::array_t<std::uint64_t>& local,
                const py::array_t<std::int64_t>& op_offset, Index first, Index last, const py::array& values,
                const py::tuple& operands, Index batch, int num_qubits, bool single, Index max_blocks) {
  if (num_qubits < 0 || num_qubits > max_qubits)
    refuse("qubits", "0 to " + std::to_string(max_qubits), std::to_string(num_qubits));
  if (batch < 1 || max_blocks < 1)
    refuse("batch and blocks", "at least 1", std::to_string(std::min(batch, max_blocks)));
  const Index size = local.size();
  if (op_offset.size() != size + 1 || first < 0 || last < first || last > size)
    refuse("passes to run", "within 0 to " + std::to_string(size),
           std::to_string(first) + " to " + std::to_string(last));
  const auto* const local_column = column<std::uint64_t>("column local", local, size);
  const auto* const offsets = column<std::int64_t>("column op_offset", op_offset, size + 1);
  const Amps amps{nullptr, batch, num_qubits, single};
  std::vector<Operand> storage;
  const cpu::Stage stage = stage_of(columns, offsets[first], offsets[last], values, operands, amps, storage);
  std::vector<cuda::Pass> passes;
  for (Index p = first; p < last; ++p) {
    if (offsets[p + 1] < offsets[p]) refuse("column op_offset", "ascending numbers", std::to_string(offsets[p + 1]));
    passes.push_back({offsets[p], offsets[p + 1], local_column[p]});
  }
  cuda::LaunchList list;
  {
    const py::gil_scoped_release unlocked;
    list = single ? cuda::lower<float>(stage, passes, batch, num_qubits, max_blocks)
                  : cuda::lower<double>(stage, passes, batch, num_qubits, max_blocks);
  }
  py::list launches;
  for (const cuda::Launch& launch : list.launches)
    launches.append(
        py::make_tuple(launch.kernel, launch.blocks, launch.threads, launch.shared_bytes, launch.offset, launch.op));
  const py::bytes program(reinterpret_cast<const char*>(list.program.data()), list.program.size());
  return py::make_tuple(launches, program, list.scratch_bytes);
}

}  // namespace

void add_cuda(py::module_& module) {
  module.def("cuda_lower", &lower, py::arg("columns"), py::arg("local"), py::arg("op_offset"), py::arg("first"),
             py::arg("last"), py::arg("values"), py::arg("operands"), py::kw_only(), py::arg("batch"),
             py::arg("num_qubits"), py::arg("single"), py::arg("max_blocks"),
             "Lower the passes [first, last) of a plan to kernel launches; see qsim_core.kernels.launches.");
}

}  // namespace qsim::bindings
