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
  double sum[each];
  QSIM_UNROLL
  for (int k = 0; k < each; ++k) sum[k] = 0;
  for (u64 chunk = slice; chunk < read.num_chunks; chunk += read.num_slices) {
    const u64 start = (spread_around(chunk, high_mask) | base) << chunk_bits;
    QSIM_UNROLL
    for (int k = 0; k < each; ++k) {
      const u64 index = start + static_cast<u64>(k) * max_threads + threadIdx.x;
      if (index < read.num_amplitudes) sum[k] += weight_of(amps[index]);
    }
  }
  QSIM_UNROLL
  for (int k = 0; k < each; ++k) shared[k * max_threads + static_cast<int>(threadIdx.x)] = sum[k];
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

template <class T>
QSIM_DEVICE void overlap(const Complex<T>* ket, const void* program, u64 offset, double* result, double* shared) {
  const Overlap& read = *at<Overlap>(program, offset);
  const Complex<T>* bra = reinterpret_cast<const Complex<T>*>(read.bra);
  double re[max_signs], im[max_signs];
  QSIM_UNROLL
  for (int k = 0; k < max_signs; ++k) re[k] = 0, im[k] = 0;
  for (u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x; index < read.num_amplitudes;
       index += u64(gridDim.x) * blockDim.x) {
    if ((index & read.controls) != read.values) continue;
    const Complex<T> a = bra[index ^ read.x], b = ket[index];
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
  for (u64 index = slice * blockDim.x + threadIdx.x; index < read.num_amplitudes;
       index += u64(blockDim.x) << read.slice_bits) {
    if ((index & read.controls) != read.values) continue;
    const Complex<T> a = ket[index], b = bra[index ^ read.x];
    const u32 odd = static_cast<u32>(__popcll(index & read.z));
    sum += slope_of<double>(b.re, b.im, a.re, a.im, static_cast<u32>(read.num_y), odd);
  }
  sum = block_sum(sum, shared);
  double* result = reinterpret_cast<double*>(read.slopes);
  if (threadIdx.x == 0) result[(element << read.max_slice_bits | slice) * read.num_columns + read.column] = sum;
}

template <class T>
QSIM_DEVICE void add_pauli_terms(const Complex<T>* in, const void* program, u64 offset) {
  const PauliTermsSweep& sweep = *at<PauliTermsSweep>(program, offset);
  Complex<T>* out = reinterpret_cast<Complex<T>*>(sweep.out);
  for (u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x; index < sweep.num_amplitudes;
       index += u64(gridDim.x) * blockDim.x) {
    double re = 0, im = 0;
    QSIM_UNROLL
    for (int k = 0; k < max_signs; ++k) {
      if (k >= sweep.num_signs) continue;
      const u32 odd = static_cast<u32>(__popcll(index & sweep.z[k]));
      re += signed_by(odd, sweep.weight[k][0]);
      im += signed_by(odd, sweep.weight[k][1]);
    }
    const Complex<T> a = in[index ^ sweep.x];
    const double are = static_cast<double>(a.re), aim = static_cast<double>(a.im);
    out[index].re += static_cast<T>(re * are - im * aim);
    out[index].im += static_cast<T>(re * aim + im * are);
  }
}

// --- projections, density matrices
// -------------------------------------------------------------------------------------

template <class T>
QSIM_DEVICE void project(Complex<T>* amps, const void* program, u64 offset) {
  const Projection& step = *at<Projection>(program, offset);
  const T scale = static_cast<T>(step.scale);
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < step.num_items;
       item += u64(gridDim.x) * blockDim.x) {
    const bool kept = (item % step.num_amplitudes & step.mask) == step.values;
    const Complex<T> a = amps[item];
    amps[item] = kept ? Complex<T>{a.re * scale, a.im * scale} : Complex<T>{T(0), T(0)};
  }
}

// Qubits found in |1>, one bit of `mask` after the other on the host's side: amplitudes move to where the bit is 0.
template <class T>
QSIM_DEVICE void flip_down(Complex<T>* amps, const void* program, u64 offset) {
  const Projection& step = *at<Projection>(program, offset);
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < step.num_items >> 1;
       item += u64(gridDim.x) * blockDim.x) {
    const u64 low = spread_around(item, step.mask);
    amps[low] = amps[low | step.mask];
    amps[low | step.mask] = Complex<T>{T(0), T(0)};
  }
}

template <class T>
QSIM_DEVICE void regroup(Complex<T>* out, const void* program, u64 offset) {
  const Regrouping& move = *at<Regrouping>(program, offset);
  const Complex<T>* source = reinterpret_cast<const Complex<T>*>(move.source);
  const u64 *rows = at<u64>(program, move.rows), *outcomes = at<u64>(program, move.outcomes),
            *values = at<u64>(program, move.values);
  const double* scales = at<double>(program, move.scales);
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < move.num_items;
       item += u64(gridDim.x) * blockDim.x) {
    const u64 row = item / move.num_out, index = item % move.num_out;
    Complex<T> a{T(0), T(0)};
    if ((index & move.entering) == values[row]) {
      const u64 from = spread_around(close_up(index, move.entering), move.leaving) | outcomes[row];
      const T scale = static_cast<T>(scales[row]);
      a = source[rows[row] * move.num_in + from];
      a = Complex<T>{a.re * scale, a.im * scale};
    }
    out[item] = a;
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
  const Reduced& read = *at<Reduced>(program, offset);
  const u64 size = u64(1) << read.num_targets, row = blockIdx.x >> read.num_targets, column = blockIdx.x & (size - 1);
  if (row > column) return;
  u64 left = 0, right = 0;
  for (int t = 0; t < read.num_targets; ++t) {
    left |= (row >> t & 1) << read.targets[t];
    right |= (column >> t & 1) << read.targets[t];
  }
  double re = 0, im = 0;
  for (u64 rest = threadIdx.x; rest < read.num_amplitudes >> read.num_targets; rest += blockDim.x) {
    const u64 base = spread_around(rest, read.fixed);
    const Complex<T> a = amps[base | left], b = amps[base | right];
    re += static_cast<double>(a.re) * b.re + static_cast<double>(a.im) * b.im;
    im += static_cast<double>(a.im) * b.re - static_cast<double>(a.re) * b.im;
  }
  re = block_sum(re, shared);
  im = block_sum(im, shared);
  if (threadIdx.x != 0) return;
  result[2 * (row * size + column)] = re;
  result[2 * (row * size + column) + 1] = im;
  if (row == column) return;
  result[2 * (column * size + row)] = re;
  result[2 * (column * size + row) + 1] = -im;
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
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < step.num_items;
       item += u64(gridDim.x) * blockDim.x) {
    double c, s;
    cos_sin(step.angle * costs[item], c, s);
    const Complex<T> a = amps[item];
    const double re = static_cast<double>(a.re), im = static_cast<double>(a.im);
    amps[item] = Complex<T>{static_cast<T>(c * re + s * im), static_cast<T>(c * im - s * re)};
  }
}

template <class T>
QSIM_DEVICE void weigh_costs(const Complex<T>* amps, const void* program, u64 offset, double* result, double* shared) {
  const Costs& step = *at<Costs>(program, offset);
  const double* costs = reinterpret_cast<const double*>(step.costs);
  double sum = 0;
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < step.num_items;
       item += u64(gridDim.x) * blockDim.x)
    sum += costs[item] * weight_of(amps[item]);
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
  for (int k = 0; k < each; ++k) {
    const u64 index = start + threadIdx.x * each + static_cast<u64>(k);
    sum += index < read.num_amplitudes ? weight_of(amps[index]) : 0.0;
    own[k] = sum;
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
  for (u64 item = u64(blockIdx.x) * blockDim.x + threadIdx.x; item < step.num_items;
       item += u64(gridDim.x) * blockDim.x)
    amps[item] = Complex<T>{item % step.num_amplitudes == 0 ? T(1) : T(0), T(0)};
}

}  // namespace cuda
}  // namespace qsim
