// A GHZ state: twenty qubits, all 0 or all 1.
OPENQASM 3.0;
include "stdgates.inc";

const int n = 20;
qubit[n] q;
bit[n] c;

h q[0];
for int k in [1:n - 1] {
  cx q[k - 1], q[k];
}
c = measure q;
