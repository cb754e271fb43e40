// Teleportation with feed-forward: the state of message arrives on receiver, and is undone there,
// so out reads 0 on every shot, whatever the two measurements in the middle give.
OPENQASM 3.0;
include "stdgates.inc";

qubit message;
qubit sender;
qubit receiver;
bit[2] m;
bit out;

u3(0.7, 1.1, -0.4) message;
h sender;
cx sender, receiver;
barrier message, sender, receiver;

cx message, sender;
h message;
m[0] = measure message;
m[1] = measure sender;
if (m[1] == 1) x receiver;
if (m[0] == 1) z receiver;

inv @ u3(0.7, 1.1, -0.4) receiver;
out = measure receiver;
