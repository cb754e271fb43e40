// Calls of gates into columns of operations: the operations of a gate are a stencil, stamped on the wires of each call.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <unordered_map>
#include <vector>

#include "bindings.hpp"
#include "qsim/bits.hpp"
#include "qsim/types.hpp"

namespace qsim::bindings {
namespace {

namespace py = pybind11;

constexpr std::uint8_t measure = 7;  // qsim_core.operations.OpKind

struct Row {
  std::uint8_t kind;
  bool framed;     // controls put on the call don't act on it
  bool all_wires;  // the targets are all wires of the call, whatever their number
  std::vector<std::int32_t> targets, tags, controls, control_values;
  bool has_angle;
  double constant;
  std::vector<std::pair<std::size_t, double>> terms;  // parameter of the call, coefficient
  py::object operand;                                 // or None
};

class Stencil {
 public:
  // Rows as tuples (kind, framed, targets or None, tags, controls, control values, (constant, terms) or None, operand).
  Stencil(int num_wires, std::size_t num_params, const py::sequence& rows)
      : num_wires(num_wires), num_params(num_params) {
    for (const py::handle& item : rows) {
      const auto row = item.cast<py::tuple>();
      Row result{};
      result.kind = row[0].cast<std::uint8_t>();
      result.framed = row[1].cast<bool>();
      result.all_wires = row[2].is_none();
      if (!result.all_wires) result.targets = row[2].cast<std::vector<std::int32_t>>();
      result.tags = row[3].cast<std::vector<std::int32_t>>();
      result.controls = row[4].cast<std::vector<std::int32_t>>();
      result.control_values = row[5].cast<std::vector<std::int32_t>>();
      result.has_angle = !row[6].is_none();
      if (result.has_angle) {
        const auto angle = row[6].cast<py::tuple>();
        result.constant = angle[0].cast<double>();
        result.terms = angle[1].cast<std::vector<std::pair<std::size_t, double>>>();
      }
      result.operand = row[7];
      for (const auto* wires : {&result.targets, &result.controls})
        for (const std::int32_t wire : *wires)
          if (wire < 0 || wire >= num_wires) throw py::value_error("stencil: wire out of range");
      for (const auto& term : result.terms)
        if (term.first >= num_params) throw py::value_error("stencil: parameter out of range");
      if (result.control_values.size() != result.controls.size() ||
          (!result.all_wires && result.tags.size() != result.targets.size()))
        throw py::value_error("stencil: one value per control, one tag per target");
      this->rows.push_back(std::move(result));
    }
  }

  int num_wires;  // -1: any number
  std::size_t num_params;
  std::vector<Row> rows;
};

// The entries of a tuple of small whole numbers; false for anything else.
bool read(PyObject* tuple, std::vector<std::int32_t>& numbers) {
  if (!PyTuple_Check(tuple)) return false;
  const Py_ssize_t size = PyTuple_GET_SIZE(tuple);
  numbers.resize(static_cast<std::size_t>(size));
  for (Py_ssize_t k = 0; k < size; ++k) {
    PyObject* const entry = PyTuple_GET_ITEM(tuple, k);
    if (!PyLong_CheckExact(entry)) return false;
    int overflow = 0;
    const long number = PyLong_AsLongAndOverflow(entry, &overflow);
    if (overflow != 0 || number < 0 || number > 0x7fffffff) return false;
    numbers[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(number);
  }
  return true;
}

// A number, or an angle affine in parameter slots (qsim_core.operations.Angle). They are combined as
// qsim_core.gates.spec.resolve does it, to the last bit.
struct Affine {
  double constant = 0;
  std::vector<std::pair<std::int64_t, double>> terms;  // slot, coefficient
  bool symbolic = false;

  Affine times(double factor) const {
    Affine result{constant * factor, terms, symbolic};
    if (symbolic) result.constant += 0.0;  // no minus zero
    for (auto& [slot, coefficient] : result.terms) coefficient *= factor;
    return result;
  }

  void add(const Affine& other) {
    if (!symbolic && constant == 0) {
      *this = other;
      return;
    }
    constant += other.constant;
    symbolic = symbolic || other.symbolic;
    for (const auto& [slot, coefficient] : other.terms) {
      auto same = terms.begin();
      while (same != terms.end() && same->first != slot) ++same;
      if (same == terms.end()) terms.emplace_back(slot, coefficient);
      else same->second += coefficient;
    }
  }
};

// As insert at the end; ranges of none to three are most.
template <class T>
void append(std::vector<T>& values, const std::vector<T>& more) {
  for (const T& value : more) values.push_back(value);
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

class Stamper {
 public:
  Stamper(const py::function& stencil_of, const py::function& angle_of, std::int64_t num_slots, int num_qubits,
          int num_clbits)
      : stencil_of_(stencil_of),
        angle_of_(angle_of),
        num_slots_(num_slots),
        num_qubits_(num_qubits),
        num_clbits_(num_clbits) {}

  // Room for as many calls as most gates need.
  void expect(std::size_t calls) {
    const std::size_t rows = 4 * calls;
    kind_.reserve(rows), num_targets_.reserve(rows), data_.reserve(rows), offset_.reserve(rows + 1);
    qubits_.reserve(rows), tags_.reserve(rows), angles_.reserve(rows);
  }

  // False for a call that is wrong or not plain; ProgramBuilder then does the whole circuit, or says what is wrong.
  bool call(PyObject* call) {
    if (!PyTuple_Check(call) || PyTuple_GET_SIZE(call) != 6) return false;
    const Stencil* stencil = stencil_of(PyTuple_GET_ITEM(call, 0));
    if (stencil == nullptr || !read(PyTuple_GET_ITEM(call, 1), wires_) || !read_params(PyTuple_GET_ITEM(call, 2)) ||
        !read(PyTuple_GET_ITEM(call, 3), controls_) || !read(PyTuple_GET_ITEM(call, 4), values_) ||
        !read(PyTuple_GET_ITEM(call, 5), clbits_))
      return false;
    if ((stencil->num_wires >= 0 && wires_.size() != static_cast<std::size_t>(stencil->num_wires)) ||
        params_.size() != stencil->num_params || controls_.size() != values_.size() || !wires_are_right())
      return false;
    for (const Row& row : stencil->rows)
      if (!stamp(row)) return false;
    return true;
  }

  py::tuple columns() const {
    return py::make_tuple(to_array(kind_), to_array(num_targets_), to_array(data_), to_array(offset_),
                          to_array(qubits_), to_array(tags_));
  }
  // As qsim_core.angles.AngleTable: constants, then row, slot and coefficient of every term.
  py::tuple angles() const {
    return py::make_tuple(to_array(angles_), to_array(rows_), to_array(slots_), to_array(coefficients_));
  }
  py::tuple operands() const { return py::tuple(operands_); }

 private:
  const Stencil* stencil_of(PyObject* key) {
    if (key == last_key_) return last_stencil_;
    auto found = stencils_.find(key);
    if (found == stencils_.end()) {
      const py::object stencil = stencil_of_(py::handle(key));
      keep_.append(stencil);
      found = stencils_.emplace(key, stencil.is_none() ? nullptr : stencil.cast<const Stencil*>()).first;
    }
    last_key_ = key;
    return last_stencil_ = found->second;
  }

  // Floats and what angle_of knows, or a range of slots.
  bool read_params(PyObject* params) {
    symbolic_ = true;
    if (Py_IS_TYPE(params, &PyRange_Type)) return read_slots(params);
    if (!PyTuple_Check(params)) return false;
    symbolic_ = false;
    const Py_ssize_t size = PyTuple_GET_SIZE(params);
    params_.resize(static_cast<std::size_t>(size));
    for (Py_ssize_t k = 0; k < size; ++k) {
      PyObject* const entry = PyTuple_GET_ITEM(params, k);
      Affine& param = params_[static_cast<std::size_t>(k)];
      if (PyFloat_CheckExact(entry)) {
        param.constant = PyFloat_AS_DOUBLE(entry);
        param.terms.clear();
        param.symbolic = false;
      } else if (const Affine* const known = affine_of(entry)) {
        param = *known;
        symbolic_ = true;
      } else {
        return false;
      }
    }
    return true;
  }

  bool read_slots(PyObject* range) {
    params_.resize(py::len(py::handle(range)));
    if (params_.empty()) return true;
    const auto first = py::handle(range).attr("start").cast<std::int64_t>();
    const auto step = py::handle(range).attr("step").cast<std::int64_t>();
    for (std::size_t k = 0; k < params_.size(); ++k) {
      const std::int64_t slot = first + static_cast<std::int64_t>(k) * step;
      if (slot < 0 || slot >= num_slots_) return false;
      params_[k].constant = 0;
      params_[k].terms.assign(1, {slot, 1.0});
      params_[k].symbolic = true;
    }
    return true;
  }

  const Affine* affine_of(PyObject* key) {
    const auto found = affines_.find(key);
    if (found != affines_.end()) return &found->second;
    const py::object angle = angle_of_(py::handle(key));
    if (angle.is_none()) return nullptr;
    const auto pair = angle.cast<py::tuple>();
    keep_.append(py::handle(key));
    Affine affine{pair[0].cast<double>(), pair[1].cast<std::vector<std::pair<std::int64_t, double>>>(), true};
    return &affines_.emplace(key, std::move(affine)).first->second;
  }

  bool wires_are_right() const {
    Bits seen = 0;
    for (const auto* wires : {&wires_, &controls_})
      for (const std::int32_t qubit : *wires) {
        if (qubit >= num_qubits_ || (seen >> qubit & 1) != 0) return false;
        seen |= bit(qubit);
      }
    for (const std::int32_t value : values_)
      if (value > 1) return false;
    return true;
  }

  bool stamp(const Row& row) {
    kind_.push_back(row.kind);
    if (row.all_wires) {
      const bool bits = row.kind == measure;
      if (bits && !clbits_are_right()) return false;
      qubits_.insert(qubits_.end(), wires_.begin(), wires_.end());
      if (bits) tags_.insert(tags_.end(), clbits_.begin(), clbits_.end());
      else tags_.resize(qubits_.size(), 0);
      num_targets_.push_back(static_cast<std::int32_t>(wires_.size()));
    } else {
      for (const std::int32_t wire : row.targets) qubits_.push_back(wires_[static_cast<std::size_t>(wire)]);
      append(tags_, row.tags);
      num_targets_.push_back(static_cast<std::int32_t>(row.targets.size()));
    }
    for (const std::int32_t wire : row.controls) qubits_.push_back(wires_[static_cast<std::size_t>(wire)]);
    append(tags_, row.control_values);
    if (!row.framed) {
      append(qubits_, controls_);
      append(tags_, values_);
    }
    offset_.push_back(static_cast<std::int64_t>(qubits_.size()));
    std::int32_t data = -1;
    if (row.has_angle) {
      data = static_cast<std::int32_t>(angles_.size());
      if (!(symbolic_ ? push(angle(row)) : push(number(row)))) return false;
    } else if (!row.operand.is_none()) {
      const auto [place, fresh] =
          operand_index_.emplace(row.operand.ptr(), static_cast<std::int32_t>(operands_.size()));
      if (fresh) operands_.append(row.operand);
      data = place->second;
    }
    data_.push_back(data);
    return true;
  }

  Affine angle(const Row& row) const {
    Affine total{row.constant, {}, false};
    for (const auto& [param, coefficient] : row.terms) {
      const Affine& value = params_[param];
      total.add(coefficient == 1 ? value : value.times(coefficient));
    }
    return total;
  }

  // The constant of angle(row), where no parameter has slots.
  double number(const Row& row) const {
    double total = row.constant;
    for (const auto& [param, coefficient] : row.terms) {
      const double value = coefficient == 1 ? params_[param].constant : params_[param].constant * coefficient;
      total = total == 0 ? value : total + value;
    }
    return total;
  }

  // False for what is not finite.
  bool push(double angle) {
    angles_.push_back(angle);
    return std::isfinite(angle);
  }
  bool push(const Affine& angle) {
    bool finite = std::isfinite(angle.constant);
    for (const auto& [slot, coefficient] : angle.terms) {
      rows_.push_back(static_cast<std::int64_t>(angles_.size()));
      slots_.push_back(slot);
      coefficients_.push_back(coefficient);
      finite = finite && std::isfinite(coefficient);
    }
    angles_.push_back(angle.constant);
    return finite;
  }

  bool clbits_are_right() const {
    if (clbits_.size() != wires_.size()) return false;
    for (std::size_t k = 0; k < clbits_.size(); ++k) {
      if (clbits_[k] >= num_clbits_) return false;
      for (std::size_t j = 0; j < k; ++j)
        if (clbits_[j] == clbits_[k]) return false;
    }
    return true;
  }

  const py::function& stencil_of_;
  const py::function& angle_of_;
  std::int64_t num_slots_;
  int num_qubits_, num_clbits_;
  std::unordered_map<PyObject*, const Stencil*> stencils_;
  std::unordered_map<PyObject*, Affine> affines_;
  PyObject* last_key_ = nullptr;
  const Stencil* last_stencil_ = nullptr;
  py::list keep_;  // stencils and the keys of angles are borrowed from here
  std::vector<std::int32_t> wires_, controls_, values_, clbits_;
  std::vector<Affine> params_;
  bool symbolic_ = false;  // of one of them, or more

  std::vector<std::uint8_t> kind_;
  std::vector<std::int32_t> num_targets_, data_, qubits_, tags_;
  std::vector<std::int64_t> offset_{0};
  std::vector<double> angles_, coefficients_;
  std::vector<std::int64_t> rows_, slots_;
  std::unordered_map<PyObject*, std::int32_t> operand_index_;
  py::list operands_;
};

py::object stamp(const py::list& calls, const py::function& stencil_of, const py::function& angle_of,
                 std::int64_t num_slots, int num_qubits, int num_clbits) {
  if (num_qubits < 0 || num_qubits > max_qubits) return py::none();
  Stamper stamper(stencil_of, angle_of, num_slots, num_qubits, num_clbits);
  stamper.expect(calls.size());
  for (std::size_t k = 0; k < calls.size(); ++k)  // stencil_of may run Python code, so the size is read every time
    if (!stamper.call(calls[k].ptr())) return py::none();
  return py::make_tuple(stamper.columns(), stamper.angles(), stamper.operands());
}

}  // namespace

void add_stencil(py::module_& module) {
  using py::arg;
  py::class_<Stencil>(module, "Stencil")
      .def(py::init<int, std::size_t, const py::sequence&>(), arg("num_wires"), arg("num_params"), arg("rows"));
  module.def("stamp", &stamp, arg("calls"), arg("stencil_of"), arg("angle_of"), arg("num_slots"), arg("num_qubits"),
             arg("num_clbits"), "Columns, angles and operands of many calls, or None; see qsim_core.stencil.");
}

}  // namespace qsim::bindings
