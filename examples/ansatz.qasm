// A two-parameter trial state of the transverse-field Ising chain:
//   qsim run ansatz.qasm --param theta=0.4 --param phi=pi/8 --observable "Z0 Z1 + Z1 Z2 + Z2 Z3 + 0.5*X0"
OPENQASM 3.0;
include "stdgates.inc";

input float theta;
input float phi;
qubit[4] q;

h q;
for int k in [0:2] {
  cx q[k], q[k + 1];
  rz(2 * theta) q[k + 1];
  cx q[k], q[k + 1];
}
rx(phi) q;
