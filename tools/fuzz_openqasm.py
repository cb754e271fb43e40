"""Fuzz the OpenQASM reader: mutated programs may load or raise QasmError, in bounded time and memory, nothing else.

python tools/fuzz_openqasm.py --seconds 3600 --seed 1
"""

from __future__ import annotations

import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import click

from qsim.interchange import openqasm
from qsim_core.errors import ProgramFormatError

ROOT = Path(__file__).resolve().parent.parent
TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
#: One text may take this much CPU time and memory.
SECONDS_PER_TEXT = 10
BYTES = 4 * 2**30
#: Nested loops may ask for millions of gates, which takes a while and is no fault; a text that is slow here is.
LIMITS = openqasm.Limits(operations=200_000, loop_iterations=10_000)
WORDS = (  # noqa: SIM905
    "OPENQASM 2.0; OPENQASM 3; include qelib1.inc stdgates.inc gate def qubit bit qreg creg if else for while switch case "
    "default in let const input int uint float angle bool ctrl negctrl inv pow @ gphase measure reset barrier delay opaque "
    "return break continue end U CX h cx rz u3 ccx q c q[0] c[0] q[1:3] q[-1] [ ] { } ( ) ; , -> = == != < > << >> ++ + - * "
    "/ % ** ! ~ & | ^ && || : pi tau euler sin cos sqrt ln 0 1 2 3 -1 63 64 1e308 1e-308 0x7fffffff 9223372036854775807 "
    '1000000000000 0.5 .5 1. "a" "/etc/passwd" // /* */ # $0 $99 π \0 é #pragma @x'
).split(" ")


def mutate(text: str, others: list[str], rng: random.Random) -> str:
    """Return a text some edits away: delete, repeat, swap, replace, insert or splice tokens."""
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        if not tokens:
            break
        place = rng.randrange(len(tokens))
        match rng.randrange(8):
            case 0:
                del tokens[place]
            case 1:
                tokens[place:place] = tokens[place : place + rng.randint(1, 20)] * rng.choice((1, 2, 50))
            case 2:
                other = rng.randrange(len(tokens))
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case 3:
                tokens[place] = rng.choice(WORDS)
            case 4:
                tokens.insert(place, rng.choice(WORDS))
            case 5:
                part = TOKEN.findall(rng.choice(others))
                start = rng.randrange(len(part))
                tokens[place:place] = part[start : start + rng.randint(1, 40)]
            case 6:
                tokens[place] = rng.choice("([{-!~") * rng.choice((2, 100, 5000)) + tokens[place]
            case 7:
                tokens[place] = str(rng.choice((10, 100, 10**6, 10**12, 2**63, 2**64, 10**400)))
    return "".join(tokens)[: 2**20]


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS_PER_TEXT} s")


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long to go on.")
@click.option("--seed", default=1, show_default=True, help="Of the mutations.")
@click.option("--keep", type=click.Path(path_type=Path), default=None, help="Folder for texts that broke the reader.")
def main(seconds: float, seed: int, keep: Path | None) -> None:
    """Mutate the shipped programs for a while and report anything but success or a QasmError."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGVTALRM, _too_slow)
    rng = random.Random(seed)
    corpus = [path.read_text() for path in sorted([*ROOT.glob("examples/*.qasm"), *ROOT.glob("tests/data/*.qasm")])]
    outcomes: Counter[str] = Counter()
    slowest, broken = 0.0, 0
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        text = mutate(rng.choice(corpus), corpus, rng)
        started = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_PER_TEXT)  # CPU time: the machine may be busy
        try:
            openqasm.loads(text, limits=LIMITS)
            outcomes["loaded"] += 1
        except ProgramFormatError:
            outcomes["refused"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcomes[type(error).__name__] += 1
            broken += 1
            print(f"{type(error).__name__}: {error}\n{text[:2000]!r}", file=sys.stderr)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{broken}.qasm").write_text(text)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.process_time() - started)
    print(f"{sum(outcomes.values())} texts, {dict(outcomes)}, slowest {slowest:.2f} s CPU")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
