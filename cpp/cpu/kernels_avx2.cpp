#define QSIM_ISA avx2
#define QSIM_VECTOR_BYTES 32
#include "kernels_impl.hpp"

#include "batch_kernels_impl.hpp"
#include "pauli_kernels_impl.hpp"
#include "tile_kernels_impl.hpp"
