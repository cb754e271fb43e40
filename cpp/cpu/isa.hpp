// Which instruction set's kernels run: the best this CPU has, or one asked for by name.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace qsim::cpu {

// The tables this CPU can run, best first. Never empty: "generic" runs everywhere.
std::vector<const KernelTable*> available_tables();

// Throws std::invalid_argument with the names that work here.
const KernelTable& find_table(const std::string& name);

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float)) return table.f32;
  else return table.f64;
}

}  // namespace qsim::cpu
