#define QSIM_ISA generic
#define QSIM_VECTOR_BYTES 16
#include "kernels_impl.hpp"

#include "batch_kernels_impl.hpp"
#include "pauli_kernels_impl.hpp"
#include "tile_kernels_impl.hpp"
