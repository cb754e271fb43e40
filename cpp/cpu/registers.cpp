#include "registers.hpp"

#include <algorithm>

#include "qsim/bits.hpp"

namespace qsim::cpu {
namespace {

constexpr int block_qubits = 12;    // amplitudes of the result written at a time: they stay in the first caches
constexpr Index thread_blocks = 8;  // a thread is worth waking for this many

// The bits of `value` where `mask` has none, pushed together: undoes spread_around.
Bits without(Bits value, Bits mask) {
  while (mask != 0) {
    const Bits below = (mask & (~mask + 1)) - 1;
    value = (value & below) | (value >> 1 & ~below);
    mask = mask >> 1 & ~below;
  }
  return value;
}

}  // namespace

template <class T>
Regrouped<T>::Regrouped(const Regrouping& move, const T* source, int source_qubits, int block_bits)
    : move_(move), source_(source), source_qubits_(source_qubits), inside_(bit(block_bits) - 1) {
  entering_ = move.entering & inside_;
  // Bits that stay, from the lowest: those below the first fixed one make a run, those up to the next one the runs at
  // equal steps.
  const int staying = block_bits - count_bits(entering_);
  int from = 0, to = 0, stayed = 0;
  const auto skip_fixed = [&] {
    while ((move.leaving >> from & 1) != 0) ++from;
    while ((entering_ >> to & 1) != 0) ++to;
  };
  const auto take_free = [&] {
    const int before = stayed;
    while (stayed < staying && (move.leaving >> from & 1) == 0 && (entering_ >> to & 1) == 0) ++from, ++to, ++stayed;
    return Index{1} << (stayed - before);
  };
  run_ = take_free();
  skip_fixed();
  from_step_ = bit(from), to_step_ = bit(to);
  count_ = take_free();
  from_carry_ = bit(from), to_carry_ = bit(to);
  groups_ = Index{1} << (staying - stayed);
}

template <class T>
Bits Regrouped<T>::start(Bits first) const {
  return spread_around(without(first, move_.entering), move_.leaving);
}

template <class T>
template <int known>
void Regrouped<T>::copy_runs(const T* from, T* out, T scale) const {
  const Index length = 2 * (known != 0 ? Index{known} : run_);
  const Bits leaving = move_.leaving, entering = entering_;
  Bits f = 0, t = 0;  // over the bits that stay
  for (Index group = 0; group < groups_; ++group) {
    const T* in = from + 2 * f;
    T* to = out + 2 * t;
    for (Index i = 0; i < count_; ++i, in += 2 * from_step_, to += 2 * to_step_)
      for (Index k = 0; k < length; ++k) to[k] = scale * in[k];
    f = ((f | leaving) + from_carry_) & ~leaving;
    t = ((t | entering) + to_carry_) & ~entering;
  }
}

template <class T>
void Regrouped<T>::copy(Index row, Bits start, T* out) const {
  if (entering_ != 0) std::fill_n(out, 2 * (inside_ + 1), T(0));
  const T* from = at(row, start);
  const T scale = static_cast<T>(move_.scales[row]);
  out += 2 * (static_cast<Bits>(move_.values[row]) & entering_);
  if (run_ == 1) copy_runs<1>(from, out, scale);
  else if (run_ == 2) copy_runs<2>(from, out, scale);
  else if (run_ == 4) copy_runs<4>(from, out, scale);
  else copy_runs<0>(from, out, scale);
}

template <class T>
void regroup(const Runner& runner, const Regrouping& move, const T* source, int source_qubits, T* result,
             int result_qubits) {
  const int block_bits = std::min(block_qubits, result_qubits);
  const Index block = Index{1} << block_bits, blocks = Index{1} << (result_qubits - block_bits);
  const Regrouped<T> regrouped(move, source, source_qubits, block_bits);
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    for (Index item = begin; item < end; ++item) {
      const Index row = item / blocks;
      const Bits first = static_cast<Bits>((item % blocks) << block_bits);
      T* out = result + 2 * (item << block_bits);
      if (regrouped.holds(row, first)) regrouped.copy(row, regrouped.start(first), out);
      else std::fill_n(out, 2 * block, T(0));
      watch.tick(0);
    }
  };
  const Index items = move.num_rows * blocks;
  const int threads =
      static_cast<int>(std::clamp<Index>((items << block_bits) / (thread_blocks << block_qubits), 1, runner.threads));
  parallel_for(threads, items, std::max<Index>(1, (thread_blocks << block_qubits) >> block_bits), runner.watch, task);
}

template class Regrouped<float>;
template class Regrouped<double>;
template void regroup(const Runner&, const Regrouping&, const float*, int, float*, int);
template void regroup(const Runner&, const Regrouping&, const double*, int, double*, int);

}  // namespace qsim::cpu
