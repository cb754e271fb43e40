// Expectation values of many Pauli strings: a sum costs passes over pairs of amplitudes per X mask, not per string.
#pragma once

#include <vector>

#include "executor.hpp"
#include "pauli_kernels.hpp"

namespace qsim::cpu {

struct PauliString {
  Bits x, z;
};

// What to do for a list of strings on states of a number of qubits; serves any state.
class PauliPlan {
 public:
  PauliPlan(const cpu::KernelTable& table, const std::vector<PauliString>& strings, int num_qubits);

  // result[b][s] = <P_s> of state b, in f64 whatever T, the same for any number of threads.
  template <class T>
  void expectations(const Runner& runner, const T* amps, Index batch, double* result) const;

 private:
  // Groups whose X masks have the same bits above a block.
  struct Step {
    Bits x_block;
    Index first_group, last_group;
  };

  struct Worker;

  [[nodiscard]] int add_node(int bits, std::size_t first, std::size_t last);
  [[nodiscard]] Index num_strings() const { return static_cast<Index>(order_.size()); }
  [[nodiscard]] Index num_groups() const { return static_cast<Index>(groups_.size()); }
  template <class T>
  void add_block(const T* state, Bits block, std::size_t first, std::size_t last, Worker& worker, double* sums) const;
  template <class T>
  void one_state(const Runner& runner, const T* state, double* result) const;
  void finish(const double* sums, double* result) const;

  int given_qubits_, num_qubits_, block_bits_, lane_bits_;
  const pauli::KernelTable& kernels_;
  std::vector<PauliString> sorted_;
  std::vector<std::size_t> order_;  // place of each sorted string in the list given
  std::vector<double> factors_;     // from sums to expectation values
  std::vector<Bits> z_high_;
  std::vector<pauli::Output> outputs_;
  std::vector<pauli::Node> nodes_;
  std::vector<pauli::Group> groups_;
  std::vector<Step> steps_;
};

}  // namespace qsim::cpu
