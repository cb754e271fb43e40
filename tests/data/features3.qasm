OPENQASM 3.0;
include "stdgates.inc";
/* Most of what the reader knows of OpenQASM 3 in one file. */
pragma vendor anything
const int[32] n = 4;
const float step = tau / 2**n;
input float[64] theta;
gate twist(a) p, r { ctrl @ rz(a) p, r; inv @ s r; pow(2) @ t p; }
def prepare(qubit[2] w, int k) { for int i in [0:k - 1] { h w[i]; } }
def read(qubit w) -> bit { bit r; r = measure w; return r; }
qubit[4] q;
qubit spare;
bit[4] c;
let ends = q[0] ++ q[3];
@reversible
prepare(ends, 2);
twist(step) q[0:2:2][0], q[2];
for uint i in {0, 2} { rx(theta * i + sin(theta)) q[i]; }
negctrl @ ctrl(2) @ x q[0], q[1], q[2], spare;
gphase(pi / 8);
barrier q, spare;
delay[100ns] q[1];
c[1:2] = measure q[1:2];
c[3] = read(spare);
if (c[1] == 1 && !c[2]) { x q[0]; } else { z q[3]; }
while (c[1:2] != 0) { h q[1:2]; c[1:2] = measure q[1:2]; }
switch (c) { case 1, 2 { y q[0]; } default { reset q[0]; } }
int total = 0;
for int i in [10:-3:0] { if (i == 4) { break; } total += i; }
rz(total) q[0];
end;
x q;
