#include "tile_program.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "isa.hpp"
#include "qsim/bits.hpp"

namespace qsim::cpu::tile {
namespace {

constexpr int widest_low = 11;  // positions of a low table: 32 KiB of f32 at most
constexpr int widest_high = 10;
constexpr double branch = 0.4;  // FMA that a factor's condition costs
// Amplitudes grow while the scales of rotations wait; they may reach 1 / least_scale.
template <class T>
constexpr double least_scale = sizeof(T) == 4 ? 0x1p-60 : 0x1p-400;

// (to_re, to_im) = factor (re, im), for `count` entries that lie elsewhere.
void copy_times(Complex factor, const double* __restrict re, const double* __restrict im, double* __restrict to_re,
                double* __restrict to_im, std::size_t count) {
  for (std::size_t x = 0; x < count; ++x) {
    to_re[x] = re[x] * factor.re - im[x] * factor.im;
    to_im[x] = re[x] * factor.im + im[x] * factor.re;
  }
}

void times(Complex factor, double* __restrict re, double* __restrict im, std::size_t count) {
  for (std::size_t x = 0; x < count; ++x) {
    const double old = re[x];
    re[x] = old * factor.re - im[x] * factor.im;
    im[x] = old * factor.im + im[x] * factor.re;
  }
}

template <class Row>
void sort_into(std::vector<Row>& sorted, const std::vector<Row>& rows, int num_layers) {
  std::vector<std::uint32_t> start(static_cast<std::size_t>(num_layers) + 1, 0);
  for (const Row& row : rows) ++start[static_cast<std::size_t>(row.layer) + 1];
  for (std::size_t l = 1; l < start.size(); ++l) start[l] += start[l - 1];
  sorted.resize(rows.size());
  for (const Row& row : rows) sorted[start[static_cast<std::size_t>(row.layer)]++] = row;
}

}  // namespace

template <class T>
Program<T>::Program(const KernelTable& table)
    : table_(table),
      kernels_([&]() -> const Kernels<T>& {
        if constexpr (sizeof(T) == 4) return table.f32;
        else return table.f64;
      }()),
      lane_bits_(table.lane_bits[sizeof(T) / 8]) {}

template <class T>
void Program<T>::build(const Layers& layers, Bits local) {
  arena_.reset();
  bits_ = layers.bits;
  scale_ = 1;
  steps_.clear(), sweeps_.clear(), sweep_steps_.clear(), first_step_.clear(), factors_.clear(), scales_.clear(),
      blocks_.clear();
  pairs_.clear(), flips_.clear(), exchanges_.clear(), changes_.clear(), copies_.clear();
  copied_ = 0;
  constant_ = layers.constant;
  phases_ = layers.phases;
  parity_phases_ = layers.parity_phases;
  const int n = layers.num_layers;
  sort_into(sorted_edges_, layers.edges, n);
  sort_into(sorted_couplings_, layers.couplings, n);
  sort_into(sorted_marks_, layers.marks, n);
  sort_into(sorted_parity_marks_, layers.parity_marks, n);
  sort_into(sorted_moves_, layers.moves, n);
  sort_into(sorted_rotations_, layers.rotations, n);
  sort_into(sorted_blocks_, layers.blocks, n);
  sort_into(sorted_probes_, layers.probes, n);
  sort_into(sorted_parity_probes_, layers.parity_probes, n);
  readings_.clear(), shares_.clear();
  num_sums_ = read_steps_ = 0;
  weighs_ = false;
  next_probe_ = next_parity_probe_ = 0;
  next_edge_ = next_coupling_ = next_mark_ = next_parity_mark_ = next_move_ = next_rotation_ = next_block_ = 0;
  for (int v = 0; v < bits_ - lane_bits_; ++v) place_[static_cast<std::size_t>(v)] = bit(v);
  for (int layer = 0; layer < n; ++layer) build_layer(layers, layer);
  std::stable_sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) {
    if (a.factor != b.factor) return a.factor < b.factor;
    return a.high != b.high ? a.high < b.high : a.position < b.position;
  });
  for (Copy& copy : copies_) {
    auto matches = [&](const Change& c) { return c.factor == copy.factor && c.high == copy.high; };
    const auto first = std::find_if(changes_.begin(), changes_.end(), matches);
    copy.first = static_cast<std::uint32_t>(first - changes_.begin());
    copy.last = copy.first;
    while (copy.last < changes_.size() && matches(changes_[copy.last])) ++copy.last;
  }
  build_rows(layers, local);
  build_ends(layers, local);
}

template <class T>
Bits Program<T>::place_of(Bits vectors) const {
  Bits place = 0;
  for (; vectors != 0; vectors &= vectors - 1) place ^= place_[static_cast<std::size_t>(lowest_bit(vectors))];
  return place;
}

template <class T>
Course Program<T>::course(Bits fixed, Bits value) {
  return course_of(fixed, place_of(value), [&](int v) { return place_[static_cast<std::size_t>(v)]; });
}

template <class T>
template <class StepOf>
Course Program<T>::course_of(Bits fixed, Bits first, StepOf step_of) {
  const int vector_bits = bits_ - lane_bits_;
  Bits* steps = arena_.get<Bits>(static_cast<std::size_t>(vector_bits) + 1);
  int k = 0;
  Bits carried = 0;
  for (int v = 0; v < vector_bits; ++v)
    if ((fixed >> v & 1) == 0) steps[k++] = carried ^= step_of(v);
  steps[k] = 0;  // after the last
  return {first, steps};
}

template <class T>
void Program<T>::build_rows(const Layers& layers, Bits local) {
  int row_bits = 0;  // contiguous low qubits
  while ((local >> row_bits & 1) != 0) ++row_bits;
  row_bits = std::min(row_bits, bits_);
  const int within = row_bits - lane_bits_, num_row_bits = bits_ - row_bits;
  rows_.num_rows = Index{1} << num_row_bits;
  rows_.row_vectors = Index{1} << within;
  Bits* offset = arena_.get<Bits>(static_cast<std::size_t>(rows_.num_rows));
  Bits* row_source = arena_.get<Bits>(static_cast<std::size_t>(rows_.num_rows));
  Bits* source = arena_.get<Bits>(static_cast<std::size_t>(rows_.row_vectors));
  auto source_of = [&](int position) {
    return place_[static_cast<std::size_t>(layers.source[static_cast<std::size_t>(position)] - lane_bits_)];
  };
  offset[0] = 0;
  row_source[0] = place_of(layers.flips >> lane_bits_);
  Bits rest = local >> row_bits << row_bits;
  for (int r = 0; r < num_row_bits; ++r, rest &= rest - 1)
    for (Index i = 0; i < Index{1} << r; ++i) {
      offset[i + (Index{1} << r)] = offset[i] | (rest & (~rest + 1));
      row_source[i + (Index{1} << r)] = row_source[i] ^ source_of(row_bits + r);
    }
  source[0] = 0;
  for (int w = 0; w < within; ++w)
    for (Index i = 0; i < Index{1} << w; ++i) source[i + (Index{1} << w)] = source[i] ^ source_of(lane_bits_ + w);
  rows_.offset = rows_.coming = offset;
  rows_.row_source = row_source;
  rows_.source = source;
  rows_.lane_flip = static_cast<int>(layers.flips & (bit(lane_bits_) - 1));
}

// The first and the last step, where they are sweeps: their vectors in the state. Vector v of the first one lies in the
// tile where the gather would have put it; the last one's index is that of the end, but for moves after it.
template <class T>
void Program<T>::build_ends(const Layers& layers, Bits local) {
  const auto is_end = [](const Step& step) { return step.kind == Kind::sweep || step.kind == Kind::pair; };
  enters_ = !steps_.empty() && is_end(steps_.front());
  leaves_ = !steps_.empty() && is_end(steps_.back());
  using Offsets = std::array<Bits, max_tile_bits>;
  Offsets gathered{}, scattered{};  // offsets in the state of places, and of vector bits at the end
  int position = 0;
  for (Bits rest = local; rest != 0; rest &= rest - 1, ++position) {
    if (position < lane_bits_) continue;
    const int source = layers.source[static_cast<std::size_t>(position)];
    gathered[static_cast<std::size_t>(position - lane_bits_)] = rest & (~rest + 1);
    scattered[static_cast<std::size_t>(source - lane_bits_)] = rest & (~rest + 1);
  }
  const auto sum = [](const Offsets& offsets, Bits bits) {
    Bits result = 0;
    for (; bits != 0; bits &= bits - 1) result ^= offsets[static_cast<std::size_t>(lowest_bit(bits))];
    return result;
  };
  const auto abroad = [&](const Step& step, Bits first, const Offsets& offsets, const Offsets& images) {
    const bool pair = step.kind == Kind::pair;
    const int* position = pair ? pairs_[step.index].position : sweeps_[step.index].position;
    const int num_positions = pair ? pairs_[step.index].num_positions : sweeps_[step.index].num_positions;
    Abroad result{};
    const auto offset_of = [&](int v) { return sum(offsets, images[static_cast<std::size_t>(v)]); };
    Bits rotated = 0;
    for (int r = 0; r < num_positions; ++r) {
      rotated |= bit(position[r]);
      result.place[r] = offset_of(position[r]);
    }
    result.course = course_of(rotated, first, offset_of);
    return result;
  };
  if (enters_) entrance_ = abroad(steps_.front(), 0, gathered, first_place_);
  if (leaves_) exit_ = abroad(steps_.back(), sum(scattered, layers.flips >> lane_bits_), scattered, last_image_);
  // One sweep from the state to the state must not store what it has still to load.
  if (enters_ && leaves_ && steps_.size() == 1) {
    leaves_ = layers.flips >> lane_bits_ == 0;
    for (int v = 0; v < bits_ - lane_bits_; ++v)
      leaves_ &= sum(gathered, first_place_[static_cast<std::size_t>(v)]) ==
                 sum(scattered, last_image_[static_cast<std::size_t>(v)]);
  }
}

// Entries over positions [first, last) from linear_ and edges_, by doubling. How many there are.
template <class T>
std::size_t Program<T>::fill(int first, int last, Complex constant) {
  const std::size_t size = std::size_t{1} << (last - first);
  if (re_.size() < size) re_.resize(size), im_.resize(size);
  re_[0] = constant.re, im_[0] = constant.im;
  for (int p = first; p < last; ++p) {
    const std::size_t half = std::size_t{1} << (p - first);
    double *re = re_.data() + half, *im = im_.data() + half;
    copy_times(linear_[static_cast<std::size_t>(p)], re_.data(), im_.data(), re, im, half);
    for (const Edge& edge : edges_) {
      if (edge.high != p || edge.low < first) continue;
      const std::size_t low = std::size_t{1} << (edge.low - first);
      for (std::size_t x = low; x < half; x += 2 * low) times(edge.factor, re + x, im + x, low);
    }
  }
  return size;
}

template <class T>
void Program<T>::fill_low(std::uint32_t factor, int bits, Complex constant) {
  const std::size_t size = fill(0, bits, constant), lanes = std::size_t{1} << lane_bits_;
  T* table = arena_.get<T>(2 * size);
  for (std::size_t e = 0; e < size; e += lanes) {
    T* vector = table + 2 * e;
    std::transform(re_.data() + e, re_.data() + e + lanes, vector, [](double x) { return static_cast<T>(x); });
    std::transform(im_.data() + e, im_.data() + e + lanes, vector + lanes, [](double x) { return static_cast<T>(x); });
  }
  factors_[factor].low = table;
  factors_[factor].low_mask = bit(bits - lane_bits_) - 1;
}

template <class T>
void Program<T>::fill_high(std::uint32_t factor, int from, Complex constant) {
  const std::size_t size = fill(from, bits_, constant);
  T* table = arena_.get<T>(2 * size);
  for (std::size_t e = 0; e < size; ++e) {
    table[2 * e] = static_cast<T>(re_[e]);
    table[2 * e + 1] = static_cast<T>(im_[e]);
  }
  factors_[factor].high = table;
  factors_[factor].high_shift = from - lane_bits_;
}

template <class T>
void Program<T>::add_changes(std::uint32_t factor, bool high, int bits) {
  const std::size_t size = high ? std::size_t{2} << bits : std::size_t{2} << (bits + lane_bits_);
  copies_.push_back({factor, high, bits, copied_, size, 0, 0});
  copied_ += (size + 15) / 16 * 16;
}

// Few terms as one factor per vector position, which only vectors with that bit see, and per edge between two of them.
// False where tables over all positions cost less; costs are in FMA per amplitude.
template <class T>
bool Program<T>::add_sparse_diagonal(double dense_cost) {
  Bits own = 0;    // vector positions with a factor
  Bits mixed = 0;  // of these, with different factors in different lanes
  bool lanes = false;
  double cost = 0;
  for (int p = 0; p < bits_; ++p) {
    if (is_one(linear_[static_cast<std::size_t>(p)])) continue;
    if (p < lane_bits_) lanes = true;
    else own |= bit(p);
  }
  for (const Coupling& c : couplings_) {
    if (c.position < lane_bits_) lanes = true;
    else own |= bit(c.position);
  }
  for (const Edge& e : edges_) {
    if (e.high < lane_bits_) lanes = true;
    else if (e.low < lane_bits_) own |= bit(e.high), mixed |= bit(e.high);
    else cost += 1 + branch;
  }
  cost += (lanes ? 4 : 0) + (2 + branch) * count_bits(own);
  if (cost >= dense_cost) return false;

  const std::size_t width = std::size_t{1} << lane_bits_;
  auto add = [&](Bits condition) {
    const auto factor = static_cast<std::uint32_t>(factors_.size());
    factors_.push_back({});
    factors_[factor].condition = condition >> lane_bits_;
    return factor;
  };
  auto scalar = [&](std::uint32_t factor, Complex value) {
    T* table = arena_.get<T>(2);
    table[0] = static_cast<T>(value.re), table[1] = static_cast<T>(value.im);
    factors_[factor].high = table;
    factors_[factor].high_shift = 63;
  };
  auto by_lane = [&](std::uint32_t factor, auto value_of) {
    T* table = arena_.get<T>(2 * width);
    for (std::size_t l = 0; l < width; ++l) {
      const Complex value = value_of(l);
      table[l] = static_cast<T>(value.re), table[l + width] = static_cast<T>(value.im);
    }
    factors_[factor].low = table;
    factors_[factor].low_mask = 0;
  };
  auto couple = [&](std::uint32_t factor, bool high, auto concerns) {
    bool any = false;
    for (const Coupling& c : couplings_) {
      if (!concerns(c.position)) continue;
      any = true;
      changes_.push_back(
          {factor, c.position < lane_bits_ ? c.position : -1, high, c.outer_mask, c.outer_value, c.factor});
    }
    if (any) add_changes(factor, high, 0);
  };
  if (lanes) {
    const std::uint32_t factor = add(0);
    by_lane(factor, [&](std::size_t l) {
      Complex value{1, 0};
      for (int p = 0; p < lane_bits_; ++p)
        if ((l >> p & 1) != 0) value = value * linear_[static_cast<std::size_t>(p)];
      for (const Edge& e : edges_)
        if (e.high < lane_bits_ && (l >> e.low & l >> e.high & 1) != 0) value = value * e.factor;
      return value;
    });
    couple(factor, false, [&](int p) { return p < lane_bits_; });
  }
  for (Bits rest = own; rest != 0; rest &= rest - 1) {
    const int p = lowest_bit(rest);
    const std::uint32_t factor = add(bit(p));
    const Complex linear = linear_[static_cast<std::size_t>(p)];
    const bool is_mixed = (mixed >> p & 1) != 0;
    if (!is_mixed) scalar(factor, linear);
    else
      by_lane(factor, [&](std::size_t l) {
        Complex value = linear;
        for (const Edge& e : edges_)
          if (e.high == p && e.low < lane_bits_ && (l >> e.low & 1) != 0) value = value * e.factor;
        return value;
      });
    couple(factor, !is_mixed, [&](int q) { return q == p; });
  }
  for (const Edge& e : edges_)
    if (e.low >= lane_bits_) scalar(add(bit(e.low) | bit(e.high)), e.factor);
  return true;
}

// The diagonal of a layer as factors: a main one over all positions, and one per hub, a position whose edges are too
// long for the tables of the main one.
template <class T>
void Program<T>::add_diagonal(const Layers& layers, int layer) {
  const auto& all_linear = layers.linear[static_cast<std::size_t>(layer)];
  linear_.assign(all_linear.begin(), all_linear.begin() + bits_);
  edges_.clear(), far_.clear(), couplings_.clear();
  for (; next_edge_ < sorted_edges_.size() && sorted_edges_[next_edge_].layer == layer; ++next_edge_)
    edges_.push_back(sorted_edges_[next_edge_]);
  for (; next_coupling_ < sorted_couplings_.size() && sorted_couplings_[next_coupling_].layer == layer;
       ++next_coupling_)
    couplings_.push_back(sorted_couplings_[next_coupling_]);

  Bits ends = 0;
  for (const Edge& edge : edges_) ends |= bit(edge.low) | bit(edge.high);
  Bits used = ends;
  for (int p = 0; p < bits_; ++p)
    if (!is_one(linear_[static_cast<std::size_t>(p)])) used |= bit(p);
  for (const Coupling& c : couplings_) used |= bit(c.position);
  Complex constant{1, 0};
  if (scale_ < least_scale<T>) constant.re = scale_, scale_ = 1;
  const bool rescale = constant.re != 1;
  if (used == 0 && !rescale) return;

  // Positions below `low` in the low table, from `high` on in the high one.
  int low = 0, high = bits_;
  auto far_edges = [&](int l, int h) {
    int far = 0;
    for (const Edge& e : edges_) far += e.high >= l && e.low < h ? 1 : 0;
    return far;
  };
  const int second = std::min(1 << 9, 1 << std::max(bits_ - 3, 0));  // what applying another table takes, in entries
  int best = 1 << 30;
  auto consider = [&](int l, int h) {
    int cost = (l > 0 ? 1 << l : 0) + (h < bits_ ? 1 << (bits_ - h) : 0) + (l > 0 && h < bits_ ? second : 0);
    if (cost < best) cost += far_edges(l, h) * (1 << 13);
    if (cost < best) best = cost, low = l, high = h;
  };
  const int first = used != 0 ? lowest_bit(used) : bits_;
  const int last = used != 0 ? 63 - __builtin_clzll(used) : -1;
  const int least_high = std::max(lane_bits_, bits_ - widest_high);
  if (last < std::min(widest_low, bits_)) consider(std::max(lane_bits_, last + 1), bits_);
  if (first >= least_high && first < bits_) consider(0, first);
  for (int l = lane_bits_; l <= std::min(widest_low, bits_) && 1 << l < best; ++l)
    for (int h = std::min(l, bits_ - 1); h >= least_high && (1 << l) + (1 << (bits_ - h)) < best; --h) consider(l, h);

  double cost = (low > 0 && high < bits_ ? 8 : 4) + (far_edges(low, high) > 0 ? 4 : 0);
  // A star, all edges at one vector position and no more than these, concerns the vectors with that bit only: a hub,
  // and no main factor.
  Bits common = ends & ~(bit(lane_bits_) - 1);
  for (const Edge& e : edges_) common &= bit(e.low) | bit(e.high);
  if (const Bits center = common & (~common + 1); center != 0 && !rescale && (used & ~ends) == 0) {
    bool star = true;
    for (Bits rest = ends & ~center; rest != 0; rest &= rest - 1)
      star &= is_one(linear_[static_cast<std::size_t>(lowest_bit(rest))]);
    for (const Coupling& c : couplings_) star &= bit(c.position) == center;
    if (star) {
      const Bits others = ends & ~center;
      const bool one_table = lowest_bit(others) >= least_high || others >> std::min(widest_low, bits_) == 0;
      cost = std::min(cost, branch + (one_table ? 2 : 4));
      low = 0, high = bits_;
    }
  }
  if (!rescale && add_sparse_diagonal(cost)) return;

  // Edges that fit in neither become hubs.
  std::size_t kept = 0;
  for (const Edge& e : edges_) {
    if (e.high >= low && e.low < high) far_.push_back(e);
    else edges_[kept++] = e;
  }
  edges_.resize(kept);

  struct Hub {
    int position;
    Bits others;
  };
  std::vector<Hub> hubs;
  std::vector<Edge> rest = far_;
  while (!rest.empty()) {
    int degree[max_tile_bits] = {};
    for (const Edge& e : rest) ++degree[e.low], ++degree[e.high];
    int hub = -1;
    for (int p = lane_bits_; p < bits_; ++p)
      if (hub < 0 || degree[p] > degree[hub]) hub = p;
    Bits others = 0;
    kept = 0;
    for (const Edge& e : rest) {
      if (e.low == hub || e.high == hub) others |= bit(e.low == hub ? e.high : e.low);
      else rest[kept++] = e;
    }
    rest.resize(kept);
    hubs.push_back({hub, others});
  }

  // The main factor; a coupling or phase of a hub can ride on the hub's own table.
  Bits hub_positions = 0;
  for (const Hub& hub : hubs) hub_positions |= bit(hub.position);
  Bits main_used = 0;
  for (const Edge& e : edges_) main_used |= bit(e.low) | bit(e.high);
  for (int p = 0; p < bits_; ++p)
    if ((hub_positions >> p & 1) == 0 && !is_one(linear_[static_cast<std::size_t>(p)])) main_used |= bit(p);
  for (const Coupling& c : couplings_)
    if ((hub_positions >> c.position & 1) == 0) main_used |= bit(c.position);
  std::array<Complex, max_tile_bits> linear;
  std::copy(linear_.begin(), linear_.end(), linear.begin());
  for (const Hub& hub : hubs) linear_[static_cast<std::size_t>(hub.position)] = {1, 0};
  if (main_used != 0 || rescale) {
    const Bits low_positions = bit(low) - 1;
    const bool has_low = (main_used & low_positions & ~(high < bits_ ? ~(bit(high) - 1) : 0)) != 0;
    const auto factor = static_cast<std::uint32_t>(factors_.size());
    factors_.push_back({});
    bool has_high = high < bits_ && (main_used >> high != 0);
    bool needs_low = has_low;
    for (const Edge& e : edges_)
      if (e.low < high) needs_low = true;
    if (!needs_low && !has_high) needs_low = true;
    if (needs_low && low == 0) low = lane_bits_;
    // Positions in both tables count once: in the low one, except for edges that fit only in the high one.
    const std::vector<Edge>& edges = main_edges_ = edges_;
    std::array<Complex, max_tile_bits> main_linear;
    std::copy(linear_.begin(), linear_.end(), main_linear.begin());
    if (needs_low) {
      kept = 0;
      for (const Edge& e : edges)
        if (e.high < low) edges_[kept++] = e;
      edges_.resize(kept);
      fill_low(factor, low, constant);
    }
    if (has_high) {
      edges_.clear();
      for (const Edge& e : edges)
        if (!(needs_low && e.high < low)) edges_.push_back(e);
      if (needs_low)
        for (int p = high; p < low; ++p) linear_[static_cast<std::size_t>(p)] = {1, 0};
      fill_high(factor, high, needs_low ? Complex{1, 0} : constant);
      std::copy_n(main_linear.begin(), linear_.size(), linear_.begin());
    }
    bool low_changes = false, high_changes = false;
    for (const Coupling& c : couplings_) {
      if ((hub_positions >> c.position & 1) != 0) continue;
      const bool in_low = needs_low && c.position < low;
      (in_low ? low_changes : high_changes) = true;
      changes_.push_back(
          {factor, in_low ? c.position : c.position - high, !in_low, c.outer_mask, c.outer_value, c.factor});
    }
    if (low_changes) add_changes(factor, false, low - lane_bits_);
    if (high_changes) add_changes(factor, true, bits_ - high);
  }
  edges_.clear();
  for (const Hub& hub : hubs) {
    const auto factor = static_cast<std::uint32_t>(factors_.size());
    factors_.push_back({});
    factors_[factor].condition = bit(hub.position - lane_bits_);
    std::fill(linear_.begin(), linear_.end(), Complex{1, 0});
    for (const Edge& e : far_) {
      if (e.low != hub.position && e.high != hub.position) continue;
      const int other = e.low == hub.position ? e.high : e.low;
      if ((hub.others >> other & 1) == 0) continue;
      linear_[static_cast<std::size_t>(other)] = linear_[static_cast<std::size_t>(other)] * e.factor;
    }
    const Complex own = linear[static_cast<std::size_t>(hub.position)];
    const int least = lowest_bit(hub.others), most = 63 - __builtin_clzll(hub.others);
    int from = bits_;
    bool has_low = true;
    if (least >= least_high) {
      has_low = false;
      from = least;
    } else if (most >= std::min(widest_low, bits_)) {
      from = std::max(least_high, (bits_ + lane_bits_) / 2);
    }
    const bool has_high = from < bits_;
    if (has_low) fill_low(factor, has_high ? from : std::max(lane_bits_, most + 1), has_high ? Complex{1, 0} : own);
    const int low_bits = has_low ? (has_high ? from : std::max(lane_bits_, most + 1)) : 0;
    if (has_high) fill_high(factor, from, own);
    bool changes = false;
    for (const Coupling& c : couplings_) {
      if (c.position != hub.position) continue;
      changes = true;
      changes_.push_back({factor, -1, has_high, c.outer_mask, c.outer_value, c.factor});
    }
    if (changes) add_changes(factor, has_high, has_high ? bits_ - from : low_bits - lane_bits_);
  }
}

// One that can load from the state if it is the first, and store there if it is the last.
template <class T>
void Program<T>::open_step(const Step& step) {
  if (steps_.empty()) first_place_ = place_;
  for (int v = 0; v < max_tile_bits; ++v) last_image_[static_cast<std::size_t>(v)] = bit(v);
  steps_.push_back(step);
}

// The diagonal of a layer, whose factors start at `first_factor`, and its rotations as sweeps. What the last sweep of
// the layer before has registers for is done there, while its vectors are loaded; so the fullest sweeps come first.
template <class T>
void Program<T>::add_sweeps(int layer, std::size_t first_factor, bool can_join) {
  int num_factors = static_cast<int>(factors_.size() - first_factor);
  SweepStep<T> on_lanes{};
  std::vector<Rotation>& todo = todo_;
  todo.clear();
  for (; next_rotation_ < sorted_rotations_.size() && sorted_rotations_[next_rotation_].layer == layer;
       ++next_rotation_) {
    const Rotation& rotation = sorted_rotations_[next_rotation_];
    // Rounded, the tangent is that of another rotation: with its scale the norm doesn't drift.
    const double exact = rotation.tangent, rounded = static_cast<T>(exact);
    scale_ *= rotation.scale * std::sqrt((1 + exact * exact) / (1 + rounded * rounded));
    if (rotation.position < lane_bits_) {
      on_lanes.lanes |= 1 << rotation.position;
      on_lanes.lane_tangent[rotation.position] = static_cast<T>(rotation.tangent);
    } else {
      todo.push_back(rotation);
    }
  }
  auto by_position = [](const Rotation& a, const Rotation& b) { return a.position < b.position; };
  std::sort(todo.begin(), todo.end(), by_position);
  const auto has = [&](const Rotation& r) {
    const Sweep<T>& open = sweeps_.back();
    return std::count(open.position, open.position + open.num_positions, r.position - lane_bits_) > 0;
  };
  const auto joins = [&](const Rotation& r) { return sweeps_.back().num_positions < table_.rotations || has(r); };
  // Rotations on positions of the open sweep first. All of them join it, so what is left stays in order.
  if (can_join) std::stable_partition(todo.begin(), todo.end(), has);
  while (!todo.empty() || num_factors > 0 || on_lanes.lanes != 0) {
    if (!can_join || !(todo.empty() || joins(todo.front()))) {
      Sweep<T> sweep{};
      sweep.vectors = Index{1} << (bits_ - lane_bits_);
      open_step({Kind::sweep, static_cast<std::uint32_t>(sweeps_.size()), 0, 0});
      sweeps_.push_back(sweep);
      first_step_.push_back(static_cast<std::uint32_t>(sweep_steps_.size()));
    }
    can_join = false;
    Sweep<T>& sweep = sweeps_.back();
    SweepStep<T> step{};
    step.first_factor = static_cast<int>(first_factor);
    step.num_factors = num_factors;
    num_factors = 0;
    std::size_t done = 0;
    for (; done < todo.size() && joins(todo[done]); ++done) {
      const int v = todo[done].position - lane_bits_;
      const auto r = std::find(sweep.position, sweep.position + sweep.num_positions, v) - sweep.position;
      if (r == sweep.num_positions) {
        sweep.position[r] = v;
        sweep.place[r] = place_[static_cast<std::size_t>(v)];
        ++sweep.num_positions;
      }
      step.rotated |= 1 << r;
      step.tangent[r] = static_cast<T>(todo[done].tangent);
    }
    todo.erase(todo.begin(), todo.begin() + static_cast<std::ptrdiff_t>(done));
    if (todo.empty()) {
      step.lanes = on_lanes.lanes;
      std::copy_n(on_lanes.lane_tangent, max_lane_bits, step.lane_tangent);
      on_lanes.lanes = 0;
    }
    sweep_steps_.push_back(step);
    ++sweep.num_steps;
    Bits rotated = 0;
    for (int r = 0; r < sweep.num_positions; ++r) rotated |= bit(sweep.position[r]);
    sweep.course = course(rotated, 0);
  }
}

// Exchanges of different positions that follow each other are one.
template <class T>
void Program<T>::add_exchanges(int layer) {
  Exchange exchange{};
  Bits used = 0;
  for (std::size_t next = next_block_; next < sorted_blocks_.size(); next_block_ = next++) {
    const Dense& dense = sorted_blocks_[next];
    const Bits both = bit(dense.targets[0]) | bit(dense.targets[1]);
    if (dense.layer != layer || dense.kind != Dense::exchanged || (used & both) != 0) break;
    used |= both;
    exchange.place[exchange.num] = place_of(bit(dense.targets[1] - lane_bits_));
    exchange.lane[exchange.num++] = dense.targets[0];
  }
  exchange.items = (Index{1} << (bits_ - lane_bits_)) >> exchange.num;
  exchange.course = course(used >> lane_bits_, 0);
  steps_.push_back({Kind::exchange, static_cast<std::uint32_t>(exchanges_.size()), 0, 0});
  exchanges_.push_back(exchange);
}

template <class T>
void Program<T>::build_layer(const Layers& layers, int layer) {
  const Index vectors = Index{1} << (bits_ - lane_bits_);
  const std::size_t lanes = std::size_t{1} << lane_bits_;
  const Bits lane_mask = bit(lane_bits_) - 1;
  auto step = [&](Kind kind, std::size_t index, Bits outer_mask = 0, Bits outer_value = 0) {
    steps_.push_back({kind, static_cast<std::uint32_t>(index), outer_mask, outer_value});
  };

  const std::size_t steps_before = steps_.size();
  bool can_join = !steps_.empty() && steps_.back().kind == Kind::sweep;
  for (; next_move_ < sorted_moves_.size() && sorted_moves_[next_move_].layer == layer; ++next_move_) {
    const Move& move = sorted_moves_[next_move_];
    const int control = move.control - lane_bits_, target = move.target - lane_bits_;
    place_[static_cast<std::size_t>(control)] ^= place_[static_cast<std::size_t>(target)];
    for (Bits& image : last_image_)
      if ((image >> control & 1) != 0) image ^= bit(target);
    can_join = false;
  }
  read_parities(layer);
  for (; next_mark_ < sorted_marks_.size() && sorted_marks_[next_mark_].layer == layer; ++next_mark_) {
    const Mark& mark = sorted_marks_[next_mark_];
    T* factor = arena_.get<T>(4 * lanes);
    for (std::size_t l = 0; l < lanes; ++l) {
      const bool hit = ((l ^ mark.value) & mark.mask & lane_mask) == 0;
      factor[l] = factor[l + 2 * lanes] = static_cast<T>(hit ? mark.factor.re : 1);
      factor[l + lanes] = factor[l + 3 * lanes] = static_cast<T>(hit ? mark.factor.im : 0);
    }
    const Bits fixed = mark.mask >> lane_bits_;
    const Scale<T> scale{vectors >> count_bits(fixed), course(fixed, mark.value >> lane_bits_), 0, factor};
    step(Kind::scale, scales_.size(), mark.outer_mask, mark.outer_value);
    scales_.push_back({scale, scale, 0});
  }
  for (; next_parity_mark_ < sorted_parity_marks_.size() && sorted_parity_marks_[next_parity_mark_].layer == layer;
       ++next_parity_mark_) {
    const ParityMark& mark = sorted_parity_marks_[next_parity_mark_];
    T* factor = arena_.get<T>(6 * lanes);  // even, odd, even: the second half serves tiles of odd outer parity
    for (std::size_t half = 0; half < 3; ++half)
      for (std::size_t l = 0; l < lanes; ++l) {
        const Complex value = odd_parity(l & mark.mask) != (half == 1) ? mark.odd : mark.even;
        factor[2 * half * lanes + l] = static_cast<T>(value.re);
        factor[(2 * half + 1) * lanes + l] = static_cast<T>(value.im);
      }
    Scale<T> scale{vectors, course(0, 0), mark.mask >> lane_bits_, factor};
    Wide wide{scale, scale, mark.outer_mask};
    wide.odd.factor = factor + 2 * lanes;
    step(Kind::scale, scales_.size());
    scales_.push_back(wide);
  }

  can_join &= steps_.size() == steps_before;
  const std::size_t first_factor = factors_.size();
  add_diagonal(layers, layer);
  add_sweeps(layer, first_factor, can_join);

  read_moments(layer);
  for (; next_block_ < sorted_blocks_.size() && sorted_blocks_[next_block_].layer == layer; ++next_block_) {
    const Dense& dense = sorted_blocks_[next_block_];
    if (dense.kind == Dense::exchanged) {
      add_exchanges(layer);
      continue;
    }
    if (dense.kind == Dense::flipped) add_controlled_x(dense);
    else if (dense.kind == Dense::reduced) add_pair(dense, layers.pairs[dense.matrix]);
    else add_block(dense, layers.matrices.data() + dense.matrix);
  }
}

template <class T>
std::size_t Program<T>::scratch_bytes() const {
  const std::size_t tile = (std::size_t{2} << bits_) * sizeof(T);
  return tile + copied_ * sizeof(T) + num_strips() * sizeof(double) + factors_.size() * sizeof(Factor<T>) + 128;
}

// The factors in the tile at `base`: those of the program, or, where conditions hold in this tile, changed copies.
template <class T>
const Factor<T>* Program<T>::factors_at(Bits base, T* copied, Factor<T>* own) const {
  if (copies_.empty()) return factors_.data();
  std::copy(factors_.begin(), factors_.end(), own);
  for (const Copy& copy : copies_) {
    T* table = copied + copy.offset;
    bool changed = false;
    for (std::uint32_t c = copy.first; c < copy.last;) {
      const int position = changes_[c].position;
      Complex value{1, 0};
      for (; c < copy.last && changes_[c].position == position; ++c)
        if ((base & changes_[c].outer_mask) == changes_[c].outer_value) value = value * changes_[c].value;
      if (value == Complex{1, 0}) continue;
      const Factor<T>& factor = own[copy.factor];
      if (!changed) std::memcpy(table, copy.high ? factor.high : factor.low, copy.size * sizeof(T));
      changed = true;
      (copy.high ? kernels_.adjust_high : kernels_.adjust_low)(table, copy.bits, position, value.re, value.im);
    }
    if (changed) (copy.high ? own[copy.factor].high : own[copy.factor].low) = table;
  }
  return own;
}

template <class T>
Sweep<T> Program<T>::sweep_of(const Step& step, const Factor<T>* factors) const {
  Sweep<T> sweep = sweeps_[step.index];
  sweep.factors = factors;
  sweep.steps = sweep_steps_.data() + first_step_[step.index];
  return sweep;
}

template <class T>
void Program<T>::apply(const Step& step, Bits base, const Factor<T>* factors, T* tile) const {
  if ((base & step.outer_mask) != step.outer_value) return;
  switch (step.kind) {
    case Kind::sweep: kernels_.sweep(sweep_of(step, factors), tile); break;
    case Kind::scale: {
      const Wide& wide = scales_[step.index];
      kernels_.scale(odd_parity(base & wide.outer_parity) ? wide.odd : wide.even, tile);
      break;
    }
    case Kind::block: kernels_.block(blocks_[step.index], tile); break;
    case Kind::pair: kernels_.pair(pairs_[step.index], tile); break;
    case Kind::controlled_x: kernels_.controlled_x(flips_[step.index], tile); break;
    case Kind::exchange: kernels_.exchange(exchanges_[step.index], tile); break;
    case Kind::read: break;  // needs two tiles
  }
}

// What the whole tile is multiplied by when it is stored.
template <class T>
Complex Program<T>::factor_at(Bits base) const {
  Complex factor = scale_ * constant_;
  for (const Term& term : phases_)
    if ((base & term.mask) == term.value) factor = factor * term.factor;
  for (const ParityTerm& term : parity_phases_) factor = factor * (odd_parity(base & term.mask) ? term.odd : term.even);
  return factor;
}

template <class T>
void Program<T>::run(T* state, Bits base, const T* next, void* scratch, const Source<T>* source, Index row,
                     double* sums, const TileWeights* weights) const {
  T* tile = static_cast<T*>(scratch);
  T* copied = tile + (std::size_t{2} << bits_);
  auto* strips = reinterpret_cast<double*>(copied + (copied_ + 15) / 16 * 16);
  auto* own = reinterpret_cast<Factor<T>*>(strips + num_strips());
  const Factor<T>* factors = factors_at(base, copied, own);
  const Complex factor = factor_at(base);
  const bool enters = enters_ && source == nullptr;
  const bool leaves = leaves_ && source == nullptr && sums == nullptr && weights == nullptr;
  if (source != nullptr) source->gather(kernels_, row, base, tile);
  else if (!enters) kernels_.gather(rows_, state + 2 * base, tile);
  for (const Step& step : steps_) {
    const bool first = enters && &step == &steps_.front(), last = leaves && &step == &steps_.back();
    if (!first && !last) {
      apply(step, base, factors, tile);
      continue;
    }
    T* const here = state + 2 * base;
    const Ends<T> ends{first ? here : nullptr,    last ? here : nullptr,     next,           entrance_, exit_,
                       static_cast<T>(factor.re), static_cast<T>(factor.im), rows_.lane_flip};
    if (step.kind == Kind::pair) kernels_.pair_ends(pairs_[step.index], ends, tile);
    else kernels_.sweep_ends(sweep_of(step, factors), ends, tile);
  }
  if (leaves) return;
  if (sums != nullptr) add_weights(tile, base, factor.re * factor.re + factor.im * factor.im, sums);
  kernels_.scatter(source == nullptr ? rows_ : source->towards_next(), tile, state + 2 * base, next, factor.re,
                   factor.im, weights == nullptr ? nullptr : strips);
  if (weights != nullptr) leave_weights(strips, base, *weights);
}

template <class T>
void Program<T>::clear(T* state, Bits base) const {
  for (Index r = 0; r < rows_.num_rows; ++r)
    std::fill_n(state + 2 * (base | rows_.offset[r]), (2 * rows_.row_vectors) << lane_bits_, T(0));
}

template class Program<float>;
template class Program<double>;

}  // namespace qsim::cpu::tile
