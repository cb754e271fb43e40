// Bernstein-Vazirani: one question finds the secret 1101001.
OPENQASM 2.0;
include "qelib1.inc";

qreg q[7];
qreg ancilla[1];
creg c[7];

x ancilla[0];
h ancilla[0];
h q;
cx q[0], ancilla[0];
cx q[3], ancilla[0];
cx q[5], ancilla[0];
cx q[6], ancilla[0];
h q;
measure q -> c;
