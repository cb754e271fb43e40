// The quantum Fourier transform of a periodic state on 12 qubits.
// The input is a sum over every 16th basis state, so the 16 outcomes are the multiples of 256, equally likely.
OPENQASM 3.0;
include "stdgates.inc";

const int n = 12;
qubit[n] q;
bit[n] c;

// |0> + |16> + |32> + ...: the lowest four qubits stay 0
for int k in [4:n - 1] {
  h q[k];
}

for int i in [0:n - 1] {
  h q[n - 1 - i];
  for int j in [i + 1:n - 1] {
    cp(pi / 2 ** (j - i)) q[n - 1 - j], q[n - 1 - i];
  }
}
for int k in [0:n / 2 - 1] {
  swap q[k], q[n - 1 - k];
}
c = measure q;
