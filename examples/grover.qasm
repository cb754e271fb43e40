// Grover's search for 10110 among 32: four rounds find it with probability 99.9 %.
OPENQASM 3.0;
include "stdgates.inc";

const int n = 5;
const int rounds = 4;
qubit[n] q;
bit[n] c;

h q;
for int k in [1:rounds] {
  // the oracle: a sign on 10110, bit 0 last
  negctrl @ ctrl @ ctrl @ negctrl @ z q[0], q[1], q[2], q[3], q[4];
  // reflection about the mean
  h q;
  x q;
  ctrl @ ctrl @ ctrl @ ctrl @ z q[0], q[1], q[2], q[3], q[4];
  x q;
  h q;
}
c = measure q;
