// Every kernel that reads amplitudes, and the few that write them without being an operation. No includes beyond ours.
#pragma once

#include "kernels.cuh"

namespace qsim {
namespace cuda {

template <class T>
QSIM_DEVICE double weight_of(const Complex<T>& a) {
  return static_cast<double>(a.re) * static_cast<double>(a.re) + static_cast<double>(a.im) * static_cast<double>(a.im);
}

// The bits of `value` at the places of `mask`, lowest first.
QSIM_DEVICE inline u64 deposit(u64 value, u64 mask) {
  u64 result = 0;
  for (u64 rest = mask; rest != 0; rest &= rest - 1, value >>= 1)
    if (value & 1) result |= rest & (~rest + 1);
  return result;
}

QSIM_DEVICE inline u64 extract(u64 value, u64 mask) {
  u64 result = 0;
  int place = 0;
  for (u64 rest = mask; rest != 0; rest &= rest - 1, ++place)
    if (value & rest & (~rest + 1)) result |= u64(1) << place;
  return result;
}

// Take the bits of `fixed` out of an index and close the gaps, highest first: undoes spread_around.
QSIM_DEVICE inline u64 close_up(u64 index, u64 fixed) {
  while (fixed != 0) {
    const u64 bit = u64(1) << (63 - __clzll(static_cast<long long>(fixed)));
    index = (index >> 1 & ~(bit - 1)) | (index & (bit - 1));
    fixed ^= bit;
  }
  return index;
}

// --- probabilities
// -------------------------------------------------------------------------------------------------------

template <class T>
QSIM_DEVICE void marginal(const Complex<T>* amps, const void* program, u64 offset, double* result, double* shared) {
  constexpr int size = 1 << chunk_bits, each = size / max_threads;
  const Marginal& read = *at<Marginal>(program, offset);
  const u64 high_mask = read.measured >> chunk_bits, low_mask = read.measured & (size - 1);
  const u64 outcome = blockIdx.x & ((u64(1) << read.num_high) - 1), slice = blockIdx.x >> read.num_high;
  const u64 base = deposit(outcome, high_mask);
  constexpr int pack = pack_size<T>;
  double sum[each];
  QSIM_UNROLL
  for (int k = 0; k < each; ++k) sum[k] = 0;
  for (u64 chunk = slice; chunk < read.num_chunks; chunk += read.num_slices) {
    const u64 start = (spread_around(chunk, high_mask) | base) << chunk_bits;
    QSIM_UNROLL
    for (int k = 0; k < each; k += pack) {
      const u64 index = start + (static_cast<u64>(k / pack) * max_threads + threadIdx.x) * pack;
      if (index >= read.num_amplitudes) continue;
      const Pack<T> values = load_some<T>(amps + index, read.num_amplitudes - index);
      QSIM_UNROLL
      for (int m = 0; m < pack; ++m) sum[k + m] += weight_of(values.amp[m]);
    }
  }
  QSIM_UNROLL
  for (int k = 0; k < each; ++k)
    shared[(k / pack * max_threads + static_cast<int>(threadIdx.x)) * pack + k % pack] = sum[k];
  // Fold the low qubits that are not measured, one after the other: the kept half moves to the lower places.
  u32 rest = static_cast<u32>(~low_mask & (size - 1));
  u32 length = size;
  for (int bit = chunk_bits - 1; bit >= 0; --bit) {
    if (!(rest >> bit & 1)) continue;
    length >>= 1;
    double folded[each / 2];  // no more is left after the first fold
    __syncthreads();
    QSIM_UNROLL
    for (int k = 0; k < each / 2; ++k) {
      const u32 item = static_cast<u32>(k) * max_threads + threadIdx.x;
      if (item >= length) continue;
      const u32 low = (1u << bit) - 1, left = (item & ~low) << 1 | (item & low);
      folded[k] = shared[left] + shared[left | (1u << bit)];
    }
    __syncthreads();
    QSIM_UNROLL
    for (int k = 0; k < each / 2; ++k) {
      const u32 item = static_cast<u32>(k) * max_threads + threadIdx.x;
      if (item < length) shared[item] = folded[k];
    }
  }
  __syncthreads();
  double* row = result + ((slice << read.num_high | outcome) << read.num_low);
  for (u32 item = threadIdx.x; item < length; item += max_threads) row[item] = shared[item];
}

// --- Pauli strings
// -------------------------------------------------------------------------------------------------------

// The sum over a block in a fixed order: lanes by a butterfly, then warps one after the other.
QSIM_DEVICE inline double block_sum(double value, double* shared) {
  for (int lane = 16; lane > 0; lane >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lane);
  __syncthreads();
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = value;
  __syncthreads();
  double total = 0;
  for (u32 warp = 0; warp < blockDim.x >> 5; ++warp) total += shared[warp];
  return total;
}

// The amplitudes at index ^ x of a pack of indices from `first` on.
template <class T>
QSIM_DEVICE Pack<T> load_partners(const Complex<T>* amps, u64 first, u64 x, u64 have) {
  constexpr int last = pack_size<T> - 1;
  const Pack<T> values = load_some<T>(amps + ((first ^ x) & ~static_cast<u64>(last)), have);
  if (last == 0 || (x & 1) == 0) return values;
  Pack<T> crossed;
  QSIM_UNROLL
  for (int m = 0; m <= last; ++m) crossed.amp[m] = values.amp[last - m];
  return crossed;
}

template <class T>
QSIM_DEVICE void overlap(const Complex<T>* ket, const void* program, u64 offset, double* result, double* shared) {
  const Overlap& read = *at<Overlap>(program, offset);
  const Complex<T>* bra = reinterpret_cast<const Complex<T>*>(read.bra);
  double re[max_signs], im[max_signs];
  QSIM_UNROLL
  for (int k = 0; k < max_signs; ++k) re[k] = 0, im[k] = 0;
  const u64 step = step_of<T>(read.num_amplitudes);
  for (u64 first = first_item(step); first < read.num_amplitudes; first += stride_of(step)) {
    const Pack<T> left = load_partners<T>(bra, first, read.x, step), right = load_some<T>(ket + first, step);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      const u64 index = first + static_cast<u64>(m);
      if ((index & read.controls) != read.values) continue;
      const Complex<T> a = left.amp[m], b = right.amp[m];
      const double are = static_cast<double>(a.re), aim = static_cast<double>(a.im);
      const double bre = static_cast<double>(b.re), bim = static_cast<double>(b.im);
      const double pre = are * bre + aim * bim, pim = are * bim - aim * bre;
      QSIM_UNROLL
      for (int k = 0; k < max_signs; ++k) {
        if (k >= read.num_signs) continue;
        const u32 odd = static_cast<u32>(__popcll(index & read.z[k]));
        re[k] += signed_by(odd, pre);
        im[k] += signed_by(odd, pim);
      }
    }
  }
  QSIM_UNROLL
  for (int k = 0; k < max_signs; ++k) {
    if (k >= read.num_signs) continue;
    const double sum_re = block_sum(re[k], shared), sum_im = block_sum(im[k], shared);
    if (threadIdx.x == 0) {
      result[2 * (u64(blockIdx.x) * max_signs + k)] = sum_re;
      result[2 * (u64(blockIdx.x) * max_signs + k) + 1] = sum_im;
    }
  }
}

template <class T>
QSIM_DEVICE void slope_sweep(const Complex<T>* amps, const void* program, u64 offset, double* shared) {
  const SlopeSweep& read = *at<SlopeSweep>(program, offset);
  const u64 element = blockIdx.x >> read.slice_bits, slice = blockIdx.x & ((u64(1) << read.slice_bits) - 1);
  const Complex<T>* ket = amps + element * read.num_amplitudes;
  const Complex<T>* bra = reinterpret_cast<const Complex<T>*>(read.second) + element * read.num_amplitudes;
  double sum = 0;
  const u64 step = step_of<T>(read.num_amplitudes);
  for (u64 first = (slice * blockDim.x + threadIdx.x) * step; first < read.num_amplitudes;
       first += (u64(blockDim.x) << read.slice_bits) * step) {
    const Pack<T> left = load_partners<T>(bra, first, read.x, step), right = load_some<T>(ket + first, step);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      const u64 index = first + static_cast<u64>(m);
      if ((index & read.controls) != read.values) continue;
      const Complex<T> a = right.amp[m], b = left.amp[m];
      const u32 odd = static_cast<u32>(__popcll(index & read.z));
      sum += slope_of<double>(b.re, b.im, a.re, a.im, static_cast<u32>(read.num_y), odd);
    }
  }
  sum = block_sum(sum, shared);
  double* result = reinterpret_cast<double*>(read.slopes);
  if (threadIdx.x == 0) result[(element << read.max_slice_bits | slice) * read.num_columns + read.column] = sum;
}

template <class T>
QSIM_DEVICE void add_pauli_terms(const Complex<T>* in, const void* program, u64 offset) {
  const PauliTermsSweep& sweep = *at<PauliTermsSweep>(program, offset);
  Complex<T>* out = reinterpret_cast<Complex<T>*>(sweep.out);
  const u64 step = step_of<T>(sweep.num_amplitudes);
  for (u64 first = first_item(step); first < sweep.num_amplitudes; first += stride_of(step)) {
    const Pack<T> from = load_partners<T>(in, first, sweep.x, step);
    Pack<T> to = load_some<T>(out + first, step);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      double re = 0, im = 0;
      QSIM_UNROLL
      for (int k = 0; k < max_signs; ++k) {
        if (k >= sweep.num_signs) continue;
        const u32 odd = static_cast<u32>(__popcll((first + static_cast<u64>(m)) & sweep.z[k]));
        re += signed_by(odd, sweep.weight[k][0]);
        im += signed_by(odd, sweep.weight[k][1]);
      }
      const double are = static_cast<double>(from.amp[m].re), aim = static_cast<double>(from.amp[m].im);
      to.amp[m].re += static_cast<T>(re * are - im * aim);
      to.amp[m].im += static_cast<T>(re * aim + im * are);
    }
    store_some<T>(out + first, to, step);
  }
}

// --- projections, density matrices
// -------------------------------------------------------------------------------------

template <class T>
QSIM_DEVICE void project(Complex<T>* amps, const void* program, u64 offset) {
  const Projection& step = *at<Projection>(program, offset);
  const T scale = static_cast<T>(step.scale);
  const u64 each = step_of<T>(step.num_amplitudes);
  for (u64 item = first_item(each); item < step.num_items; item += stride_of(each)) {
    Pack<T> values = load_some<T>(amps + item, each);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      const bool kept = ((item + static_cast<u64>(m)) % step.num_amplitudes & step.mask) == step.values;
      const Complex<T> a = values.amp[m];
      values.amp[m] = kept ? Complex<T>{a.re * scale, a.im * scale} : Complex<T>{T(0), T(0)};
    }
    store_some<T>(amps + item, values, each);
  }
}

// Qubits found in |1>, one bit of `mask` after the other on the host's side: amplitudes move to where the bit is 0.
template <class T>
QSIM_DEVICE void flip_down(Complex<T>* amps, const void* program, u64 offset) {
  const Projection& step = *at<Projection>(program, offset);
  constexpr int pack = pack_size<T>;
  const bool inside = pack == 2 && step.mask == 1;  // both amplitudes of a pair lie in one pack
  const u64 each = inside ? 1 : pack;
  Pack<T> zero;
  QSIM_UNROLL
  for (int m = 0; m < pack; ++m) zero.amp[m] = Complex<T>{T(0), T(0)};
  for (u64 item = first_item(each); item < step.num_items >> 1; item += stride_of(each)) {
    const u64 low = spread_around(item, step.mask);
    Pack<T> moved = load_pack<T>(amps + (inside ? low : low | step.mask));
    if (inside) {
      moved.amp[0] = moved.amp[pack - 1];
      moved.amp[pack - 1] = zero.amp[0];
    } else {
      store_pack<T>(amps + (low | step.mask), zero);
    }
    store_pack<T>(amps + low, moved);
  }
}

// Where an amplitude of a target row comes from in its source row.
QSIM_DEVICE inline u64 origin(const Regrouping& move, u64 index, u64 outcome) {
  return spread_around(close_up(index, move.entering), move.leaving) | outcome;
}

template <class T>
QSIM_DEVICE void regroup(Complex<T>* out, const void* program, u64 offset) {
  const Regrouping& move = *at<Regrouping>(program, offset);
  const Complex<T>* source = reinterpret_cast<const Complex<T>*>(move.source);
  const u64 *rows = at<u64>(program, move.rows), *outcomes = at<u64>(program, move.outcomes),
            *values_of = at<u64>(program, move.values);
  const double* scales = at<double>(program, move.scales);
  // Where qubit 0 stays, what is side by side comes from side by side; elsewhere loads are single.
  const u64 each = step_of<T>(move.num_out);
  const bool beside = ((move.leaving | move.entering) & 1) == 0 && each == static_cast<u64>(pack_size<T>);
  for (u64 item = first_item(each); item < move.num_items; item += stride_of(each)) {
    const u64 row = item / move.num_out, first = item % move.num_out;
    const Complex<T>* from = source + rows[row] * move.num_in;
    const T scale = static_cast<T>(scales[row]);
    Pack<T> values;
    if (beside) values = load_pack<T>(from + origin(move, first, outcomes[row]));
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      const u64 index = first + static_cast<u64>(m);
      const bool known = (index & move.entering) == values_of[row] && index < move.num_out;
      if (known && !beside) values.amp[m] = from[origin(move, index, outcomes[row])];
      const Complex<T> a = values.amp[m];
      values.amp[m] = known ? Complex<T>{a.re * scale, a.im * scale} : Complex<T>{T(0), T(0)};
    }
    store_some<T>(out + item, values, each);
  }
}

template <class T>
QSIM_DEVICE void gather(const Complex<T>* amps, const void* program, u64 offset, Complex<T>* result) {
  const Gather& read = *at<Gather>(program, offset);
  const u64* indices = at<u64>(program, read.indices);
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < read.num_items;
       item += u64(gridDim.x) * blockDim.x)
    result[item] = amps[item / read.num_indices * read.num_amplitudes + indices[item % read.num_indices]];
}

template <class T>
QSIM_DEVICE void reduce_density(const Complex<T>* amps, const void* program, u64 offset, double* result,
                                double* shared) {
  constexpr u64 low = pack_size<T> - 1;  // bits of an index inside a pack
  const Reduced& read = *at<Reduced>(program, offset);
  const u64 size = u64(1) << read.num_targets, entry = blockIdx.x & (size * size - 1);
  const u64 row = entry >> read.num_targets, column = entry & (size - 1), slice = blockIdx.x >> 2 * read.num_targets;
  if (row > column) return;
  u64 left = 0, right = 0;
  for (int t = 0; t < read.num_targets; ++t) {
    left |= (row >> t & 1) << read.targets[t];
    right |= (column >> t & 1) << read.targets[t];
  }
  // Packs are of the qubits traced out where qubit 0 is one of them, else one amplitude of a pack counts.
  const bool inside = (read.fixed & low) != 0;
  const u64 have = step_of<T>(read.num_amplitudes);
  const u64 num_packs = (read.num_amplitudes >> read.num_targets) / (inside ? 1 : have);
  double re = 0, im = 0;
  for (u64 rest = slice * blockDim.x + threadIdx.x; rest < num_packs; rest += u64(blockDim.x) << read.slice_bits) {
    const u64 base = spread_around(rest * (inside ? 1 : have), read.fixed);
    const Pack<T> from = load_some<T>(amps + ((base | left) & ~low), have);
    const Pack<T> to = load_some<T>(amps + ((base | right) & ~low), have);
    QSIM_UNROLL
    for (u64 m = 0; m <= low; ++m) {
      if (inside && m != 0) continue;
      const Complex<T> a = (inside ? left & low : m) == 0 ? from.amp[0] : from.amp[low];
      const Complex<T> b = (inside ? right & low : m) == 0 ? to.amp[0] : to.amp[low];
      re += static_cast<double>(a.re) * b.re + static_cast<double>(a.im) * b.im;
      im += static_cast<double>(a.im) * b.re - static_cast<double>(a.re) * b.im;
    }
  }
  re = block_sum(re, shared);
  im = block_sum(im, shared);
  if (threadIdx.x != 0) return;
  double* matrix = result + 2 * slice * size * size;
  matrix[2 * (row * size + column)] = re;
  matrix[2 * (row * size + column) + 1] = im;
  if (row == column) return;
  matrix[2 * (column * size + row)] = re;
  matrix[2 * (column * size + row) + 1] = -im;
}

// --- costs of basis states
// -------------------------------------------------------------------------------------------------

// cos and sin in double precision, for any argument whose own rounding leaves an angle: quarter turns are taken off in
// three steps (Cody and Waite), then come the series, to the last bit that counts below pi / 4.
QSIM_DEVICE inline void cos_sin(double angle, double& c, double& s) {
  constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double turns = angle * 0.63661977236758134308 + shift;
  const double quarter = turns - shift;
  double r = fma(-quarter, 1.5707963267341256142, angle);
  r = fma(-quarter, 6.0771005063039659500e-11, r);
  r = fma(-quarter, 2.0222662487959505992e-21, r);
  const double x = r * r;
  double sine = -1.0 / 1307674368000.0, cosine = 1.0 / 20922789888000.0;
  constexpr double odd[] = {1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0,
                            -1.0 / 5040.0,      1.0 / 120.0,       -1.0 / 6.0};
  constexpr double even[] = {
      -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5};
  QSIM_UNROLL
  for (int k = 0; k < 6; ++k) sine = fma(sine, x, odd[k]);
  QSIM_UNROLL
  for (int k = 0; k < 7; ++k) cosine = fma(cosine, x, even[k]);
  sine = fma(sine * x, r, r);
  cosine = fma(cosine, x, 1.0);
  const u32 place = static_cast<u32>(static_cast<long long>(quarter)) & 3;
  c = place & 1 ? sine : cosine;
  s = place & 1 ? cosine : sine;
  if (place == 1 || place == 2) c = -c;
  if (place >= 2) s = -s;
}

template <class T>
QSIM_DEVICE void turn(Complex<T>* amps, const void* program, u64 offset) {
  const Costs& step = *at<Costs>(program, offset);
  const double* costs = reinterpret_cast<const double*>(step.costs);
  const u64 each = step_of<T>(step.num_items);
  for (u64 item = first_item(each); item < step.num_items; item += stride_of(each)) {
    Pack<T> values = load_some<T>(amps + item, each);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      if (static_cast<u64>(m) >= each) continue;
      double c, s;
      cos_sin(step.angle * costs[item + static_cast<u64>(m)], c, s);
      const double re = static_cast<double>(values.amp[m].re), im = static_cast<double>(values.amp[m].im);
      values.amp[m] = Complex<T>{static_cast<T>(c * re + s * im), static_cast<T>(c * im - s * re)};
    }
    store_some<T>(amps + item, values, each);
  }
}

template <class T>
QSIM_DEVICE void weigh_costs(const Complex<T>* amps, const void* program, u64 offset, double* result, double* shared) {
  const Costs& step = *at<Costs>(program, offset);
  const double* costs = reinterpret_cast<const double*>(step.costs);
  double sum = 0;
  const u64 each = step_of<T>(step.num_items);
  for (u64 item = first_item(each); item < step.num_items; item += stride_of(each)) {
    const Pack<T> values = load_some<T>(amps + item, each);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m)
      if (static_cast<u64>(m) < each) sum += costs[item + static_cast<u64>(m)] * weight_of(values.amp[m]);
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) result[blockIdx.x] = sum;
}

// --- sampling
// ------------------------------------------------------------------------------------------------------------

template <class T>
QSIM_DEVICE void sample_chunks(const Complex<T>* amps, const void* program, u64 offset, long long* result,
                               double* shared) {
  constexpr int size = 1 << chunk_bits, each = size / max_threads;
  const Sampling& read = *at<Sampling>(program, offset);
  const Visit& visit = at<Visit>(program, read.visits)[blockIdx.x];
  const double* targets = at<double>(program, read.targets);
  const u64 start = visit.chunk << chunk_bits;
  // Cumulative sums: of a thread's neighbours first, then of the threads before it.
  double sum = 0, own[each];
  QSIM_UNROLL
  for (int k = 0; k < each; k += pack_size<T>) {
    const u64 index = start + threadIdx.x * each + static_cast<u64>(k);
    const u64 have = index < read.num_amplitudes ? read.num_amplitudes - index : 0;
    const Pack<T> values = load_some<T>(amps + index, have);
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) {
      sum += weight_of(values.amp[m]);
      own[k + m] = sum;
    }
  }
  double* totals = shared + size;
  totals[threadIdx.x] = sum;
  __syncthreads();
  for (u32 step = 1; step < max_threads; step <<= 1) {
    const double before = threadIdx.x >= step ? totals[threadIdx.x - step] : 0.0;
    __syncthreads();
    totals[threadIdx.x] += before;
    __syncthreads();
  }
  const double before = threadIdx.x > 0 ? totals[threadIdx.x - 1] : 0.0;
  QSIM_UNROLL
  for (int k = 0; k < each; ++k) shared[threadIdx.x * each + static_cast<u32>(k)] = before + own[k];
  __syncthreads();
  const double last = shared[size - 1];
  for (u64 shot = visit.first + threadIdx.x; shot < visit.last; shot += blockDim.x) {
    // The first place whose cumulative sum exceeds the target; rounding may ask for more than there is, and then the
    // last place that has any weight is the one.
    const double target = targets[shot];
    const bool beyond = !(target < last);
    u32 low = 0, high = size - 1;
    while (low < high) {
      const u32 middle = (low + high) / 2;
      if (beyond ? shared[middle] >= last : shared[middle] > target) high = middle;
      else low = middle + 1;
    }
    result[shot] = static_cast<long long>(start + low);
  }
}

template <class T>
QSIM_DEVICE void fill_zero_state(Complex<T>* amps, const void* program, u64 offset) {
  const Projection& step = *at<Projection>(program, offset);
  const u64 each = step_of<T>(step.num_amplitudes);
  for (u64 item = first_item(each); item < step.num_items; item += stride_of(each)) {
    Pack<T> values;
    QSIM_UNROLL
    for (int m = 0; m < pack_size<T>; ++m) values.amp[m] = Complex<T>{T(0), T(0)};
    if (item % step.num_amplitudes == 0) values.amp[0].re = T(1);
    store_some<T>(amps + item, values, each);
  }
}

}  // namespace cuda
}  // namespace qsim
