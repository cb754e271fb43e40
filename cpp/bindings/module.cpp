// Index of the extension module qsim_core._native.
#include "bindings.hpp"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ core of qsim. Use it through qsim_core.kernels.native_cpu.";
  qsim::bindings::add_cpu(module);
  qsim::bindings::add_planner(module);
  qsim::bindings::add_cuda(module);
  qsim::bindings::add_stencil(module);
}
