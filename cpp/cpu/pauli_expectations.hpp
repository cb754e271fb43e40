// Expectation values of many Pauli strings: a sum costs passes over pairs of amplitudes per X mask, not per string.
#pragma once

#include <vector>

#include "pauli_blocks.hpp"
#include "pauli_kernels.hpp"

namespace qsim::cpu {

// What to do for a list of strings on states of a number of qubits; serves any state.
class PauliPlan {
 public:
  PauliPlan(const cpu::KernelTable& table, const std::vector<PauliString>& strings, int num_qubits);

  // result[b][s] = <P_s> of state b, in f64 whatever T, the same for any number of threads.
  template <class T>
  void expectations(const Runner& runner, const T* amps, Index batch, double* result) const;

 private:
  class Worker;

  [[nodiscard]] pauli::Branch branch(const std::vector<PauliString>& strings, int number, int bits, std::size_t first,
                                     std::size_t last);
  [[nodiscard]] Bits vector_z(const PauliString& string, int bits) const;
  [[nodiscard]] Bits lane_z(const PauliString& string) const;
  [[nodiscard]] std::size_t num_strings() const { return blocks_.order.size(); }
  template <class T>
  void add_block(const T* state, Bits block, std::size_t first, std::size_t last, Worker& worker, double* sums) const;
  template <class T>
  void one_state(const Runner& runner, const T* state, double* result) const;
  void finish(const double* sums, double* result) const;

  int given_qubits_, num_qubits_, block_bits_, lane_bits_;
  const pauli::KernelTable& kernels_;
  PauliBlocks blocks_;
  // All per string are in the order of `blocks_`.
  std::vector<double> factors_;  // from sums to expectation values
  std::vector<Bits> z_high_;
  std::vector<pauli::Output> outputs_;
  std::vector<pauli::Branch> branches_;
  std::vector<pauli::Node> nodes_;
  std::vector<pauli::Group> groups_;
};

}  // namespace qsim::cpu
