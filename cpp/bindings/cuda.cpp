// Plans lowered to launches, and the CUDA driver. Works on every machine: no CUDA is needed to build or to lower.
#include <pybind11/stl.h>
#include "bindings.hpp"
#include "convert.hpp"
#include "cuda/driver.hpp"
#include "cuda/lowering.hpp"

#include <map>
#include <memory>
#include <optional>
#include <tuple>

namespace qsim::bindings {
namespace {

// Return (launches, program, scratch bytes); a launch is (kernel, blocks, threads, shared bytes, offset, first op,
// stages, works on the second state). With `wanted` it is an adjoint walk, see cuda::Adjoint.
py::tuple lower(const py::tuple& columns, const py::array_t<std::uint64_t>& local,
                const py::array_t<std::int64_t>& op_offset, Index first, Index last, const py::array& values,
                const py::tuple& operands, Index batch, int num_qubits, bool single, Index max_blocks,
                const std::optional<py::array_t<std::uint8_t>>& wanted, cuda::Address second, cuda::Address slopes,
                int max_slice_bits, bool from_zero, bool to_zero) {
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
  cuda::Adjoint adjoint;
  if (wanted) {
    if (wanted->size() != stage.num_values)
      refuse("wanted slopes", std::to_string(stage.num_values) + ", one per value", std::to_string(wanted->size()));
    adjoint = {second, slopes, column<std::uint8_t>("column wanted", *wanted, stage.num_values), stage.num_values,
               max_slice_bits};
  }
  const cuda::Ends ends{from_zero, to_zero};
  cuda::LaunchList list;
  {
    const py::gil_scoped_release unlocked;
    list = single ? cuda::lower<float>(stage, passes, batch, num_qubits, max_blocks, adjoint, ends)
                  : cuda::lower<double>(stage, passes, batch, num_qubits, max_blocks, adjoint, ends);
  }
  py::list launches;
  for (const cuda::Launch& launch : list.launches)
    launches.append(py::make_tuple(launch.kernel, launch.blocks, launch.threads, launch.shared_bytes, launch.offset,
                                   launch.op, launch.stages, launch.on_second));
  const py::bytes program(reinterpret_cast<const char*>(list.program.data()), list.program.size());
  return py::make_tuple(launches, program, list.scratch_bytes);
}

using cuda::Driver;
using Unlocked = py::call_guard<py::gil_scoped_release>;

std::unique_ptr<Driver> open(const py::object& source, int device) {
  const cuda::Table table = py::isinstance<py::str>(source)
                                ? cuda::table_of(source.cast<std::string>())
                                : cuda::table_of(source.cast<std::map<std::string, std::uintptr_t>>());
  const py::gil_scoped_release unlocked;
  return std::make_unique<Driver>(table, device);
}

void upload(Driver& driver, cuda::Address target, const py::array& source) {
  if ((source.flags() & py::array::c_style) == 0) refuse("array to copy", "a contiguous one", "one with gaps");
  const void* data = source.data();
  const auto bytes = static_cast<std::size_t>(source.nbytes());
  const py::gil_scoped_release unlocked;
  driver.upload(target, data, bytes);
}

void upload_beside(Driver& driver, cuda::Address target, const py::array& source, bool fresh) {
  if ((source.flags() & py::array::c_style) == 0) refuse("array to copy", "a contiguous one", "one with gaps");
  const void* data = source.data();
  const auto bytes = static_cast<std::size_t>(source.nbytes());
  const py::gil_scoped_release unlocked;
  driver.upload_beside(target, data, bytes, fresh);
}

// Kernel, blocks, threads, shared bytes, arguments.
using Launched = std::tuple<std::string, unsigned, unsigned, unsigned, std::vector<std::uint64_t>>;

cuda::KernelLaunch launch_of(const Launched& work) {
  const auto& [kernel, blocks, threads, shared_bytes, arguments] = work;
  return {kernel, blocks, threads, shared_bytes, arguments};
}

void download(Driver& driver, py::array target, cuda::Address source) {
  if ((target.flags() & py::array::c_style) == 0) refuse("array to fill", "a contiguous one", "one with gaps");
  void* data = target.mutable_data();
  const auto bytes = static_cast<std::size_t>(target.nbytes());
  const py::gil_scoped_release unlocked;
  driver.download(data, source, bytes);
}

}  // namespace

void add_cuda(py::module_& module) {
  module.def("cuda_lower", &lower, py::arg("columns"), py::arg("local"), py::arg("op_offset"), py::arg("first"),
             py::arg("last"), py::arg("values"), py::arg("operands"), py::kw_only(), py::arg("batch"),
             py::arg("num_qubits"), py::arg("single"), py::arg("max_blocks"), py::arg("wanted") = py::none(),
             py::arg("second") = 0, py::arg("slopes") = 0, py::arg("max_slice_bits") = 0, py::arg("from_zero") = false,
             py::arg("to_zero") = false,
             "Lower the passes [first, last) of a plan to kernel launches; see qsim_core.kernels.launches.");
  py::class_<Driver>(module, "CudaDriver")
      .def(py::init(&open), py::arg("source"), py::arg("device") = 0,
           "The driver in a library, or a table of its functions' addresses; and one of its devices.")
      .def("name", &Driver::name, Unlocked())
      .def("attribute", &Driver::attribute, Unlocked())
      .def("total_memory", &Driver::total_memory, Unlocked())
      .def("free_memory", &Driver::free_memory, Unlocked())
      .def("driver_version", &Driver::driver_version, Unlocked())
      .def("load",
           [](Driver& driver, const py::bytes& image) {
             const std::string text = image;
             const py::gil_scoped_release unlocked;
             driver.load(text);
           })
      .def("allocate", &Driver::allocate, Unlocked())
      .def("free", &Driver::free, Unlocked())
      .def("upload", &upload)
      .def("download", &download)
      .def("copy", &Driver::copy, Unlocked())
      .def("launch",
           [](Driver& driver, const Launched& work) {
             const py::gil_scoped_release unlocked;
             driver.launch(launch_of(work));
           })
      .def("synchronize", &Driver::synchronize, Unlocked())
      .def("use_streams", &Driver::use_streams, Unlocked())
      .def("upload_beside", &upload_beside)
      .def("record",
           [](Driver& driver, const std::vector<Launched>& work) {
             std::vector<cuda::KernelLaunch> launches;
             for (const Launched& launch : work) launches.push_back(launch_of(launch));
             const py::gil_scoped_release unlocked;
             return reinterpret_cast<std::uintptr_t>(driver.record(launches));
           })
      .def(
          "replay", [](Driver& driver, std::uintptr_t graph) { driver.replay(reinterpret_cast<void*>(graph)); },
          Unlocked())
      .def(
          "forget", [](Driver& driver, std::uintptr_t graph) { driver.forget(reinterpret_cast<void*>(graph)); },
          Unlocked());
}

}  // namespace qsim::bindings
