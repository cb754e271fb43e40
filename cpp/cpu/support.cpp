#include "support.hpp"

#include <algorithm>
#include <cmath>

#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double rounding = 1e-15;  // of an angle or a matrix element: amplitudes as small are rounding anyway
constexpr double most_turns = 1e3;  // beyond, what rounding of the angle allows would be more than rounding
constexpr int widest_diagonal = 4;

// k where the angle is k pi / 2, -1 elsewhere.
int turns_of(double angle) {
  const double turns = angle / (pi / 2), whole = std::nearbyint(turns);
  if (!(std::abs(turns - whole) <= rounding * (1 + std::abs(whole))) || std::abs(whole) > most_turns) return -1;
  return static_cast<int>(whole) & 3;
}

}  // namespace

Support::Support(int num_qubits) {
  for (int q = 0; q < num_qubits; ++q) group_.push_back({0, bit(q), false});
}

bool Support::commute(const Pauli& a, const Pauli& b) {
  return odd_parity(a.x & b.z) == odd_parity(a.z & b.x);
}

// i^phase . a . b, which must come out without an i.
Support::Pauli Support::product(const Pauli& a, const Pauli& b, int phase) {
  const Pauli result{a.x ^ b.x, a.z ^ b.z, false};
  const int power = phase + count_bits(a.x & a.z) + count_bits(b.x & b.z) + 2 * count_bits(a.z & b.x) -
                    count_bits(result.x & result.z);
  return {result.x, result.z, ((power & 2) != 0) != (a.negative != b.negative)};
}

// Reduced echelon form: strings with X first, then those of Z alone, the bits of `last` their last columns.
void Support::eliminate(Bits last) {
  std::size_t done = 0;
  auto columns = [&](Bits bits, bool x) {
    for (; bits != 0; bits &= bits - 1) {
      const Bits column = bits & (~bits + 1);
      auto has = [&](const Pauli& g) { return ((x ? g.x : g.z) & column) != 0; };
      const auto found = std::find_if(group_.begin() + static_cast<std::ptrdiff_t>(done), group_.end(), has);
      if (found == group_.end()) continue;
      std::swap(*found, group_[done]);
      for (std::size_t k = 0; k < group_.size(); ++k)
        if (k != done && has(group_[k])) group_[k] = product(group_[done], group_[k], 0);
      ++done;
    }
  };
  columns(~Bits{0}, true);
  columns(~last, false);
  columns(last, false);
}

std::vector<Support::Parity> Support::parities(Bits qubits) {
  eliminate(qubits);
  std::vector<Parity> result;
  for (const Pauli& g : group_) {
    if (g.x != 0 || (g.z & ~qubits) != 0) continue;
    const Bits pivot = g.z & (~g.z + 1);
    result.push_back({g.z ^ pivot, pivot, g.negative});
  }
  reduced_ = false;  // for another order of columns
  return result;
}

// 0 or 1 where the qubit is certainly in that state, -1 elsewhere.
int Support::known(int qubit) {
  for (const Pauli& g : group_)
    if ((g.x >> qubit & 1) != 0) return -1;
  for (int attempt = 0;; ++attempt) {
    for (const Pauli& g : group_)
      if (g.x == 0 && g.z == bit(qubit)) return g.negative ? 1 : 0;
    if (reduced_ || attempt > 0) return -1;
    eliminate(~Bits{0});
    reduced_ = true;
  }
}

// Controls that may be either way; false when one is certainly off.
bool Support::controls(const Op& op, std::vector<Factor>& factors) {
  for (int c = 0; c < op.num_controls; ++c) {
    const int value = known(op.controls[c]);
    const bool wanted = op.control_values[c] != 0;
    if (value >= 0 && (value != 0) != wanted) return false;
    if (value < 0) factors.push_back({0, bit(op.controls[c]), !wanted});
  }
  return true;
}

// exp(-i k pi/4 P)
void Support::rotate(const Pauli& pauli, int quarter_turns) {
  if (quarter_turns == 0) return;
  for (Pauli& g : group_) {
    if (commute(g, pauli)) continue;
    if (quarter_turns == 2) g.negative = !g.negative;
    else g = product(pauli, g, quarter_turns == 1 ? 3 : 1);
    reduced_ = false;
  }
}

// Keep what commutes with the string.
void Support::forget(const Pauli& pauli) {
  const auto pivot = std::find_if(group_.begin(), group_.end(), [&](const Pauli& g) { return !commute(g, pauli); });
  if (pivot == group_.end()) return;
  for (auto g = pivot + 1; g != group_.end(); ++g)
    if (!commute(*g, pauli)) *g = product(*pivot, *g, 0);
  group_.erase(pivot);
  reduced_ = false;
}

// After an operation that could do anything to its targets.
void Support::forget_qubits(const Op& op, const std::vector<Factor>& factors) {
  for (const Factor& factor : factors) forget({factor.x, factor.z, false});
  for (int t = 0; t < op.num_targets; ++t) {
    forget({bit(op.targets[t]), 0, false});
    forget({0, bit(op.targets[t]), false});
  }
}

// exp(-i angle/2 P)
void Support::turn(const Pauli& pauli, double angle) {
  const int turns = turns_of(angle);
  if (turns >= 0) rotate(pauli, turns);
  else forget(pauli);
}

// exp(i angle Q), Q the product of the factors, which commute. Multiplied out: a rotation about each product of their
// strings.
void Support::project(const std::vector<Factor>& factors, double angle) {
  const std::size_t size = factors.size();
  if (size == 0) return;
  if (turns_of(angle) == 0) return;
  const double each = std::ldexp(angle, 1 - static_cast<int>(std::min<std::size_t>(size, 8)));
  const int turns = turns_of(each);
  if (turns < 0 || size > 8) {
    for (const Factor& factor : factors) forget({factor.x, factor.z, false});
    return;
  }
  for (std::size_t subset = 1; subset < std::size_t{1} << size; ++subset) {
    Pauli string{0, 0, false};
    for (std::size_t k = 0; k < size; ++k)
      if ((subset >> k & 1) != 0) string = product(string, {factors[k].x, factors[k].z, factors[k].negative}, 0);
    rotate(string, odd_parity(subset) ? turns : (4 - turns) & 3);
  }
}

void Support::flip(int target, std::vector<Factor> factors) {
  factors.push_back({bit(target), 0, false});
  project(factors, pi);
}

void Support::diagonal(const Op& op, const std::complex<double>* numbers, Index stride,
                       const std::vector<Factor>& factors) {
  if (op.num_targets > widest_diagonal) {
    for (const Factor& factor : factors) forget({factor.x, factor.z, false});
    for (int t = 0; t < op.num_targets; ++t) forget({0, bit(op.targets[t]), false});
    return;
  }
  double angle[1 << widest_diagonal];
  const int size = 1 << op.num_targets;
  for (int e = 0; e < size; ++e) angle[e] = std::arg(numbers[e * stride]);
  for (int t = 0; t < op.num_targets; ++t)
    for (int e = 0; e < size; ++e)
      if ((e >> t & 1) != 0) angle[e] -= angle[e ^ 1 << t];
  for (int e = 0; e < size; ++e) {
    std::vector<Factor> all = factors;
    for (int t = 0; t < op.num_targets; ++t)
      if ((e >> t & 1) != 0) all.push_back({0, bit(op.targets[t]), false});
    project(all, angle[e]);
  }
}

// A matrix on one qubit, by what it makes of X, Y and Z.
void Support::dense(int target, const std::complex<double>* m) {
  using C = std::complex<double>;
  const C i{0, 1};
  struct Image {
    bool known, x, z, negative;
  };
  auto image = [&](C p00, C p01, C p10, C p11) -> Image {
    // m p m^+
    const C a = m[0] * p00 + m[1] * p10, b = m[0] * p01 + m[1] * p11;
    const C c = m[2] * p00 + m[3] * p10, d = m[2] * p01 + m[3] * p11;
    const C r00 = a * std::conj(m[0]) + b * std::conj(m[1]), r01 = a * std::conj(m[2]) + b * std::conj(m[3]);
    const C r11 = c * std::conj(m[2]) + d * std::conj(m[3]);
    const double x = r01.real(), y = -r01.imag(), z = (r00.real() - r11.real()) / 2;
    auto one = [](double v, double u, double w) {
      return std::abs(std::abs(v) - 1) < 4 * rounding && std::abs(u) < 4 * rounding && std::abs(w) < 4 * rounding;
    };
    if (one(x, y, z)) return {true, true, false, x < 0};
    if (one(y, x, z)) return {true, true, true, y < 0};
    if (one(z, x, y)) return {true, false, true, z < 0};
    return {false, false, false, false};
  };
  const Image images[4] = {{}, image(0, 1, 1, 0), image(1, 0, 0, -1), image(0, -i, i, 0)};  // of -, X, Z, Y
  const Bits place = bit(target);
  const int num_known = (images[1].known ? 1 : 0) + (images[2].known ? 1 : 0) + (images[3].known ? 1 : 0);
  for (int letter = 1; letter < 4 && num_known < 3; ++letter) {
    if (num_known > 0 && !images[letter].known) continue;
    forget({(letter & 1) != 0 ? place : 0, (letter & 2) != 0 ? place : 0, false});
  }
  for (Pauli& g : group_) {
    const int letter = ((g.x & place) != 0 ? 1 : 0) | ((g.z & place) != 0 ? 2 : 0);
    if (letter == 0) continue;
    const Image& to = images[letter];
    g = {(g.x & ~place) | (to.x ? place : 0), (g.z & ~place) | (to.z ? place : 0), g.negative != to.negative};
    reduced_ = false;
  }
}

// e^(i a) X or e^(i a) Y under controls: a phase of the controls, and of them and the Pauli matrix.
bool Support::controlled_pauli(int target, const std::complex<double>* m, std::vector<Factor> factors) {
  if (m[0] != 0.0 || m[3] != 0.0) return false;
  const double up = std::arg(m[1]), down = std::arg(m[2]);
  const int letter = turns_of((down - up) / 2);  // X, Y, -X, -Y
  if (letter < 0) return false;
  project(factors, (up + down) / 2);
  factors.push_back({bit(target), (letter & 1) != 0 ? bit(target) : 0, letter > 1});
  project(factors, pi);
  return true;
}

void Support::permutation(const Op& op, const std::int64_t* table, const std::vector<Factor>& factors) {
  const int k = op.num_targets;
  if (k == 1 && table[0] == 1) return flip(op.targets[0], factors);
  if (k == 1) return;
  Bits from = 0;
  bool classical = factors.empty();
  for (int t = 0; t < k && classical; ++t) {
    const int value = known(op.targets[t]);
    classical = value >= 0;
    if (value > 0) from |= bit(t);
  }
  if (classical) {
    const Bits change = from ^ static_cast<Bits>(table[from]);
    for (int t = 0; t < k; ++t)
      if ((change >> t & 1) != 0) flip(op.targets[t], {});
    return;
  }
  if (k == 2 && factors.empty() && table[0] == 0 && table[1] == 2 && table[2] == 1) {
    const Bits a = bit(op.targets[0]), b = bit(op.targets[1]);
    auto swapped = [&](Bits bits) { return (bits & ~(a | b)) | ((bits & a) != 0 ? b : 0) | ((bits & b) != 0 ? a : 0); };
    for (Pauli& g : group_) g = {swapped(g.x), swapped(g.z), g.negative};
    reduced_ = false;
    return;
  }
  forget_qubits(op, factors);
}

void Support::apply(const Op& op, double angle, const Operand* operand) {
  if (group_.empty()) return;
  std::vector<Factor> factors;
  if (!controls(op, factors)) return;
  switch (op.kind) {
    case OpKind::phase: return project(factors, angle);
    case OpKind::rotation: {
      Pauli string{0, 0, false};
      for (int t = 0; t < op.num_targets; ++t) {
        if (op.target_tags[t] != 3) string.x |= bit(op.targets[t]);
        if (op.target_tags[t] != 1) string.z |= bit(op.targets[t]);
      }
      if (factors.empty()) return turn(string, angle);
      for (const Factor& factor : factors) forget({factor.x, factor.z, false});
      return forget(string);
    }
    case OpKind::diagonal: return diagonal(op, operand->numbers, 1, factors);
    case OpKind::permutation: return permutation(op, operand->table, factors);
    case OpKind::dense: {
      const Index rows = Index{1} << op.num_targets;
      bool is_diagonal = true;
      for (Index r = 0; r < rows && is_diagonal; ++r)
        for (Index c = 0; c < rows; ++c) is_diagonal = is_diagonal && (r == c || operand->numbers[r * rows + c] == 0.0);
      if (is_diagonal) return diagonal(op, operand->numbers, rows + 1, factors);
      if (op.num_targets == 1 && factors.empty()) return dense(op.targets[0], operand->numbers);
      if (op.num_targets == 1 && controlled_pauli(op.targets[0], operand->numbers, factors)) return;
      return forget_qubits(op, factors);
    }
    default: return forget_qubits(op, factors);
  }
}

void Support::undo(const Op& op, double angle, const Operand* operand) {
  if (operand == nullptr) return apply(op, -angle, nullptr);
  std::vector<std::complex<double>> numbers(operand->numbers,
                                            operand->numbers + (operand->numbers ? operand->size : 0));
  std::vector<std::int64_t> table(static_cast<std::size_t>(operand->table ? operand->size : 0));
  for (std::complex<double>& number : numbers) number = std::conj(number);
  const std::size_t rows = std::size_t{1} << op.num_targets;
  for (std::size_t r = 0; op.kind == OpKind::dense && r < rows; ++r)
    for (std::size_t c = 0; c < r; ++c) std::swap(numbers[r * rows + c], numbers[c * rows + r]);
  for (std::size_t e = 0; e < table.size(); ++e)
    table[static_cast<std::size_t>(operand->table[e])] = static_cast<std::int64_t>(e);
  const Operand inverse{numbers.data(), table.data(), operand->size};
  apply(op, 0, &inverse);
}

}  // namespace qsim::cpu
