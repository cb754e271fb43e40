#include "isa.hpp"

#include <stdexcept>

namespace qsim::cpu {

namespace generic {
const KernelTable* kernel_table();
}
#ifdef QSIM_X86
namespace avx2 {
const KernelTable* kernel_table();
}
namespace avx512 {
const KernelTable* kernel_table();
}
#endif

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables;
#ifdef QSIM_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(avx512::kernel_table());
  if (avx2) tables.push_back(avx2::kernel_table());
#endif
  tables.push_back(generic::kernel_table());
  return tables;
}

const KernelTable& find_table(const std::string& name) {
  std::string names;
  for (const KernelTable* table : available_tables()) {
    if (name.empty() || name == table->name) return *table;
    names += names.empty() ? "" : ", ";
    names += table->name;
  }
  throw std::invalid_argument("instruction set: expected one this CPU has (" + names + "), got '" + name + "'.");
}

}  // namespace qsim::cpu
