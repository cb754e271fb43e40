"""``python -m benchmarks``: the harness, and a list of the other benchmarks."""

from __future__ import annotations

import ast
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from qsim_core.errors import QsimError

from .peers import ISAS, PEERS, peer_of

PRECISIONS = click.Choice(["single", "double"])
HERE = Path(__file__).parent
#: The sizes of a first look: a few minutes with all peers.
QUICK = ("brickwork", "qft", "qaoa", "grid", "ising", "quantum_volume", "ghz")


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the modules that are benchmarks of their own, with the first line of what they say."""
    if not wanted:
        return
    for path in sorted([*HERE.glob("bench_*.py"), HERE / "full_size.py"]):
        line = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        click.echo(f"python -m benchmarks.{path.stem:20} {line}")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List other benchmarks.")
def main() -> None:
    """Measure this simulator beside others and beside what the machine can do."""


@main.command()
@click.option(
    "--family", "families", multiple=True, metavar="NAME[:DEPTH]", default=QUICK, help="Repeat; or: all. [quick set]"
)
@click.option("--qubits", "-n", multiple=True, type=int, default=(20,), show_default=True)
@click.option(
    "--precision", "precisions", multiple=True, type=PRECISIONS, default=PRECISIONS.choices, show_default=True
)
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--repeat", default=5, show_default=True, help="Rounds; every simulator runs once in each.")
@click.option("--peer", "peers", multiple=True, metavar="NAME", help="Repeat; or: none. [all that are installed]")
@click.option("--dense", is_flag=True, help="Start from a random state instead of |0…0⟩.")
@click.option("--isa", "isas", multiple=True, type=click.Choice(list(ISAS)), help="Also with this one forced. Repeat.")
@click.option(
    "--tuned",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A results.json whose settings are kept.",
)
@click.option(
    "--budget", default=60.0, show_default=True, help="Seconds of a simulator for one circuit: slow ones run once."
)
@click.option("--resume", is_flag=True, help="Go on with the results in the output folder.")
@click.option("--stop-after", default=0.0, help="Seconds after which no further circuit is begun; 0: never.")
@click.option("--json-only", is_flag=True, help="Leave the report to: python -m benchmarks report.")
@click.option(
    "--ceiling-megabytes", default=512, show_default=True, help="Memory of the sweeps; 0 measures no ceilings."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("benchmark-report"), show_default=True)
def circuits(
    families: tuple[str, ...], qubits: tuple[int, ...], precisions: tuple[str, ...], threads: int, repeat: int,
    peers: tuple[str, ...], dense: bool, isas: tuple[str, ...], tuned: Path | None, budget: float,
    resume: bool, stop_after: float, json_only: bool, ceiling_megabytes: int, output: Path,
) -> None:  # fmt: skip
    """Time circuit families beside installed peers; write JSON after every circuit, and a report at the end."""
    from . import ceilings, machine, report
    from .circuits import CIRCUITS, family
    from .compare import REFERENCE, compare, settings_of
    from .peers.environments import PeerError, Process, interpreter, start
    from .results import NAME, done, load, merge, save

    until = time.monotonic() + stop_after if stop_after else float("inf")
    chosen = tuple(CIRCUITS) if "all" in families else families
    for name in chosen:
        try:
            family(name)
        except QsimError as error:
            raise click.UsageError(str(error)) from None
    for name in peers:
        if name not in {*PEERS, "none"}:
            raise click.UsageError(f"{name!r} is none of {', '.join((*PEERS, 'none'))}")
    names = peers or tuple(name for name, peer in PEERS.items() if not peer.gpu and interpreter(name))
    names += tuple(f"{name}@{isa}" for isa in isas for name in ISAS[isa] if name in (REFERENCE, *names))
    known = settings_of(load(tuned)["records"]) if tuned else None
    earlier = [load(output)] if resume and (output / NAME).exists() else []
    measured = ceilings.measure(threads, ceiling_megabytes) if ceiling_megabytes else {}
    players: dict[str, Process] = {}
    versions: dict[str, dict[str, str]] = {}
    try:
        asked = (REFERENCE, *(p for p in names if p != "none"))
        try:
            players |= {name: start(name, threads) for name in asked}
        except PeerError as error:
            raise click.ClickException(str(error)) from None
        for name in asked:
            try:
                versions[name] = players[name].ask(do="versions")
            except PeerError as error:
                if name == REFERENCE or peers:
                    raise click.ClickException(f"{name}: {error}") from None
                click.echo(f"{name} is left out: {error}")
                players.pop(name)
        click.echo("; ".join(f"{k} {v}" for found in versions.values() for k, v in found.items()))
        results: dict[str, Any] = {
            "command": sys.argv[1:],
            "machine": machine.describe(threads),
            "ceilings": measured,
            "simulators": versions,
            "records": [],
        }
        runners = {p: [name for name in players if p in peer_of(name).precisions] for p in precisions}
        skipped = done([r for r in earlier[0]["records"] if r["precision"] in precisions], runners) if earlier else ()
        whole = merge([*earlier, results])
        for record in compare(
            players, chosen, qubits, precisions, threads, repeat, measured,
            dense=dense, budget=budget, tuned=known, done=skipped, say=click.echo,
        ):  # fmt: skip
            results["records"].append(record)
            whole = merge([*earlier, results])
            save(whole, output)
            if time.monotonic() > until:
                click.echo(f"stopped after {stop_after:g} s; --resume goes on")
                break
    finally:
        for player in players.values():
            player.close()
    for path in [save(whole, output)] if json_only else report.write(whole, output):
        click.echo(path)
    wrong = [e for r in results["records"] for e in r["simulators"].values() if not e.get("agrees", False)]
    if wrong:
        raise click.ClickException(f"{len(wrong)} answers differ or are missing: see the report")


@main.command()
@click.option("--model", is_flag=True, help="Print the table of the cost model only; needs no GPU.")
@click.option(
    "--qubits", "-n", multiple=True, type=int, default=(24, 26), show_default=True, help="Of families and kernels."
)
@click.option(
    "--largest", default=34, show_default=True, help="Closed-form checks go up to so many qubits, if they fit."
)
@click.option("--repeat", default=5, show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("gpu-report"), show_default=True)
def gpu(model: bool, qubits: tuple[int, ...], largest: int, repeat: int, output: Path) -> None:
    """Measure a GPU beside its copy bandwidth and the cost model; write JSON and a report to send back.

    Without a GPU it says so and prints what the model predicts for cards that people have.
    """
    from . import gpu as node
    from . import gpu_model

    backends = {} if model else node.available()
    if not backends:
        if not model:
            click.echo("No GPU can be used here:")
            click.echo("".join(f"  {name}: {reason}\n" for name, reason in node.reasons().items()))
        click.echo(gpu_model.markdown())
        return
    results = node.measure(backends, qubits, largest, repeat, click.echo)
    for path in node.write(results, output):
        click.echo(path)
    if not all(check["ok"] for check in results["checks"]):
        raise click.ClickException("a check failed: do not trust this card's results, and please send the report")


@main.command("report")
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder. [that of the last]")
def render(results: tuple[Path, ...], output: Path | None) -> None:
    """Write the report of RESULTS again: files or folders, several of one machine as one, the latest last."""
    from . import report
    from .results import load, merge

    last = results[-1]
    for path in report.write(
        merge([load(path) for path in results]), output or (last if last.is_dir() else last.parent)
    ):
        click.echo(path)


@main.group("peers")
def peers_group() -> None:
    """Other simulators, each in an environment of its own."""


@peers_group.command("list")
def peers_list() -> None:
    """Show names, pinned versions and where each would run."""
    from .peers.environments import interpreter

    for name, peer in PEERS.items():
        click.echo(f"{name:18} {' '.join(peer.requirements):58} {interpreter(name) or 'not installed'}")


@peers_group.command("install")
@click.argument("names", nargs=-1)
def peers_install(names: tuple[str, ...]) -> None:
    """Install peers by NAMES; without names all that need no GPU."""
    from .peers.environments import install

    for name in names or tuple(name for name, peer in PEERS.items() if not peer.gpu):
        if name not in PEERS:
            raise click.UsageError(f"{name!r} is none of {', '.join(PEERS)}")
        click.echo(f"{name}: {install(name)}")


if __name__ == "__main__":
    try:
        main(prog_name="python -m benchmarks")
    except QsimError as error:
        sys.exit(f"{error}")
