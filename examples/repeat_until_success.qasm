// A loop on a measured bit: flip a quantum coin until it shows 1. The ancilla's coin is 1 at the end of every shot,
// and the data qubit, rotated once per round, shows how many rounds that took.
OPENQASM 3.0;
include "stdgates.inc";

qubit coin;
qubit data;
bit heads;
bit out;

while (heads == 0) {
  reset coin;
  h coin;
  ry(pi / 4) data;
  heads = measure coin;
}
out = measure data;
