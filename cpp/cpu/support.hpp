// What is known of a state that began as |0...0>: Pauli strings that leave it as it is. They tell which basis states
// can have an amplitude: an affine subspace, as small as two states for GHZ. Exact for Clifford operations, of which it
// is a simulation by stabilizers (Gottesman, quant-ph/9807006); any other operation drops the strings it might not
// preserve.
#pragma once

#include <vector>

#include "qsim/ops.hpp"

namespace qsim::cpu {

class Support {
 public:
  // Of |0...0>.
  explicit Support(int num_qubits);

  // The state after an operation.
  void apply(const Op& op, double angle, const Operand* operand);

  // The state before an operation.
  void undo(const Op& op, double angle, const Operand* operand);

  // Basis states x can have an amplitude only if parity(x & mask) is `odd` for every row. A pivot, the only bit of its
  // row outside `others`, is in no other row. Only rows within `qubits`, but all that follow for these.
  struct Parity {
    Bits others;
    Bits pivot;
    bool odd;
    friend bool operator==(const Parity& a, const Parity& b) {
      return a.others == b.others && a.pivot == b.pivot && a.odd == b.odd;
    }
  };
  [[nodiscard]] std::vector<Parity> parities(Bits qubits);

 private:
  struct Pauli {  // +-i^|x & z| X^x Z^z
    Bits x, z;
    bool negative;
  };
  struct Factor {  // (1 - P) / 2
    Bits x, z;
    bool negative;
  };
  static bool commute(const Pauli& a, const Pauli& b);
  static Pauli product(const Pauli& a, const Pauli& b, int phase);
  void eliminate(Bits last);
  int known(int qubit);
  bool controls(const Op& op, std::vector<Factor>& factors);
  void rotate(const Pauli& pauli, int quarter_turns);
  void forget(const Pauli& pauli);
  void forget_qubits(const Op& op, const std::vector<Factor>& factors);
  void project(const std::vector<Factor>& factors, double angle);
  void turn(const Pauli& pauli, double angle);
  void flip(int target, std::vector<Factor> factors);
  void dense(int target, const std::complex<double>* matrix);
  void diagonal(const Op& op, const std::complex<double>* numbers, Index stride, const std::vector<Factor>& factors);
  bool controlled_pauli(int target, const std::complex<double>* matrix, std::vector<Factor> factors);
  void permutation(const Op& op, const std::int64_t* table, const std::vector<Factor>& factors);

  std::vector<Pauli> group_;  // independent generators
  bool reduced_ = true;
};

}  // namespace qsim::cpu
