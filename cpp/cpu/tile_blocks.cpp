// Dense matrices of a layer, as the kernels take them.
#include "qsim/bits.hpp"
#include "tile_program.hpp"

namespace qsim::cpu::tile {

template <class T>
void Program<T>::add_block(const Dense& dense, const Complex* matrix) {
  Bits fixed = dense.control_mask >> lane_bits_;
  Block<T> block{};
  block.num_rows = 1;
  Bits* rows = arena_.get<Bits>(std::size_t{1} << dense.num_targets);
  rows[0] = 0;
  for (int t = 0; t < dense.num_targets; ++t) {
    const int position = dense.targets[static_cast<std::size_t>(t)];
    if (position < lane_bits_) continue;
    const Bits target = bit(position - lane_bits_);
    fixed |= target;
    if (dense.kind != Dense::full) continue;
    for (int r = 0; r < block.num_rows; ++r) rows[r + block.num_rows] = rows[r] ^ place_of(target);
    block.num_rows *= 2;
  }
  if (dense.kind == Dense::pair) {
    for (std::size_t r = 0; r < 2; ++r) rows[r] = place_of(dense.rows[r] >> lane_bits_);
    block.num_rows = 2;
  }
  block.rows = rows;
  block.items = (Index{1} << (bits_ - lane_bits_)) >> count_bits(fixed);
  block.course = course(fixed, dense.control_value >> lane_bits_);
  if (block.num_rows < 1 << dense.num_targets && dense.kind == Dense::full) {
    spread_over_lanes(dense, matrix, block);
  } else {
    const int size = block.num_rows * block.num_rows;
    T* elements = arena_.get<T>(2 * static_cast<std::size_t>(size));
    for (int e = 0; e < size; ++e) {
      elements[2 * e] = static_cast<T>(matrix[e].re);
      elements[2 * e + 1] = static_cast<T>(matrix[e].im);
    }
    block.matrix = elements;
    block.active = active_lanes(dense);
  }
  steps_.push_back({Kind::block, static_cast<std::uint32_t>(blocks_.size()), dense.outer_mask, dense.outer_value});
  blocks_.push_back(block);
}

template <class T>
void Program<T>::add_pair(const Dense& dense, const Pair& pair) {
  // Of the bits p and c of its amplitudes.
  const int p = dense.targets[static_cast<std::size_t>(pair.axis)];
  const int c = dense.targets[static_cast<std::size_t>(1 - pair.axis)];
  PairStep<T> step{};
  Bits fixed = 0;
  int lane[2] = {};  // bits of lane numbers
  for (int i = 0; i < 2; ++i) {
    const int position = i == 0 ? p : c;
    if (position < lane_bits_) {
      lane[i] = 1 << position;
      continue;
    }
    fixed |= bit(position - lane_bits_);
    step.position[step.num_positions] = position - lane_bits_;
    step.place[step.num_positions++] = place_of(bit(position - lane_bits_));
  }
  step.flips[0] = lane[0];
  step.flips[1] = lane[0] | lane[1];
  step.items = (Index{1} << (bits_ - lane_bits_)) >> count_bits(fixed);
  step.course = course(fixed, 0);
  const auto before = [&](int at_p, int at_c) { return pair.before[at_p << pair.axis | at_c << (1 - pair.axis)]; };
  const std::size_t lanes = std::size_t{1} << lane_bits_;
  T* number = arena_.get<T>(16 * lanes);
  step.numbers = number;
  const int num_rows = 1 << step.num_positions;
  if (num_rows == 4) {
    const auto put = [&](double x) { *number++ = static_cast<T>(x); };
    for (int r = 0; r < 4; ++r) {
      put(before(r & 1, r >> 1).re);
      if (r > 0) put(before(r & 1, r >> 1).im);
    }
    for (double tangent : pair.rotation) put(tangent);
    for (Complex factor : pair.between) put(factor.re), put(factor.im);
    for (double tangent : pair.crossing) put(tangent);
  } else {
    // In every lane what the amplitude there needs: of row r, unless p is a lane, too.
    const auto put = [&](auto value) {
      for (std::size_t l = 0; l < lanes; ++l) *number++ = static_cast<T>(value(static_cast<int>(l)));
    };
    const auto p_of = [&](int r, int l) { return lane[0] != 0 ? (l & lane[0]) != 0 : r != 0; };
    const auto c_of = [&](int l) { return (l & lane[1]) != 0 ? 1 : 0; };
    for (int r = 0; r < num_rows; ++r) {
      put([&](int l) { return before(p_of(r, l), c_of(l)).re; });
      put([&](int l) { return before(p_of(r, l), c_of(l)).im; });
    }
    put([&](int l) { return (lane[0] == 0 || p_of(0, l) ? 1 : -1) * pair.rotation[c_of(l)]; });
    put([&](int l) { return lane[0] == 0 || p_of(0, l) ? pair.between[c_of(l)].re : 1; });
    put([&](int l) { return lane[0] == 0 || p_of(0, l) ? pair.between[c_of(l)].im : 0; });
    for (int r = 0; r < num_rows; ++r)
      put([&](int l) { return p_of(r, l) ? pair.crossing[1 - c_of(l)] : -pair.crossing[c_of(l)]; });
  }
  open_step({Kind::pair, static_cast<std::uint32_t>(pairs_.size()), 0, 0});
  pairs_.push_back(step);
}

// One where the controls among the lanes hold, zero elsewhere; null without any.
template <class T>
const T* Program<T>::active_lanes(const Dense& dense) {
  const Bits lanes = bit(lane_bits_);
  if ((dense.control_mask & (lanes - 1)) == 0) return nullptr;
  T* active = arena_.get<T>(lanes);
  for (Bits l = 0; l < lanes; ++l)
    active[l] = static_cast<T>(((l ^ dense.control_value) & dense.control_mask & (lanes - 1)) == 0 ? 1 : 0);
  return active;
}

template <class T>
void Program<T>::add_controlled_x(const Dense& dense) {
  const int position = dense.targets[0];
  const Bits target = bit(position) >> lane_bits_, fixed = dense.control_mask >> lane_bits_ | target;
  ControlledX<T> x{};
  x.items = (Index{1} << (bits_ - lane_bits_)) >> count_bits(fixed);
  x.course = course(fixed, dense.control_value >> lane_bits_);
  x.place = place_of(target);
  x.active = active_lanes(dense);
  if (target == 0) {
    const int lanes = 1 << lane_bits_;
    int* source = arena_.get<int>(static_cast<std::size_t>(lanes));
    for (int l = 0; l < lanes; ++l) source[l] = x.active == nullptr || x.active[l] != 0 ? l ^ 1 << position : l;
    x.source = source;
  }
  steps_.push_back(
      {Kind::controlled_x, static_cast<std::uint32_t>(flips_.size()), dense.outer_mask, dense.outer_value});
  flips_.push_back(x);
}

// Row and column of the matrix depend on the lane where a target is one.
template <class T>
void Program<T>::spread_over_lanes(const Dense& dense, const Complex* matrix, Block<T>& block) {
  const std::size_t lanes = std::size_t{1} << lane_bits_;
  block.num_flips = (1 << dense.num_targets) / block.num_rows;
  int* flips = arena_.get<int>(static_cast<std::size_t>(block.num_flips));
  flips[0] = 0;
  int num_flips = 1;
  for (int t = 0; t < dense.num_targets; ++t) {
    const int position = dense.targets[static_cast<std::size_t>(t)];
    if (position >= lane_bits_) continue;
    for (int f = 0; f < num_flips; ++f) flips[f + num_flips] = flips[f] | 1 << position;
    num_flips *= 2;
  }
  block.flips = flips;
  // The index among the states of the targets of row r, in lane l.
  const auto state = [&](int r, std::size_t l) {
    int result = 0;
    for (int t = 0; t < dense.num_targets; ++t) {
      const int position = dense.targets[static_cast<std::size_t>(t)];
      const bool lane = position < lane_bits_;
      result |= static_cast<int>(lane ? l >> position & 1 : static_cast<std::size_t>(r) & 1) << t;
      if (!lane) r >>= 1;
    }
    return result;
  };
  const int size = 1 << dense.num_targets, sources = block.num_rows * num_flips;
  T* element = arena_.get<T>(2 * lanes * static_cast<std::size_t>(block.num_rows * sources));
  block.matrix = element;
  for (int r = 0; r < block.num_rows; ++r)
    for (int s = 0; s < sources; ++s, element += 2 * lanes)
      for (std::size_t l = 0; l < lanes; ++l) {
        const int from = s / num_flips;
        const std::size_t other = l ^ static_cast<std::size_t>(flips[s % num_flips]);
        const bool active = ((l ^ dense.control_value) & dense.control_mask & (lanes - 1)) == 0;
        const Complex value =
            active ? matrix[state(r, l) * size + state(from, other)] : Complex{from == r && other == l ? 1.0 : 0.0, 0};
        element[l] = static_cast<T>(value.re);
        element[l + lanes] = static_cast<T>(value.im);
      }
}

template void Program<float>::add_block(const Dense&, const Complex*);
template void Program<double>::add_block(const Dense&, const Complex*);
template void Program<float>::add_pair(const Dense&, const Pair&);
template void Program<double>::add_pair(const Dense&, const Pair&);
template void Program<float>::add_controlled_x(const Dense&);
template void Program<double>::add_controlled_x(const Dense&);

}  // namespace qsim::cpu::tile
