// A ripple-carry adder: b becomes a + b, here 5 + 9 = 14 on four bits, so c reads 01110 (carry first).
OPENQASM 2.0;
include "qelib1.inc";

gate majority x, y, z { cx z, y; cx z, x; ccx x, y, z; }
gate unmajority x, y, z { ccx x, y, z; cx z, x; cx x, y; }

qreg carry_in[1];
qreg a[4];
qreg b[4];
qreg carry_out[1];
creg c[5];

x a[0];
x a[2];
x b[0];
x b[3];

majority carry_in[0], b[0], a[0];
majority a[0], b[1], a[1];
majority a[1], b[2], a[2];
majority a[2], b[3], a[3];
cx a[3], carry_out[0];
unmajority a[2], b[3], a[3];
unmajority a[1], b[2], a[2];
unmajority a[0], b[1], a[1];
unmajority carry_in[0], b[0], a[0];

measure b[0] -> c[0];
measure b[1] -> c[1];
measure b[2] -> c[2];
measure b[3] -> c[3];
measure carry_out[0] -> c[4];
