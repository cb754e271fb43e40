#define QSIM_ISA avx2
#define QSIM_VECTOR_BYTES 32
#include "kernels_impl.hpp"
