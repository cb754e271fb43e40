"""``qsim run``: simulate files and print or store what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from qsim_core.errors import QsimError
from qsim_core.program import Program

from ..circuit import Circuit
from ..observables import PauliSum
from ..result import Result
from ..simulator import Simulator
from . import files, options
from .exits import EXIT_CODES, Exit, complain
from .report import result_lines
from .terminal import progress_bar

__all__ = ["run"]

_HELP = f"""Run circuits and print their counts, or their amplitudes where they measure nothing.

FILE is OpenQASM 2 or 3, or a Program as JSON; - reads standard input. Bit strings are written with the last
classical bit first, so the rightmost character is c[0]. Several files are run one after the other; an error in one does
not stop the others.

\b
Examples:
  qsim run bell.qasm --shots 10000 --seed 7
  qsim run ansatz.qasm --param theta=pi/4 --observable "Z0 Z1" --observable "0.5*X0 - X1"
  qsim run bell.qasm --plot bell.png --json bell.json
  qsim run qft.qasm --statevector qft.npy    (only for circuits without measurements in their middle)
  qsim run *.qasm --json - | jq .counts      one JSON object per file, one per line

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Run circuits and print what comes out.")
@click.argument("names", metavar="FILE…", nargs=-1, required=True, type=files.CIRCUIT_FILE)
@click.option(
    "--shots",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"How often to sample. Default: {files.DEFAULT_SHOTS} if the circuit measures, else none: amplitudes are "
    "shown. If given, a circuit without measurements measures every qubit at its end.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="S",
    help="Same seed, same counts. Default: a fresh one, printed.",
)
@options.PRECISION
@options.BACKEND
@options.THREADS
@options.PARAM
@click.option(
    "--observable",
    "observables",
    multiple=True,
    metavar="PAULIS",
    help='Expectation value of a Pauli sum, such as "Z0 Z1" or "0.5*X0 - Y2". May be repeated.',
)
@options.INCLUDE
@options.JSON_OUT
@click.option(
    "--plot",
    metavar="OUT",
    type=options.OutFile(".png", ".svg", ".pdf"),
    help="Histogram, or state plot (.png, .svg, .pdf).",
)
@click.option(
    "--statevector",
    metavar="OUT.npy",
    type=options.OutFile(),
    help="Store the final state as a NumPy file: 2^n complex numbers, qubit 0 the lowest bit of the index.",
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), metavar="T", help="Give up after so long.")
@click.option("--quiet", is_flag=True, help="Print no report.")
def run(names: tuple[str, ...], json_out: str | None, quiet: bool, **wishes: Any) -> int:
    """Run every file; the exit code is that of the first that failed."""
    for option in ("plot", "statevector"):
        if len(names) > 1 and wishes[option]:
            raise click.UsageError(f"--{option} takes one FILE, got {len(names)}.")
    if len(names) > 1 and names.count("-") > 1:
        raise click.UsageError("standard input (-) can be read once.")
    try:
        observables = [PauliSum(text) for text in wishes["observables"]]
    except QsimError as error:
        raise click.BadParameter(str(error), param_hint="--observable") from None
    documents, code = [], Exit.OK
    for name in names:
        try:
            result = _run_file(name, observables, wishes)
        except (QsimError, click.UsageError) as error:
            if len(names) == 1:
                raise
            code = code or complain(error)
            continue
        document = _document(result) if json_out else None
        if json_out == "-":
            files.write_json(document, "-")
        elif not quiet:
            click.echo("\n".join(result_lines(result)))
        documents.append(document)
    if json_out and json_out != "-" and documents:
        files.write_json_lines(documents, json_out)
    return code


def _run_file(name: str, observables: list[PauliSum], wishes: dict[str, Any]) -> Result:
    circuit = files.load(name, wishes["allow_include"])
    values = _values(name, circuit, dict(wishes["params"]))
    for observable, text in zip(observables, wishes["observables"], strict=True):
        if observable.num_qubits > circuit.num_qubits:
            allowed = f"qubits 0 to {circuit.num_qubits - 1} of {name}"
            raise click.BadParameter(f"expected {allowed}, got {text!r}.", param_hint="--observable")
    circuit, shots = files.with_shots(circuit, wishes["shots"])
    keep_state = shots is None or wishes["statevector"]
    simulator = Simulator(wishes["backend"], wishes["precision"], wishes["threads"], wishes["seed"])
    with progress_bar(name) as progress:
        result = simulator.run(
            circuit,
            params=values,
            shots=shots,
            observables=observables,
            outputs=["state"] if keep_state else None,
            seconds=wishes["seconds"],
            progress=progress,
        )
    assert isinstance(result, Result)
    result.provenance = {**result.provenance, "file": name, "observables": list(wishes["observables"])}
    if values:
        result.provenance["params"] = values
    if wishes["statevector"]:
        _save_state(wishes["statevector"], result)
    if wishes["plot"]:
        result.plot(wishes["plot"])
    return result


def _values(file: str, circuit: Circuit | Program, given: dict[str, float]) -> dict[str, float]:
    """Check --param against the circuit, in the words of the command line."""
    names = files.parameters(circuit)
    unknown = [name for name in given if name not in names]
    if unknown:
        allowed = ", ".join(names) if names else "none: this circuit has no parameters"
        problem = f"expected a parameter of {file} ({allowed}), got {unknown[0]!r}."
        raise click.BadParameter(problem, param_hint="--param")
    missing = [name for name in names if name not in given]
    if missing:
        hint = " ".join(f"--param {name}=…" for name in missing[:4]) + (" …" if len(missing) > 4 else "")
        raise click.UsageError(f"{file} has parameters without a value. Add {hint}")
    return given


def _save_state(out: str, result: Result) -> None:
    with Path(out).open("wb") as file:  # a file object: np.save must not append ".npy" to the name asked for
        np.save(file, result.state_vector, allow_pickle=False)


def _document(result: Result) -> dict[str, Any]:
    from ..result_file import to_document

    return to_document(result)
