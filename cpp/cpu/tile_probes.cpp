// Slopes in the normal form of tile_layers.hpp: where in the layers Im<bra|P|ket> is to be read, and of which P.
#include <algorithm>
#include <cmath>

#include "qsim/bits.hpp"
#include "tile_layers.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr int most_controls = 6;      // a projector on them is a sum of 2^6 parities
constexpr double negligible = 1e-15;  // of a unit vector: what rounding leaves

constexpr Matrix letters[4] = {
    {{1, 0}, {}, {}, {1, 0}}, {{}, {1, 0}, {1, 0}, {}}, {{}, {0, -1}, {0, 1}, {}}, {{1, 0}, {}, {}, {-1, 0}}};

}  // namespace

bool can_probe(const Op& op) {
  return op.num_controls <= most_controls && (op.num_controls == 0 || op.num_targets <= 2);
}

void Binder::probe(const Op& op, Index output) {
  Bits qubits = 0, control_mask = 0, control_value = 0;
  for (int t = 0; t < op.num_targets; ++t) qubits |= bit(op.targets[t]);
  for (int c = 0; c < op.num_controls; ++c) {
    control_mask |= bit(op.controls[c]);
    if (op.control_values[c] != 0) control_value |= bit(op.controls[c]);
  }
  release(qubits | control_mask);
  if (op.kind == OpKind::phase) return probe_parity(0, control_mask, control_value, -2, output);
  if (op.num_targets == 1 && control_mask == 0) {
    // Seen below what is pending, P is M^-1 P M.
    const int slot = slot_[static_cast<std::size_t>(op.targets[0])];
    const Matrix m = pending_[static_cast<std::size_t>(slot)].whole();
    const Matrix p = adjoint(m) * (letters[op.target_tags[0]] * m);
    const double flip = (frame_ >> slot & 1) != 0 ? -1 : 1;
    const SlotProbe seen{slot, p.m01.re, -flip * p.m01.im, 0, output};
    if (std::abs(seen.x) + std::abs(seen.y) > negligible) slot_probes_.push_back(seen);
    probe_z(bit(slot), flip * p.m00.re, output);
    return;
  }
  change_basis(op, false);
  probe_parity(qubits, control_mask, control_value, 1, output);
  change_basis(op, true);
}

// Z on the targets where the controls hold: the projector on a control value v is (1 + (-1)^v Z) / 2.
void Binder::probe_parity(Bits targets, Bits control_mask, Bits control_value, double weight, Index output) {
  for (Bits rest = targets | control_mask; rest != 0; rest &= rest - 1)
    make_diagonal(slot_[static_cast<std::size_t>(lowest_bit(rest))]);
  const double share = weight / static_cast<double>(Index{1} << count_bits(control_mask));
  for (Bits subset = control_mask;; subset = (subset - 1) & control_mask) {
    Bits slots = 0;
    for (Bits rest = targets | subset; rest != 0; rest &= rest - 1)
      slots |= bit(slot_[static_cast<std::size_t>(lowest_bit(rest))]);
    const bool odd = odd_parity(subset & control_value) != odd_parity(slots & frame_);
    probe_z(slots, odd ? -share : share, output);
    if (subset == 0) return;
  }
}

// Z on slots, as it is after all that the layers and the terms do.
void Binder::probe_z(Bits slots, double weight, Index output) {
  if (std::abs(weight) < negligible) return;
  const ParityProbe probe{0, slots, 0, weight, output};
  if (slots == 0) return place(probe);
  parity_probes_.push_back(probe);
  waiting_ |= slots;
}

void Binder::place(const ParityProbe& probe) {
  const Bits mask = to_positions(probe.mask & local_);
  const int layer = diagonal_layer(mask);
  layers.parity_probes.push_back({layer, mask, probe.mask & ~local_, probe.weight, probe.output});
}

// Probes of a slot seen after diag(1, before) and the rotation of this tangent, exp(-i phi Y) with tan(phi) = tangent.
void Binder::turn_probes(int slot, Complex before, double tangent) {
  const double norm = 1 + tangent * tangent, c = (1 - tangent * tangent) / norm, s = 2 * tangent / norm;
  for (SlotProbe& probe : slot_probes_) {
    if (probe.slot != slot) continue;
    const double x = before.re * probe.x - before.im * probe.y;
    probe.y = before.im * probe.x + before.re * probe.y;
    probe.x = c * x + s * probe.z;
    probe.z = c * probe.z - s * x;
  }
}

// Read the probes of a slot here: after all that the layers have for it.
void Binder::resolve(int slot) {
  auto concerns = [slot](const SlotProbe& probe) { return probe.slot == slot; };
  if (std::none_of(slot_probes_.begin(), slot_probes_.end(), concerns)) return;
  settle(bit(slot));
  const int position = position_[static_cast<std::size_t>(slot)];
  Free& free = free_[static_cast<std::size_t>(position)];
  const int layer = open_layer(free.block);
  free = {layer + 1, layer + 1, layer, layer + 1, layer + 1};
  for (const SlotProbe& probe : slot_probes_) {
    if (!concerns(probe)) continue;
    layers.probes.push_back({layer, position, probe.x, probe.y, probe.output});
    probe_z(bit(slot), probe.z, probe.output);
  }
  slot_probes_.erase(std::remove_if(slot_probes_.begin(), slot_probes_.end(), concerns), slot_probes_.end());
}

// What waits for the next pass, when slots become qubits again and the frame becomes real.
void Binder::carry_probes(const std::array<int, 64>& home) {
  for (SlotProbe& probe : slot_probes_) {
    if ((frame_ >> probe.slot & 1) != 0) probe.y = -probe.y, probe.z = -probe.z;
    probe.slot = home[static_cast<std::size_t>(probe.slot)];
  }
  for (ParityProbe& probe : parity_probes_) {
    if (odd_parity(frame_ & probe.mask)) probe.weight = -probe.weight;
    Bits moved = 0;
    for (Bits rest = probe.mask; rest != 0; rest &= rest - 1)
      moved |= bit(home[static_cast<std::size_t>(lowest_bit(rest))]);
    probe.mask = moved;
    waiting_ |= moved;
  }
}

}  // namespace qsim::cpu::tile
