// The W state of four qubits: one excitation, shared equally. No measurement: `qsim run` shows the amplitudes.
OPENQASM 3.0;
include "stdgates.inc";

const int n = 4;
qubit[n] q;

x q[0];
for int k in [1:n - 1] {
  // move all but 1/(n-k+1) of what is left on to the next qubit
  cry(2 * arccos(sqrt(1.0 / (n - k + 1)))) q[k - 1], q[k];
  cx q[k], q[k - 1];
}
