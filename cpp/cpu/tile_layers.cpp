#include "tile_layers.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr double root_half = 0.70710678118654752440;
constexpr Matrix hadamard{{root_half, 0}, {root_half, 0}, {root_half, 0}, {-root_half, 0}};
constexpr Matrix y_basis{{root_half, 0}, {0, root_half}, {0, root_half}, {root_half, 0}};  // Y = y_basis Z y_basis^-1
constexpr Matrix pauli_x{{0, 0}, {1, 0}, {1, 0}, {0, 0}};
constexpr double negligible = 1e-15;  // of a matrix element: rounding of the product of a few unitaries
constexpr int widest_diagonal = 4;
constexpr int widest_block = 6;
constexpr int widest_on_lanes = 2;  // blocks whose targets may be lanes
constexpr int least_reduced = 13;   // qubits of a state from which on reducing a matrix takes less than it saves

Complex complex_of(const std::complex<double>& value) {
  return {value.real(), value.imag()};
}

Matrix rotation_matrix(int letter, Complex half) {
  const double c = half.re, s = half.im;
  switch (letter) {
    case 1: return {{c, 0}, {0, -s}, {0, -s}, {c, 0}};
    case 2: return {{c, 0}, {-s, 0}, {s, 0}, {c, 0}};
    default: return {{c, -s}, {}, {}, {c, s}};
  }
}

bool is_diagonal(const Op& op, const std::complex<double>* matrix) {
  const Index rows = Index{1} << op.num_targets;
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < rows; ++c)
      if (r != c && matrix[r * rows + c] != 0.0) return false;
  return true;
}

// More than a diagonal and an X.
bool mixes(const Matrix& m) {
  return std::min(square(m.m00), square(m.m10)) > negligible * negligible;
}

// iSWAP, fSim, Givens rotations and their like.
bool conserves_excitations(const Complex* m) {
  for (int e : {1, 2, 3, 4, 7, 8, 11, 12, 13, 14})
    if (!(m[e] == Complex{})) return false;
  return true;
}

}  // namespace

Bits mixed_qubits(const Op& op, const Operand* operand) {
  const bool diagonal = op.kind == OpKind::phase || op.kind == OpKind::diagonal ||
                        (op.kind == OpKind::dense && is_diagonal(op, operand->numbers));
  Bits mixed = 0;
  for (int t = 0; t < op.num_targets && !diagonal; ++t)
    if (op.kind != OpKind::rotation || op.target_tags[t] != 3) mixed |= bit(op.targets[t]);
  return mixed;
}

bool is_sure(const Op& op) {
  switch (op.kind) {
    case OpKind::phase: return true;
    case OpKind::rotation: return op.num_targets <= 2 || op.num_controls == 0;
    case OpKind::diagonal:
    case OpKind::dense: return op.num_targets <= 2;
    default: return false;
  }
}

void Layers::clear(int tile_bits) {
  bits = tile_bits;
  num_layers = 0;
  linear.clear();
  edges.clear();
  couplings.clear();
  marks.clear();
  parity_marks.clear();
  moves.clear();
  rotations.clear();
  blocks.clear();
  matrices.clear();
  pairs.clear();
  probes.clear();
  parity_probes.clear();
  constant = {1, 0};
  phases.clear();
  parity_phases.clear();
  flips = 0;
}

bool Layers::idle() const {
  for (int p = 0; p < bits; ++p)
    if (source[static_cast<std::size_t>(p)] != p) return false;
  return num_layers == 0 && phases.empty() && parity_phases.empty() && flips == 0 && is_one(constant);
}

void Binder::restart(int num_qubits) {
  num_qubits_ = num_qubits;
  local_ = frame_ = waiting_ = 0;
  for (int q = 0; q < 64; ++q) slot_[static_cast<std::size_t>(q)] = q;
  for (Pending& pending : pending_) pending.kind = Pending::identity;
  held_.clear(), terms_.clear(), parities_.clear(), slot_probes_.clear(), parity_probes_.clear();
  carried_ = {1, 0};
}

Binder::Free Binder::after_block(int layer) {
  return {layer + 1, layer + 1, layer + 1, layer + 1, layer + 1};
}

void Binder::begin(Bits local, int lane_bits) {
  local_ = local;
  lane_bits_ = lane_bits;
  int position = 0;
  for (Bits rest = local; rest != 0; rest &= rest - 1, ++position) {
    const auto slot = static_cast<std::size_t>(lowest_bit(rest));
    position_[slot] = position;
    slot_at_[static_cast<std::size_t>(position)] = static_cast<int>(slot);
    free_[static_cast<std::size_t>(position)] = {};
  }
  layers.clear(position);
  has_diagonal_.clear();
  last_rotation_.fill(none);
  last_block_.fill(none);
  layers.constant = carried_;
}

int Binder::open_layer(int layer) {
  while (layers.num_layers <= layer) {
    layers.linear.emplace_back();
    layers.linear.back().fill({1, 0});
    has_diagonal_.push_back(false);
    ++layers.num_layers;
  }
  return layer;
}

Bits Binder::to_positions(Bits slots) const {
  Bits result = 0;
  for (; slots != 0; slots &= slots - 1) result |= bit(position_[static_cast<std::size_t>(lowest_bit(slots))]);
  return result;
}

void Binder::multiply(int slot, const Matrix& matrix, bool diagonal) {
  Pending& pending = pending_[static_cast<std::size_t>(slot)];
  if (pending.kind == Pending::identity) {
    pending.matrix = matrix;
    pending.kind = diagonal ? Pending::diagonal : Pending::general;
  } else if (!diagonal) {
    pending.matrix = matrix * pending.whole();
    pending.kind = Pending::general;
  } else if (pending.kind == Pending::rotated) {
    pending.euler.after0 = matrix.m00 * pending.euler.after0;
    pending.euler.after1 = matrix.m11 * pending.euler.after1;
  } else {
    Matrix& m = pending.matrix;
    m = {matrix.m00 * m.m00, matrix.m00 * m.m01, matrix.m11 * m.m10, matrix.m11 * m.m11};
  }
}

// A rotation about X (1), Y (2) or Z (3), e^(i angle / 2) being `half`.
void Binder::rotate(int slot, int letter, Complex half) {
  Pending& pending = pending_[static_cast<std::size_t>(slot)];
  if (letter == 3 || pending.kind > Pending::diagonal)
    return multiply(slot, rotation_matrix(letter, half), letter == 3);
  const bool is_x = letter == 1;  // about Y between two quarter turns about Z
  Euler& e = pending.euler;
  const Complex one{1, 0};
  const auto [before0, before1] =
      pending.kind == Pending::identity ? std::pair{one, one} : std::pair{pending.matrix.m00, pending.matrix.m11};
  e = {one, is_x ? Complex{0, -1} : one, half.re, half.im, before0, is_x ? Complex{0, 1} * before1 : before1};
  pending.kind = Pending::rotated;
}

void Binder::make_diagonal(int slot) {
  Pending& pending = pending_[static_cast<std::size_t>(slot)];
  if (pending.kind < Pending::rotated) return;
  Matrix& m = pending.matrix;
  const bool turns =
      pending.kind == Pending::rotated && std::min(std::abs(pending.euler.c), std::abs(pending.euler.s)) >= negligible;
  if (!turns) m = pending.whole();
  pending.kind = Pending::diagonal;
  if (!turns && square(m.m10) < negligible * negligible) {
    m = {m.m00, {}, {}, m.m11};
    resolve(slot);
    return;
  }
  if (!turns && square(m.m00) < negligible * negligible) {
    resolve(slot);
    frame_ ^= bit(slot);
    m = {m.m01, {}, {}, m.m10};
    return;
  }
  const Turn turn = turns ? turn_of(pending.euler) : turn_of(m);
  const Complex after = conj(turn.after0) * turn.after1;
  m = {{1, 0}, {}, {}, after};
  layers.constant = layers.constant * turn.after0;
  // A phase of rounding would keep others from moving past it.
  if (square(after - Complex{1, 0}) < negligible * negligible) pending.kind = Pending::identity;
  settle(bit(slot));
  const int position = position_[static_cast<std::size_t>(slot)];
  Free& free = free_[static_cast<std::size_t>(position)];
  const int layer = open_layer(free.rotation);
  Complex& linear = layers.linear[static_cast<std::size_t>(layer)][static_cast<std::size_t>(position)];
  const bool flipped = (frame_ >> slot & 1) != 0;
  if (flipped) {
    layers.constant = layers.constant * turn.before;
    linear = linear * inverse(turn.before);
  } else {
    linear = linear * turn.before;
  }
  const double tangent = flipped ? -turn.tangent : turn.tangent;
  last_rotation_[static_cast<std::size_t>(position)] = layers.rotations.size();
  last_block_[static_cast<std::size_t>(position)] = none;
  layers.rotations.push_back({layer, position, tangent, turn.scale});
  free = {layer + 1, layer + 1, std::max(free.block, layer), layer + 1, layer + 1};
  if (!slot_probes_.empty()) {
    turn_probes(slot, flipped ? inverse(turn.before) : turn.before, tangent);
    resolve(slot);
  }
  if (turn.flip) frame_ ^= bit(slot);
}

// The pending matrix of a slot becomes part of the layers.
void Binder::flush(int slot) {
  make_diagonal(slot);
  Pending& pending = pending_[static_cast<std::size_t>(slot)];
  if (pending.kind != Pending::diagonal) return;
  pending.kind = Pending::identity;
  Complex zero = pending.matrix.m00, one = pending.matrix.m11;
  if ((frame_ >> slot & 1) != 0) std::swap(zero, one);
  layers.constant = layers.constant * zero;
  const Complex ratio = one * inverse(zero);
  if (is_one(ratio)) return;
  if (is_one(-ratio) && (local_ >> slot & 1) != 0 && put_before(position_[static_cast<std::size_t>(slot)])) return;
  place(Term{bit(slot), bit(slot), ratio});
}

// What is pending becomes diagonal, and if it is a Z, nothing, where there is a diagonal for it.
void Binder::settle_sign(int slot) {
  make_diagonal(slot);
  Pending& pending = pending_[static_cast<std::size_t>(slot)];
  if (pending.kind != Pending::diagonal || !is_one(-(pending.matrix.m11 * inverse(pending.matrix.m00)))) return;
  const int position = position_[static_cast<std::size_t>(slot)];
  const std::size_t rotation = last_rotation_[static_cast<std::size_t>(position)];
  if (rotation == none) return;
  if (has_diagonal_[static_cast<std::size_t>(layers.rotations[rotation].layer)] && put_before(position)) {
    layers.constant = layers.constant * ((frame_ >> slot & 1) != 0 ? pending.matrix.m11 : pending.matrix.m00);
    pending.kind = Pending::identity;
  }
}

// Z goes before the last rotation, whose angle changes its sign, where only what Z commutes with came after it and the
// layer after it has no diagonal yet.
bool Binder::put_before(int position) {
  const std::size_t last = last_rotation_[static_cast<std::size_t>(position)];
  if (last == none || !layers.probes.empty()) return false;
  Rotation& rotation = layers.rotations[last];
  const int layer = rotation.layer, next = layer + 1;
  if (next < layers.num_layers && has_diagonal_[static_cast<std::size_t>(next)]) return false;
  rotation.tangent = -rotation.tangent;
  Complex& linear = layers.linear[static_cast<std::size_t>(layer)][static_cast<std::size_t>(position)];
  linear = -linear;
  has_diagonal_[static_cast<std::size_t>(layer)] = true;
  return true;
}

// The layer for something diagonal that comes after all there is on these positions.
int Binder::diagonal_layer(Bits positions) {
  int layer = 0;
  for (Bits rest = positions; rest != 0; rest &= rest - 1)
    layer = std::max(layer, free_[static_cast<std::size_t>(lowest_bit(rest))].diagonal);
  for (Bits rest = positions; rest != 0; rest &= rest - 1) {
    Free& free = free_[static_cast<std::size_t>(lowest_bit(rest))];
    free.rotation = std::max(free.rotation, layer);
    free.block = std::max(free.block, layer);
    free.start = std::max(free.start, layer + 1);
  }
  open_layer(layer);
  has_diagonal_[static_cast<std::size_t>(layer)] = true;
  return layer;
}

void Binder::settle(Bits slots) {
  if ((waiting_ & slots) == 0) return;
  waiting_ = 0;
  std::size_t kept = 0;
  for (const Term& term : terms_) {
    if ((term.mask & slots) != 0) {
      place(term);
    } else {
      terms_[kept++] = term;
      waiting_ |= term.mask;
    }
  }
  terms_.resize(kept);
  kept = 0;
  for (const ParityTerm& term : parities_) {
    if ((term.mask & slots) != 0) {
      place(term);
    } else {
      parities_[kept++] = term;
      waiting_ |= term.mask;
    }
  }
  parities_.resize(kept);
  kept = 0;
  for (const ParityProbe& probe : parity_probes_) {
    if ((probe.mask & slots) != 0) {
      place(probe);
    } else {
      parity_probes_[kept++] = probe;
      waiting_ |= probe.mask;
    }
  }
  parity_probes_.resize(kept);
}

void Binder::place(const Term& term) {
  const Bits outer = term.mask & ~local_, outer_value = term.value & outer;
  const Bits mask = to_positions(term.mask & local_), value = to_positions(term.value & local_);
  auto whole = [&](Complex factor) {
    if (outer == 0) layers.constant = layers.constant * factor;
    else layers.phases.push_back({outer, outer_value, factor});
  };
  if (mask == 0) return whole(term.factor);
  const int layer = diagonal_layer(mask);
  auto single = [&](int position, Complex factor) {
    Complex& linear = layers.linear[static_cast<std::size_t>(layer)][static_cast<std::size_t>(position)];
    if (outer == 0) linear = linear * factor;
    else layers.couplings.push_back({layer, position, outer, outer_value, factor});
  };
  const int first = lowest_bit(mask);
  const bool first_one = (value >> first & 1) != 0;
  if (is_single(mask)) {
    if (first_one) return single(first, term.factor);
    whole(term.factor);
    return single(first, inverse(term.factor));
  }
  if (is_single(mask & (mask - 1)) && outer == 0) {
    // x y, x (1 - y) = x - x y, (1 - x)(1 - y) = 1 - x - y + x y
    const int second = lowest_bit(mask & (mask - 1));
    const bool second_one = (value >> second & 1) != 0;
    const Complex inverted = inverse(term.factor);
    layers.edges.push_back({layer, first, second, first_one == second_one ? term.factor : inverted});
    if (!first_one && !second_one) whole(term.factor);
    if (!first_one) single(second, second_one ? term.factor : inverted);
    if (!second_one) single(first, first_one ? term.factor : inverted);
    return;
  }
  layers.marks.push_back({layer, mask, value, outer, outer_value, term.factor});
}

void Binder::place(const ParityTerm& term) {
  const Bits mask = to_positions(term.mask & local_);
  if (mask == 0) {
    layers.parity_phases.push_back(term);
    return;
  }
  const int layer = diagonal_layer(mask);
  layers.parity_marks.push_back({layer, mask, term.mask & ~local_, term.even, term.odd});
}

// A diagonal factor on qubits, after everything before.
void Binder::add_term(Bits qubits, Bits value, Complex factor) {
  if (is_one(factor)) return;
  Bits slots = 0, wanted = 0;
  for (Bits rest = qubits; rest != 0; rest &= rest - 1) {
    const int qubit = lowest_bit(rest);
    const int slot = slot_[static_cast<std::size_t>(qubit)];
    slots |= bit(slot);
    if ((value >> qubit & 1) != 0) wanted |= bit(slot);
  }
  if (slots == 0) {
    layers.constant = layers.constant * factor;
  } else if (is_single(slots)) {
    const Complex one{1, 0};
    multiply(lowest_bit(slots), wanted != 0 ? Matrix{one, {}, {}, factor} : Matrix{factor, {}, {}, one}, true);
  } else {
    for (Bits rest = slots; rest != 0; rest &= rest - 1) make_diagonal(lowest_bit(rest));
    terms_.push_back({slots, wanted ^ (frame_ & slots), factor});
    waiting_ |= slots;
  }
}

// C(U) = V C(diagonal) V^-1, or C(diagonal) C(X) where U exchanges |0> and |1>: X as a move or as it is, unless one of
// the two H around a C(Z) merges with what is pending. Under many controls X is cheap: only where that undoes it.
void Binder::controlled(const Matrix& matrix, int qubit, Bits control_mask, Bits control_value) {
  const int slot = slot_[static_cast<std::size_t>(qubit)];
  if (control_mask == 0) return multiply(slot, matrix, false);
  const bool single = is_single(control_mask), moves = single && can_move(lowest_bit(control_mask), qubit);
  if (square(matrix.m00) < negligible * negligible && (moves || !(single ? rotates(slot) : undone(slot)))) {
    if (moves) move(lowest_bit(control_mask), control_value != 0, qubit);
    else flip(qubit, control_mask, control_value);
    add_term(control_mask, control_value, matrix.m01);
    add_term(control_mask | bit(qubit), control_value | bit(qubit), matrix.m10 * inverse(matrix.m01));
    return;
  }
  const bool is_diagonal = square(matrix.m10) < negligible * negligible;
  Spectrum spectrum = is_diagonal ? Spectrum{Matrix{}, matrix.m00, matrix.m11} : spectrum_of(matrix);
  if (!is_diagonal) multiply(slot, adjoint(spectrum.basis), false);
  add_term(control_mask, control_value, spectrum.first);
  add_term(control_mask | bit(qubit), control_value | bit(qubit), spectrum.second * inverse(spectrum.first));
  if (!is_diagonal) multiply(slot, spectrum.basis, false);
}

void Binder::swap(int a, int b) {
  std::swap(slot_[static_cast<std::size_t>(a)], slot_[static_cast<std::size_t>(b)]);
}

// Whether what is pending needs a rotation; and whether an H makes it one that doesn't.
bool Binder::rotates(int slot) const {
  const Pending& pending = pending_[static_cast<std::size_t>(slot)];
  return pending.kind > Pending::diagonal && mixes(pending.whole());
}

bool Binder::undone(int slot) const {
  return rotates(slot) && !mixes(hadamard * pending_[static_cast<std::size_t>(slot)].whole());
}

// A CX is H CZ H or a move. Not a move where one of these H undoes what is pending.
bool Binder::can_move(int control, int target) const {
  const int c = slot_[static_cast<std::size_t>(control)], t = slot_[static_cast<std::size_t>(target)];
  for (int slot : {c, t})
    if ((local_ >> slot & 1) == 0 || position_[static_cast<std::size_t>(slot)] < lane_bits_) return false;
  return !undone(t);
}

// CX. What is pending on the target becomes a phase of the parity of both.
void Binder::move(int control, bool value, int target) {
  const int c = slot_[static_cast<std::size_t>(control)], t = slot_[static_cast<std::size_t>(target)];
  make_diagonal(c);
  settle_sign(t);
  if ((waiting_ & bit(t)) != 0) flush(t);  // what waits needs a diagonal of its own anyway
  settle(bit(t));
  const int from = position_[static_cast<std::size_t>(c)], to = position_[static_cast<std::size_t>(t)];
  Free& first = free_[static_cast<std::size_t>(from)];
  Free& second = free_[static_cast<std::size_t>(to)];
  const int layer = open_layer(std::max(first.control, second.start));
  for (Free* free : {&first, &second}) {
    free->rotation = std::max(free->rotation, layer);
    free->block = std::max(free->block, layer);
    free->control = std::max(free->control, layer);
    free->start = std::max(free->start, layer);
  }
  second.diagonal = std::max(second.diagonal, layer);
  last_rotation_[static_cast<std::size_t>(to)] = last_block_[static_cast<std::size_t>(to)] = none;
  layers.moves.push_back({layer, from, to});
  frame_ ^= (frame_ >> c & 1) << t;
  if (pending_[static_cast<std::size_t>(t)].kind == Pending::diagonal) {
    const Matrix& m = pending_[static_cast<std::size_t>(t)].matrix;
    const Complex ratio = m.m11 * inverse(m.m00);
    multiply(c, {{1, 0}, {}, {}, ratio}, true);
    const Bits both = bit(c) | bit(t);
    const Complex factor = inverse(ratio * ratio);
    if (!is_one(factor)) {
      terms_.push_back({both, both & ~frame_, factor});
      waiting_ |= both;
    }
  }
  if (!value) multiply(t, pauli_x, false);
}

// X where the controls hold, as it is: amplitudes change places.
void Binder::flip(int target, Bits control_mask, Bits control_value) {
  const int slot = slot_[static_cast<std::size_t>(target)];
  Dense block{};
  block.kind = Dense::flipped;
  block.num_targets = 1;
  block.targets[0] = position_[static_cast<std::size_t>(slot)];
  flush(slot);
  add_controls(block, control_mask, control_value);
  place(block, bit(slot), nullptr, 0);
}

// Physically exchange a lane position with a vector position, not before `layer`; qubits, frames, gates and what waits
// move along.
void Binder::exchange(int lane, int vector, int layer) {
  const int a = slot_at_[static_cast<std::size_t>(lane)], b = slot_at_[static_cast<std::size_t>(vector)];
  Free& first = free_[static_cast<std::size_t>(lane)];
  Free& second = free_[static_cast<std::size_t>(vector)];
  layer = open_layer(std::max({layer, first.block, second.block}));
  first = second = after_block(layer);
  last_rotation_[static_cast<std::size_t>(lane)] = last_rotation_[static_cast<std::size_t>(vector)] = none;
  std::swap(last_block_[static_cast<std::size_t>(lane)], last_block_[static_cast<std::size_t>(vector)]);
  Dense dense{};
  dense.kind = Dense::exchanged;
  dense.layer = layer;
  dense.targets[0] = lane;
  dense.targets[1] = vector;
  layers.blocks.push_back(dense);
  for (int q = 0; q < num_qubits_; ++q) {
    int& slot = slot_[static_cast<std::size_t>(q)];
    if (slot == a) slot = b;
    else if (slot == b) slot = a;
  }
  std::swap(pending_[static_cast<std::size_t>(a)], pending_[static_cast<std::size_t>(b)]);
  for (SlotProbe& probe : slot_probes_) probe.slot = probe.slot == a ? b : probe.slot == b ? a : probe.slot;
  auto swapped = [a, b](Bits slots) {
    const Bits differ = (slots >> a ^ slots >> b) & 1;
    return slots ^ (differ << a | differ << b);
  };
  frame_ = swapped(frame_);
  if (((waiting_ >> a | waiting_ >> b) & 1) == 0) return;
  waiting_ = swapped(waiting_);
  for (Term& term : terms_) term.mask = swapped(term.mask), term.value = swapped(term.value);
  for (ParityTerm& term : parities_) term.mask = swapped(term.mask);
  for (ParityProbe& probe : parity_probes_) probe.mask = swapped(probe.mask);
}

bool Binder::add(const Op& op, const Angle& angle, const Operand* operand) {
  if (op.kind == OpKind::rotation && op.num_targets == 1 && op.num_controls == 0 && held_.empty()) {  // what most are
    rotate(slot_[static_cast<std::size_t>(op.targets[0])], op.target_tags[0], angle.unit);
    return true;
  }
  Bits control_mask = 0, control_value = 0;
  for (int c = 0; c < op.num_controls; ++c) {
    control_mask |= bit(op.controls[c]);
    if (op.control_values[c] != 0) control_value |= bit(op.controls[c]);
  }
  if (hold(op, angle)) return true;
  switch (op.kind) {
    case OpKind::phase: add_term(control_mask, control_value, angle.unit); return true;
    case OpKind::rotation: return rotation(op, angle, control_mask, control_value);
    case OpKind::diagonal: return diagonal(op, operand->numbers, 1, control_mask, control_value);
    case OpKind::permutation: return permutation(op, *operand, control_mask, control_value);
    case OpKind::dense: return matrix(op, *operand, control_mask, control_value);
    default: return false;
  }
}

bool Binder::matrix(const Op& op, const Operand& operand, Bits control_mask, Bits control_value) {
  const std::complex<double>* m = operand.numbers;
  if (is_diagonal(op, m)) return diagonal(op, m, (Index{1} << op.num_targets) + 1, control_mask, control_value);
  if (op.num_targets == 1) {
    controlled({complex_of(m[0]), complex_of(m[1]), complex_of(m[2]), complex_of(m[3])}, op.targets[0], control_mask,
               control_value);
    return true;
  }
  if (op.num_targets > widest_block) return false;
  numbers_.resize(static_cast<std::size_t>(operand.size));
  std::transform(m, m + operand.size, numbers_.begin(), complex_of);
  return dense(op, numbers_.data(), control_mask, control_value);
}

// True when the operation now waits for its other half, or has been done together with it.
bool Binder::hold(const Op& op, const Angle& angle) {
  const bool half = op.kind == OpKind::rotation && op.num_targets == 2 && op.num_controls == 0 &&
                    op.target_tags[0] == op.target_tags[1] && op.target_tags[0] != 3;
  if (!half && held_.empty()) return false;
  Bits qubits = 0;
  for (int t = 0; t < op.num_targets; ++t) qubits |= bit(op.targets[t]);
  if (half) {
    for (std::size_t h = 0; h < held_.size(); ++h) {
      const Held& other = held_[h];
      if (other.qubits != qubits || other.op.target_tags[0] == op.target_tags[0] ||
          other.angle.radians != angle.radians)
        continue;
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(h));
      // exp(-i angle/2 (XX + YY)) is exp(-i angle X) on |01>, |10> and one elsewhere.
      const Complex whole = unit(angle.radians), c{whole.re, 0}, s{0, -whole.im}, one{1, 0};
      Complex matrix[16] = {one, {}, {}, {}, {}, c, s, {}, {}, s, c, {}, {}, {}, {}, one};
      return dense(op, matrix, 0, 0);
    }
    release(qubits);
    held_.push_back({op, angle, qubits});
    return true;
  }
  for (int c = 0; c < op.num_controls; ++c) qubits |= bit(op.controls[c]);
  release(qubits);
  return false;
}

void Binder::release(Bits qubits) {
  std::size_t kept = 0;
  for (std::size_t h = 0; h < held_.size(); ++h) {
    if ((held_[h].qubits & qubits) != 0) rotation(held_[h].op, held_[h].angle, 0, 0);
    else held_[kept++] = held_[h];
  }
  held_.resize(kept);
}

bool Binder::rotation(const Op& op, const Angle& angle, Bits control_mask, Bits control_value) {
  const int k = op.num_targets;
  if (k == 0) {
    add_term(control_mask, control_value, conj(angle.unit));
    return true;
  }
  if (k == 1 && control_mask == 0) {
    rotate(slot_[static_cast<std::size_t>(op.targets[0])], op.target_tags[0], angle.unit);
    return true;
  }
  if (k > 2 && control_mask != 0) return false;
  if (k == 2 && control_mask == 0 && joins_block(op, angle)) return true;
  change_basis(op, false);
  const Complex down = conj(angle.unit), up = unit(angle.radians);
  if (k <= 2) {
    add_term(control_mask, control_value, down);
    Bits both = 0;
    for (int t = 0; t < k; ++t) {
      const Bits target = bit(op.targets[t]);
      add_term(control_mask | target, control_value | target, up);
      both |= target;
    }
    if (k == 2) add_term(control_mask | both, control_value | both, unit(-2 * angle.radians));
  } else {
    Bits slots = 0;
    for (int t = 0; t < k; ++t) {
      const int slot = slot_[static_cast<std::size_t>(op.targets[t])];
      make_diagonal(slot);
      slots |= bit(slot);
    }
    const bool odd = odd_parity(frame_ & slots);
    parities_.push_back({slots, odd ? conj(down) : down, odd ? down : conj(down)});
    waiting_ |= slots;
  }
  change_basis(op, true);
  return true;
}

// ZZ after a matrix on the same two qubits multiplies its rows, where only what Z commutes with is between. A matrix
// that mixes two states, of one parity, gets its factor relative to that of the others.
bool Binder::joins_block(const Op& op, const Angle& angle) {
  Bits slots = 0;
  std::size_t last[2];
  for (std::size_t t = 0; t < 2; ++t) {
    const auto slot = static_cast<std::size_t>(slot_[static_cast<std::size_t>(op.targets[t])]);
    if (op.target_tags[t] != 3 || (local_ >> slot & 1) == 0 || pending_[slot].kind > Pending::diagonal) return false;
    last[t] = last_block_[static_cast<std::size_t>(position_[slot])];
    slots |= bit(static_cast<int>(slot));
  }
  if (last[0] != last[1] || last[0] == none) return false;
  const Dense& block = layers.blocks[last[0]];
  if (block.kind == Dense::reduced || block.num_targets != 2) return false;
  if ((block.control_mask | block.outer_mask) != 0) return false;
  const bool flipped = odd_parity(frame_ & slots);
  Complex* matrix = layers.matrices.data() + block.matrix;
  if (block.kind == Dense::pair) {
    const bool odd = odd_parity(block.rows[0]) != flipped;
    layers.constant = layers.constant * (odd ? conj(angle.unit) : angle.unit);
    const Complex factor = unit(odd ? angle.radians : -angle.radians);
    for (int e = 0; e < 4; ++e) matrix[e] = factor * matrix[e];
  } else {
    for (int e = 0; e < 16; ++e)
      matrix[e] = (odd_parity(static_cast<Bits>(e >> 2)) != flipped ? angle.unit : conj(angle.unit)) * matrix[e];
  }
  return true;
}

// The letters of a Pauli string become Z, and back.
void Binder::change_basis(const Op& op, bool back) {
  for (int t = 0; t < op.num_targets; ++t) {
    const int slot = slot_[static_cast<std::size_t>(op.targets[t])];
    if (op.target_tags[t] == 1) multiply(slot, hadamard, false);
    if (op.target_tags[t] == 2) multiply(slot, back ? y_basis : adjoint(y_basis), false);
  }
}

bool Binder::diagonal(const Op& op, const std::complex<double>* numbers, Index stride, Bits control_mask,
                      Bits control_value) {
  if (op.num_targets > widest_diagonal) return false;
  Complex values[1 << widest_diagonal];
  const int size = 1 << op.num_targets;
  for (int e = 0; e < size; ++e) values[e] = complex_of(numbers[e * stride]);
  for (int t = 0; t < op.num_targets; ++t)
    for (int e = 0; e < size; ++e)
      if ((e >> t & 1) != 0) values[e] = values[e] * inverse(values[e ^ 1 << t]);
  for (int e = 0; e < size; ++e) {
    Bits mask = 0;
    for (int t = 0; t < op.num_targets; ++t)
      if ((e >> t & 1) != 0) mask |= bit(op.targets[t]);
    add_term(control_mask | mask, control_value | mask, values[e]);
  }
  return true;
}

bool Binder::permutation(const Op& op, const Operand& operand, Bits control_mask, Bits control_value) {
  const std::int64_t* table = operand.table;
  const int k = op.num_targets;
  if (k == 0) return true;
  if (k > widest_block) return false;
  for (int e = 0; e < 1 << k;
       ++e)  // the reference of a table that isn't a permutation is an error of the sweep kernels
    if (table[e] < 0 || table[e] >= 1 << k) return false;
  if (k == 1) {
    if (table[0] == table[1]) return false;
    if (table[0] == 1) controlled(pauli_x, op.targets[0], control_mask, control_value);
    return true;
  }
  if (k == 2) {
    // Every permutation of two bits is affine: x -> A x + table[0].
    const std::int64_t a = table[1] ^ table[0], b = table[2] ^ table[0];
    if (a == 0 || b == 0 || a == b || table[3] != (a ^ b ^ table[0])) return false;
    const int q0 = op.targets[0], q1 = op.targets[1];
    auto cx = [&](int control, int target) {
      controlled(pauli_x, target, control_mask | bit(control), control_value | bit(control));
    };
    auto plain = [&](int control, int target) { controlled(pauli_x, target, bit(control), bit(control)); };
    const Bits lanes = bit(lane_bits_) - 1;
    const bool relabel =
        control_mask == 0 &&
        (layers.bits > lane_bits_ ||
         (to_positions(bit(slot_[static_cast<std::size_t>(q0)]) | bit(slot_[static_cast<std::size_t>(q1)])) & lanes) ==
             0);
    auto exchange_both = [&] {
      if (relabel) return swap(q0, q1);
      plain(q0, q1), cx(q1, q0), plain(q0, q1);
    };
    if (a == 2 && b == 1) exchange_both();
    else if (a == 3 && b == 2) cx(q0, q1);
    else if (a == 1 && b == 3) cx(q1, q0);
    else if (a == 3 && b == 1) exchange_both(), cx(q1, q0);
    else if (a == 2 && b == 3) exchange_both(), cx(q0, q1);
    if ((table[0] & 1) != 0) controlled(pauli_x, q0, control_mask, control_value);
    if ((table[0] & 2) != 0) controlled(pauli_x, q1, control_mask, control_value);
    return true;
  }
  numbers_.assign(std::size_t{1} << 2 * k, Complex{});
  Bits seen = 0;
  for (int e = 0; e < 1 << k; ++e) {
    seen |= bit(static_cast<int>(table[e]));
    numbers_[static_cast<std::size_t>((table[e] << k) + e)] = {1, 0};
  }
  if (count_bits(seen) != 1 << k) return false;
  return dense(op, numbers_.data(), control_mask, control_value);
}

// Lanes among the targets change places with vector positions that aren't.
void Binder::targets_to_vectors(const Op& op) {
  auto place_of = [&](int t) {
    return position_[static_cast<std::size_t>(slot_[static_cast<std::size_t>(op.targets[t])])];
  };
  Bits taken = 0;
  int layer = 0;  // the same for all of them: then they are one
  for (int t = 0; t < op.num_targets; ++t) {
    taken |= bit(place_of(t));
    layer = std::max(layer, free_[static_cast<std::size_t>(place_of(t))].block);
  }
  std::array<int, widest_block> partner{};
  for (int t = 0; t < op.num_targets; ++t) {
    if (place_of(t) >= lane_bits_) continue;
    int& vector = partner[static_cast<std::size_t>(t)] = lane_bits_;
    while ((taken >> vector & 1) != 0) ++vector;
    taken |= bit(vector);
    layer = std::max(layer, free_[static_cast<std::size_t>(vector)].block);
  }
  for (int t = 0; t < op.num_targets; ++t)
    if (place_of(t) < lane_bits_) exchange(place_of(t), partner[static_cast<std::size_t>(t)], layer);
}

void Binder::add_controls(Dense& block, Bits control_mask, Bits control_value) {
  for (Bits rest = control_mask; rest != 0; rest &= rest - 1) {
    const int slot = slot_[static_cast<std::size_t>(lowest_bit(rest))];
    make_diagonal(slot);
    const bool wanted = ((control_value >> lowest_bit(rest) ^ frame_ >> slot) & 1) != 0;
    const bool local = (local_ >> slot & 1) != 0;
    const Bits where = local ? bit(position_[static_cast<std::size_t>(slot)]) : bit(slot);
    (local ? block.control_mask : block.outer_mask) |= where;
    if (wanted) (local ? block.control_value : block.outer_value) |= where;
  }
}

// In the first layer where all its positions are free. Row and column indices of the matrix are XORed with `flips`.
void Binder::place(Dense block, Bits slots, const Complex* matrix, Bits flips) {
  settle(slots);
  const Bits positions = to_positions(slots);
  int layer = 0;
  for (Bits rest = positions | block.control_mask; rest != 0; rest &= rest - 1)
    layer = std::max(layer, free_[static_cast<std::size_t>(lowest_bit(rest))].block);
  open_layer(layer);
  for (Bits rest = positions; rest != 0; rest &= rest - 1) {
    free_[static_cast<std::size_t>(lowest_bit(rest))] = after_block(layer);
    last_rotation_[static_cast<std::size_t>(lowest_bit(rest))] = none;
    last_block_[static_cast<std::size_t>(lowest_bit(rest))] = layers.blocks.size();
  }
  for (Bits rest = block.control_mask; rest != 0; rest &= rest - 1) {  // diagonals and other controls don't mind
    Free& free = free_[static_cast<std::size_t>(lowest_bit(rest))];
    free.rotation = free.block = layer + 1;
    free.start = std::max(free.start, layer + 1);
  }
  block.layer = layer;
  if (block.kind == Dense::reduced) {
    layers.blocks.push_back(block);
    return;
  }
  block.matrix = layers.matrices.size();
  const int rows = block.kind == Dense::flipped ? 0 : block.kind == Dense::pair ? 2 : 1 << block.num_targets;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < rows; ++c)
      layers.matrices.push_back(matrix[(r ^ static_cast<int>(flips)) * rows + (c ^ static_cast<int>(flips))]);
  layers.blocks.push_back(block);
}

// |00> and |11> get a factor each, |01> and |10> mix: a diagonal, and a block on half of the amplitudes. Where they
// only change places (iSWAP, fSim at pi / 2): a diagonal and a relabelling. False where there is no room for the block.
bool Binder::conserving(const Op& op, Complex* matrix) {
  if (square(matrix[5]) < negligible * negligible) {
    const std::complex<double> factors[4] = {{matrix[0].re, matrix[0].im},
                                             {matrix[9].re, matrix[9].im},
                                             {matrix[6].re, matrix[6].im},
                                             {matrix[15].re, matrix[15].im}};
    diagonal(op, factors, 1, 0, 0);
    swap(op.targets[0], op.targets[1]);
    return true;
  }
  if (layers.bits - lane_bits_ < 2) return false;
  targets_to_vectors(op);
  Dense block{};
  block.kind = Dense::pair;
  block.num_targets = 2;
  Bits slots = 0, flipped = 0;
  Bits target[2];
  for (int t = 0; t < 2; ++t) {
    const int slot = slot_[static_cast<std::size_t>(op.targets[t])];
    make_diagonal(slot);
    slots |= bit(slot);
    const int position = position_[static_cast<std::size_t>(slot)];
    block.targets[static_cast<std::size_t>(t)] = position;
    target[t] = bit(position);
    if ((frame_ >> slot & 1) != 0) flipped |= target[t];
    // What is pending is diagonal and goes into the columns.
    Pending& pending = pending_[static_cast<std::size_t>(slot)];
    if (pending.kind == Pending::identity) continue;
    pending.kind = Pending::identity;
    for (int r = 0; r < 4; ++r)
      for (int c = 0; c < 4; ++c)
        matrix[4 * r + c] = matrix[4 * r + c] * ((c >> t & 1) != 0 ? pending.matrix.m11 : pending.matrix.m00);
  }
  // Seen through the frame other states mix, but still two of four.
  block.rows = {target[0] ^ flipped, target[1] ^ flipped};
  const Complex common = matrix[0], rest = inverse(common);
  const Complex mixing[4] = {rest * matrix[5], rest * matrix[6], rest * matrix[9], rest * matrix[10]};
  place(block, slots, mixing, 0);
  layers.constant = layers.constant * common;
  const Complex factor = rest * matrix[15];
  if (is_one(factor)) return true;
  terms_.push_back({slots, slots & ~frame_, factor});
  waiting_ |= slots;
  return true;
}

bool Binder::dense(const Op& op, Complex* matrix, Bits control_mask, Bits control_value) {
  const int k = op.num_targets, rows = 1 << k;
  if (k > widest_on_lanes && layers.bits - lane_bits_ < k) return false;
  if (k == 2 && control_mask == 0 && conserves_excitations(matrix) && conserving(op, matrix)) return true;
  if (k > widest_on_lanes) targets_to_vectors(op);
  Dense block{};
  block.num_targets = k;
  Bits slots = 0, flips = 0;
  for (int t = 0; t < k; ++t) {
    const int slot = slot_[static_cast<std::size_t>(op.targets[t])];
    slots |= bit(slot);
    block.targets[static_cast<std::size_t>(t)] = position_[static_cast<std::size_t>(slot)];
    if (control_mask != 0) {
      flush(slot);
      if ((frame_ >> slot & 1) != 0) flips |= bit(t);
      continue;
    }
    resolve(slot);
    // Without controls the matrix takes in what is pending: matrix . (matrix of this target)
    Pending& pending = pending_[static_cast<std::size_t>(slot)];
    Matrix m = pending.whole();
    pending.kind = Pending::identity;
    if ((frame_ >> slot & 1) != 0) m = {m.m01, m.m00, m.m11, m.m10};
    frame_ &= ~bit(slot);
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < rows; ++c) {
        if ((c >> t & 1) != 0) continue;
        Complex& zero = matrix[r * rows + c];
        Complex& one = matrix[r * rows + (c | 1 << t)];
        const Complex old = zero;
        zero = old * m.m00 + one * m.m10;
        one = old * m.m01 + one * m.m11;
      }
  }
  if (k == 2 && control_mask == 0 && num_qubits_ >= least_reduced) {
    // Rotations between vectors take no shuffles.
    Pair pair;
    if (pair_of(matrix, block.targets[0] < lane_bits_ && block.targets[1] >= lane_bits_ ? 1 : 0, pair)) {
      block.kind = Dense::reduced;
      block.matrix = layers.pairs.size();
      layers.pairs.push_back(pair);
      place(block, slots, nullptr, 0);
      for (int t = 0; t < 2; ++t) multiply(slot_[static_cast<std::size_t>(op.targets[t])], pair.after[t], false);
      return true;
    }
  }
  add_controls(block, control_mask, control_value);
  place(block, slots, matrix, flips);
  return true;
}

void Binder::finish(bool last, Bits keeping) {
  release(~Bits{0});
  // Lane positions must hold their own qubits again, all at once where they can; vector positions are put right by the
  // scatter.
  const int end = std::max(0, layers.num_layers - 1);
  for (int lane = 0; lane < std::min(lane_bits_, layers.bits); ++lane) {
    const int qubit = slot_at_[static_cast<std::size_t>(lane)];
    const int at = position_[static_cast<std::size_t>(slot_[static_cast<std::size_t>(qubit)])];
    if (at == lane) continue;
    int vector = at;
    if (at < lane_bits_) {
      vector = lane_bits_;
      exchange(at, vector, end);
    }
    exchange(lane, vector, end);
  }
  std::array<int, 64> home{};  // the place of each slot's content after the scatter
  for (int q = 0; q < 64; ++q) home[static_cast<std::size_t>(q)] = q;
  for (Bits rest = local_; rest != 0; rest &= rest - 1) {
    const int qubit = lowest_bit(rest);
    home[static_cast<std::size_t>(slot_[static_cast<std::size_t>(qubit)])] = qubit;
  }
  for (Bits rest = local_; rest != 0; rest &= rest - 1) {
    const int slot = lowest_bit(rest);
    if (last) flush(slot);
    else if ((keeping >> home[static_cast<std::size_t>(slot)] & 1) == 0) settle_sign(slot);
  }
  if (last) {
    for (Bits rest = ~local_ & (num_qubits_ == 64 ? ~Bits{0} : bit(num_qubits_) - 1); rest != 0; rest &= rest - 1)
      flush(lowest_bit(rest));
    settle(~Bits{0});
  }
  layers.flips = to_positions(frame_);
  for (int p = 0; p < layers.bits; ++p) {
    const int qubit = slot_at_[static_cast<std::size_t>(p)];
    layers.source[static_cast<std::size_t>(p)] =
        position_[static_cast<std::size_t>(slot_[static_cast<std::size_t>(qubit)])];
  }
  // From slots to qubits: the frame and the places become real.
  auto moved = [&](Bits slots) {
    Bits result = 0;
    for (; slots != 0; slots &= slots - 1) result |= bit(home[static_cast<std::size_t>(lowest_bit(slots))]);
    return result;
  };
  waiting_ = 0;
  for (Term& term : terms_) {
    term = {moved(term.mask), moved(term.value ^ (frame_ & term.mask)), term.factor};
    waiting_ |= term.mask;
  }
  for (ParityTerm& term : parities_) {
    if (odd_parity(frame_ & term.mask)) std::swap(term.even, term.odd);
    term.mask = moved(term.mask);
    waiting_ |= term.mask;
  }
  carry_probes(home);
  for (std::size_t s = 0; s < 64; ++s)
    for (auto to = static_cast<std::size_t>(home[s]); to != s; to = static_cast<std::size_t>(home[s])) {
      std::swap(pending_[s], pending_[to]);
      std::swap(home[s], home[to]);
    }
  frame_ = 0;
  carried_ = {1, 0};
  if (!last) std::swap(carried_, layers.constant);
  for (int q = 0; q < 64; ++q) slot_[static_cast<std::size_t>(q)] = q;
}

}  // namespace qsim::cpu::tile
