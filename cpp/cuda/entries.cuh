// The kernels by name: one per precision and width. Compiled whole by nvcc and NVRTC.
#pragma once

#ifndef QSIM_SHIM
#define QSIM_DEVICE __device__
#define QSIM_KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)  // threads, blocks held at once
#define QSIM_SHARED(type, name)                   \
  extern __shared__ __align__(16) char name##_[]; \
  type* name = reinterpret_cast<type*>(name##_)
#define QSIM_KEEP_IN_LOOP asm volatile("" ::: "memory")
#define QSIM_HIDE(value) asm volatile("" : "+r"(value))  // from here on the compiler does not know it
#endif

#include "readers.cuh"

namespace qsim {
namespace cuda {

#define QSIM_PRECISION(T, suffix)                                                                      \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_tile_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {         \
    QSIM_SHARED(Complex<T>, shared);                                                                   \
    tile_pass<T>(amps, program, offset, shared);                                                       \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_pauli_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {        \
    pauli_sweep<T>(amps, program, offset);                                                             \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_permute_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {      \
    QSIM_SHARED(Complex<T>, shared);                                                                   \
    permute_sweep<T>(amps, program, offset, shared);                                                   \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_wide_dense_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {   \
    QSIM_SHARED(Complex<T>, shared);                                                                   \
    wide_dense_sweep<T>(amps, program, offset, shared);                                                \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_initialize_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {   \
    initialize_sweep<T>(amps, program, offset);                                                        \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_copy_out_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) {     \
    copy_out<T>(amps, program, offset, scratch);                                                       \
  }                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                             \
  qsim_permute_back_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) { \
    permute_back<T>(amps, program, offset, scratch);                                                   \
  }

#define QSIM_READERS(T, suffix)                                                                                        \
  QSIM_KERNEL(max_threads) qsim_marginal_##suffix(Complex<T>* amps, const void* program, u64 offset, double* result) { \
    QSIM_SHARED(double, shared);                                                                                       \
    marginal<T>(amps, program, offset, result, shared);                                                                \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads, 3)                                                                                          \
  qsim_overlap_##suffix(Complex<T>* amps, const void* program, u64 offset, double* result) {                           \
    QSIM_SHARED(double, shared);                                                                                       \
    overlap<T>(amps, program, offset, result, shared);                                                                 \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                                             \
  qsim_reduce_density_##suffix(Complex<T>* amps, const void* program, u64 offset, double* result) {                    \
    QSIM_SHARED(double, shared);                                                                                       \
    reduce_density<T>(amps, program, offset, result, shared);                                                          \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                                             \
  qsim_sample_##suffix(Complex<T>* amps, const void* program, u64 offset, long long* result) {                         \
    QSIM_SHARED(double, shared);                                                                                       \
    sample_chunks<T>(amps, program, offset, result, shared);                                                           \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_slope_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {             \
    QSIM_SHARED(double, shared);                                                                                       \
    slope_sweep<T>(amps, program, offset, shared);                                                                     \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_turn_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {              \
    turn<T>(amps, program, offset);                                                                                    \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                                             \
  qsim_weigh_costs_##suffix(Complex<T>* amps, const void* program, u64 offset, double* result) {                       \
    QSIM_SHARED(double, shared);                                                                                       \
    weigh_costs<T>(amps, program, offset, result, shared);                                                             \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_add_pauli_terms_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {   \
    add_pauli_terms<T>(amps, program, offset);                                                                         \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_project_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {           \
    project<T>(amps, program, offset);                                                                                 \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_flip_down_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {         \
    flip_down<T>(amps, program, offset);                                                                               \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_regroup_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {           \
    regroup<T>(amps, program, offset);                                                                                 \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads)                                                                                             \
  qsim_gather_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* result) {                        \
    gather<T>(amps, program, offset, result);                                                                          \
  }                                                                                                                    \
  QSIM_KERNEL(max_threads) qsim_fill_zero_state_##suffix(Complex<T>* amps, const void* program, u64 offset, void*) {   \
    fill_zero_state<T>(amps, program, offset);                                                                         \
  }

#define QSIM_DENSE(T, suffix, k, threads)                                                            \
  QSIM_KERNEL(threads)                                                                               \
  qsim_dense##k##_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) { \
    QSIM_SHARED(T, matrix);                                                                          \
    dense_sweep<T, k, false>(amps, program, offset, matrix);                                         \
  }
#define QSIM_DENSE_PAIRED(T, suffix, k, threads)                                                            \
  QSIM_KERNEL(threads)                                                                                      \
  qsim_dense##k##_paired_##suffix(Complex<T>* amps, const void* program, u64 offset, Complex<T>* scratch) { \
    QSIM_SHARED(T, matrix);                                                                                 \
    dense_sweep<T, k, true>(amps, program, offset, matrix);                                                 \
  }

QSIM_PRECISION(float, f32)
QSIM_PRECISION(double, f64)
QSIM_READERS(float, f32)
QSIM_READERS(double, f64)
QSIM_DENSE(float, f32, 1, 256)
QSIM_DENSE(float, f32, 2, 256)
QSIM_DENSE(float, f32, 3, 256)
QSIM_DENSE(float, f32, 4, 256)
QSIM_DENSE(float, f32, 5, 128)
QSIM_DENSE_PAIRED(float, f32, 1, 256)
QSIM_DENSE_PAIRED(float, f32, 2, 256)
QSIM_DENSE_PAIRED(float, f32, 3, 256)
QSIM_DENSE_PAIRED(float, f32, 4, 256)
QSIM_DENSE_PAIRED(float, f32, 5, 256)
QSIM_DENSE(double, f64, 1, 256)
QSIM_DENSE(double, f64, 2, 256)
QSIM_DENSE(double, f64, 3, 256)
QSIM_DENSE(double, f64, 4, 256)
QSIM_DENSE(double, f64, 5, 128)

}  // namespace cuda
}  // namespace qsim
