// What module.cpp lists.
#pragma once

#include <pybind11/pybind11.h>

namespace qsim::bindings {

void add_cpu(pybind11::module_& module);
void add_planner(pybind11::module_& module);
void add_cuda(pybind11::module_& module);
void add_stencil(pybind11::module_& module);

}  // namespace qsim::bindings
