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

// Places are counted up over the bits outside `fixed`, in steps of one run.
Bits following(Bits place, Bits fixed, Bits bits, Bits run) {
  return (((place | fixed) + run) & ~fixed) | bits;
}

struct Places {
  Bits fixed;  // bits that stay
  Bits bits;   // as they stay
  Bits start;
};

// A run of `known` amplitudes, where the compiler can know it, else of `run`.
template <int known, class T>
void copy_runs(const T* source, Places from, T* result, Places to, Index count, Bits run, T scale) {
  const Bits length = known != 0 ? Bits{known} : run;
  Bits s = from.start, t = to.start;
  for (Index done = 0; done < count; done += static_cast<Index>(length)) {
    const T* in = source + 2 * s;
    T* out = result + 2 * t;
    for (Bits k = 0; k < 2 * length; ++k) out[k] = scale * in[k];
    s = following(s, from.fixed, from.bits, length);
    t = following(t, to.fixed, to.bits, length);
  }
}

}  // namespace

template <class T>
void regroup(const Runner& runner, const Regrouping& move, const T* source, int source_qubits, T* result,
             int result_qubits) {
  const int block_bits = std::min(block_qubits, result_qubits);
  const Index block = Index{1} << block_bits, blocks = Index{1} << (result_qubits - block_bits);
  const Bits inside = static_cast<Bits>(block) - 1;
  const Bits new_inside = move.entering & inside;
  const Index count = block >> count_bits(new_inside);  // amplitudes of a block that come from the source
  const Bits cuts = move.leaving | move.entering | static_cast<Bits>(block);
  const Bits run = cuts & (~cuts + 1);
  const auto copy = run == 1   ? copy_runs<1, T>
                    : run == 2 ? copy_runs<2, T>
                    : run == 4 ? copy_runs<4, T>
                               : copy_runs<0, T>;
  auto task = [&](Index begin, Index end, int, Watch& watch) {
    for (Index item = begin; item < end; ++item) {
      const Index row = item / blocks;
      const Bits first = static_cast<Bits>((item % blocks) << block_bits);
      T* out = result + 2 * (item << block_bits);
      const Bits value = static_cast<Bits>(move.values[row]);
      const bool empty = ((first ^ value) & move.entering & ~inside) != 0;
      if (empty || new_inside != 0) std::fill_n(out, 2 * block, T(0));
      if (!empty) {
        const Bits outcome = static_cast<Bits>(move.outcomes[row]);
        const Bits start = spread_around(without(first, move.entering), move.leaving) | outcome;
        const Places to{~(inside & ~new_inside), value & new_inside, value & new_inside};
        copy(source + 2 * (move.rows[row] << source_qubits), {move.leaving, outcome, start}, out, to, count, run,
             static_cast<T>(move.scales[row]));
      }
      watch.tick(0);
    }
  };
  const Index items = move.num_rows * blocks;
  const int threads =
      static_cast<int>(std::clamp<Index>((items << block_bits) / (thread_blocks << block_qubits), 1, runner.threads));
  parallel_for(threads, items, std::max<Index>(1, (thread_blocks << block_qubits) >> block_bits), runner.watch, task);
}

template void regroup(const Runner&, const Regrouping&, const float*, int, float*, int);
template void regroup(const Runner&, const Regrouping&, const double*, int, double*, int);

}  // namespace qsim::cpu
