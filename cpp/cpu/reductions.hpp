// Sums over a state, in double precision, over a tree of blocks that depends on the number of qubits only.
#pragma once

#include <complex>
#include <vector>

#include "executor.hpp"

namespace qsim::cpu {

template <class T>
double norm(const Runner& runner, const T* amps, int num_qubits);

// <bra|P|ket> with X on x, Z on z, Y on both.
template <class T>
std::complex<double> pauli_overlap(const Runner& runner, const T* bra, const T* ket, int num_qubits, Bits x, Bits z);

// result[o], o < 2^m: probability that measuring `qubits` gives bit k of o on qubits[k].
template <class T>
void probabilities(const Runner& runner, const T* amps, int num_qubits, const std::vector<int>& qubits, double* result);

}  // namespace qsim::cpu
