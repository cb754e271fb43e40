#define QSIM_ISA avx512
#define QSIM_VECTOR_BYTES 64
#include "kernels_impl.hpp"

#include "batch_kernels_impl.hpp"
#include "pauli_kernels_impl.hpp"
#include "tile_kernels_impl.hpp"
