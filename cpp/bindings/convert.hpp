// From Python objects to plain pointers, every property a kernel relies on checked: a bad call raises, it never writes.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <complex>
#include <string>
#include <utility>
#include <vector>

#include "executor.hpp"

namespace qsim::bindings {

namespace py = pybind11;

// ValueError in the wording of qsim_core.errors.expected.
[[noreturn]] void refuse(const std::string& what, const std::string& allowed, const std::string& given);

// Amplitudes of shape (batch, 2^n), C-contiguous, complex64 or complex128.
struct Amps {
  void* data;
  Index batch;
  int num_qubits;
  bool single;
};
Amps amps_of(const py::array& array, bool writable);

// Whether an array is of this type, told from its number where that is enough: asking NumPy takes longer than a small
// circuit.
template <class T>
bool is_plainly(const py::array& array) {
  const py::dtype type = array.dtype();
  return type.num() == py::detail::npy_format_descriptor<T>::value && type.byteorder() == '=';
}
template <class T>
bool is(const py::array& array) {
  return is_plainly<T>(array) || py::isinstance<py::array_t<T>>(array);
}

// A C-contiguous array of one dimension and exactly this type.
template <class T>
const T* column(const char* name, const py::array& array, Index least_size) {
  if (!is<T>(array) || array.ndim() != 1 || array.size() < least_size || (array.flags() & py::array::c_style) == 0)
    refuse(name, "a contiguous column of its type with at least " + std::to_string(least_size) + " entries",
           py::repr(py::type::of(array)).cast<std::string>() + " of size " + std::to_string(array.size()));
  return static_cast<const T*>(array.data());
}

// The packed columns of qsim_core.optable, types and lengths checked. Borrows them.
struct Columns {
  OpColumns ops;
  Index rows, wires;
};
Columns columns_of(const py::tuple& columns);

// What rows were checked against; for numbers of the same sizes they need no other look. Never look at what operands
// point to.
struct Sizes {
  int num_qubits = -1;
  Index num_values = -1;
  std::vector<Operand> operands{};
  [[nodiscard]] bool same(int qubits, Index values, const std::vector<Operand>& others) const;
};

// Rows [begin, end) of packed columns with their values; `operands` backs the result's pointer.
cpu::Stage stage_of(const Columns& columns, Index begin, Index end, const py::array& values, const py::tuple& operands,
                    const Amps& amps, std::vector<Operand>& storage, Sizes* known = nullptr);
inline cpu::Stage stage_of(const py::tuple& columns, Index begin, Index end, const py::array& values,
                           const py::tuple& operands, const Amps& amps, std::vector<Operand>& storage) {
  return stage_of(columns_of(columns), begin, end, values, operands, amps, storage);
}

// Different qubits of a register, as numbers.
std::vector<int> qubits_of(const py::sequence& qubits, int num_qubits);

// A mask of qubits of a register.
Bits mask_of(const char* name, const py::int_& mask, int num_qubits);

// Asks Python whether to go on: signals first, then `callback(fraction)` unless it is None. Needs no GIL.
class PythonWatch final : public cpu::Watch {
 public:
  explicit PythonWatch(py::object callback) : callback_(std::move(callback)) {
    if (!callback_.is_none()) poll(0);
  }

 private:
  void poll(double fraction) override;
  py::object callback_;
};

}  // namespace qsim::bindings
