"""A benchmark's JSON as a report: Markdown and one HTML file, with plots where matplotlib is installed."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .compare import REFERENCE
from .results import save

__all__ = ["render", "table", "write"]

Record = Mapping[str, Any]


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write results.json, report.md, report.html and the plots into a folder; return the paths."""
    data = save(results, folder)
    plots = _plots(results["records"], folder)
    text = render(results, plots)
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(_html(text, folder), encoding="utf-8")
    return [data, folder / "report.md", folder / "report.html", *(folder / name for name in plots)]


def render(results: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """Return the report as Markdown."""
    machine, ceilings = results["machine"], results["ceilings"]
    facts = [[key, ", ".join(value) if isinstance(value, list) else str(value)] for key, value in machine.items()]
    parts = ["# Benchmark of state-vector simulators", "## Machine", table(["what", "value"], facts)]
    if ceilings:
        rows = [[name.replace("_", " "), f"{value / 1e9:.1f} G/s"] for name, value in ceilings.items()]
        parts += ["## Ceilings, measured in this run", table(["what", "rate"], rows)]
    versions = [
        [name, ", ".join(f"{k} {v}" for k, v in found.items())] for name, found in results["simulators"].items()
    ]
    parts += ["## Simulators", table(["simulator", "versions"], versions)]
    parts += [
        "## Times the fastest peer takes as long as we do",
        "Until the amplitudes are in memory; below 1 the peer is faster. Left out: simulators with a forced instruction set.",
        *_summary(results["records"]),
        "## Times",
        "Medians and, after ±, half of the range between quartiles, in milliseconds. *state*: amplitudes in memory; "
        "*Z and shots*: a run that ends with one ⟨Z⟩ and 1,024 shots; *cold*: the first run; *runs*: how many rounds the "
        "medians are of. What spent its budget in its first run has that one alone. *peer / ours* is the ratio of medians "
        "of *state* in one run of the benchmark: above 1 we are faster; a player with a forced instruction set stands beside "
        "ours with the same. *one sweep* and *arithmetic* are the parts of our time that reading and writing the state once, "
        "and 2.5 multiply-adds per amplitude and rotation, take at the ceilings.",
    ]
    for title, records in _chapters(results["records"]):
        parts += [title, _times(records)]
    slower = list(_slower(results["records"]))
    parts += ["## Where a peer is faster", table(["circuit", "peer", "peer / ours"], slower) if slower else "Nowhere."]
    wrong = [row for record in results["records"] for row in _wrong(record)]
    parts += ["## Answers that differ", table(["circuit", "simulator", "what"], wrong) if wrong else "None."]
    parts += [f"![{Path(name).stem}]({name})" for name in plots]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _grouped(records: Sequence[Record]) -> dict[tuple[str, bool], list[Record]]:
    result: dict[tuple[str, bool], list[Record]] = {}
    for record in records:
        result.setdefault((record["precision"], record["dense"]), []).append(record)
    return result


def _chapters(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield headings with their records; those of states that hold few amplitudes for long apart."""
    for (precision, dense), chosen in _grouped(records).items():
        start = "a dense random state" if dense else "zeros"
        for followed, more in ((False, ""), (True, ", where few amplitudes are in use for long")):
            some = [record for record in chosen if bool(record.get("tracked")) == followed]
            if some:
                yield f"### {precision.capitalize()} precision, from {start}{more}", some


def _place(record: Record) -> str:
    start = ", dense" if record["dense"] else ""
    return f"{record['family']}, n = {record['qubits']}, {record['precision']}{start}"


def _spread(times: Sequence[float]) -> str:
    if len(times) < 2:
        return f"{times[0] * 1e3:.4g}" if times else ""
    low, middle, high = np.percentile(times, [25, 50, 75]) * 1e3
    return f"{middle:.4g} ± {(high - low) / 2:.1g}"


def ratios(record: Record) -> dict[str, float]:
    """Return peer's median over ours by peer, of the time until the state is there."""
    entries = {k: e for k, e in record["simulators"].items() if k != REFERENCE and e.get("beside")}
    return {name: float(np.median(entry["state"])) / entry["beside"] for name, entry in entries.items()}


def _summary(records: Sequence[Record]) -> Iterator[str]:
    """Yield tables of the fastest peer's ratio: families down, qubits across."""
    for title, chosen in _chapters(records):
        sizes = sorted({record["qubits"] for record in chosen})
        rows: dict[str, dict[int, str]] = {}
        for record in chosen:
            against = {name: ratio for name, ratio in ratios(record).items() if "@" not in name}
            if against:
                best = min(against, key=lambda name: against[name])
                rows.setdefault(record["family"], {})[record["qubits"]] = f"{against[best]:.3g} {best}"
        if rows:
            yield title
            yield table(
                ["family", *(f"n = {n}" for n in sizes)],
                [[family, *(cells.get(n, "") for n in sizes)] for family, cells in rows.items()],
            )


def _times(records: Sequence[Record]) -> str:
    head = ["family", "n", "gates", "simulator", "state", "Z and shots", "cold", "runs", "peer / ours"]
    head += ["one sweep", "arithmetic", "setting"]
    rows = []
    for record in records:
        against = ratios(record)
        for name, entry in record["simulators"].items():
            if not entry.get("state"):
                continue
            parts = record["ceilings"] if name == REFERENCE else {}
            percent = [f"{parts[k]:.0%}" if k in parts else "" for k in ("of_one_sweep", "of_arithmetic_floor")]
            ratio = f"{against[name]:.2f}" if name in against else ""
            setting = ", ".join(f"{k} {v}" for k, v in entry["setting"].items())
            rows.append(
                [record["family"], str(record["qubits"]), str(record["gates"]), name, _spread(entry["state"]),
                 _spread(entry["readout"]), f"{entry['cold'] * 1e3:.4g}", str(len(entry["state"])), ratio, *percent, setting]
            )  # fmt: skip
    return table(head, rows)


def _slower(records: Sequence[Record]) -> Iterator[list[str]]:
    for record in records:
        yield from ([_place(record), name, f"{ratio:.2f}"] for name, ratio in ratios(record).items() if ratio < 1)


def _wrong(record: Record) -> Iterator[list[str]]:
    for name, entry in record["simulators"].items():
        if "error" in entry:
            yield [_place(record), name, f"did not run: {entry['error']}"]
        elif not entry["agrees"]:
            yield [_place(record), name, f"largest deviation {entry['difference']:.2e}"]


def _plots(records: Sequence[Record], folder: Path) -> list[str]:
    """Draw time, ratio and fraction of the ceilings against qubits; return the files' names."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    names = []
    for (precision, dense), chosen in _grouped(records).items():
        families = list(dict.fromkeys(record["family"] for record in chosen))
        for kind, label in (("time", "seconds"), ("ratio", "peer / ours"), ("ceiling", "fraction of the floor")):
            columns = min(4, len(families))
            lines = -(-len(families) // columns)
            figure = Figure(figsize=(4 * columns, 3 * lines), layout="constrained")
            for place, family in enumerate(families):
                axes = figure.add_subplot(lines, columns, place + 1, title=family, xlabel="qubits", ylabel=label)
                for name, points in _series([r for r in chosen if r["family"] == family], kind).items():
                    axes.plot(*zip(*points, strict=True), marker="o", label=name)
                if kind != "ceiling":
                    axes.set_yscale("log")
                if kind == "ratio":
                    axes.axhline(1, color="grey", linewidth=0.8)
                if axes.lines and axes.get_legend_handles_labels()[0]:
                    axes.legend(fontsize="x-small")
            name = f"{kind}-{precision}{'-dense' if dense else ''}.svg"
            figure.savefig(folder / name)
            names.append(name)
    return names


def _series(records: Sequence[Record], kind: str) -> dict[str, list[tuple[int, float]]]:
    result: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        match kind:
            case "time":
                entries = record["simulators"].items()
                values = {name: float(np.median(entry["state"])) for name, entry in entries if entry.get("state")}
            case "ratio":
                values = ratios(record)
            case _:
                values = {name.removeprefix("of_").replace("_", " "): x for name, x in record["ceilings"].items()}
        for name, value in values.items():
            result.setdefault(name, []).append((record["qubits"], value))
    return result


_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.2em .6em}img{max-width:100%}"
)


def _html(markdown: str, folder: Path) -> str:
    """Return the report as one file that holds its plots. Knows the Markdown that this module writes, and no other."""
    body = []
    for block in markdown.strip().split("\n\n"):
        if block.startswith("#"):
            level = len(block) - len(block.lstrip("#"))
            body.append(f"<h{level}>{html.escape(block.lstrip('# '))}</h{level}>")
        elif block.startswith("|"):
            rows = [[html.escape(cell) for cell in _cells(raw)] for raw in block.split("\n")]
            head, rest = rows[0], rows[2:]
            body.append("<table><tr>" + "".join(f"<th>{c}</th>" for c in head) + "</tr>")
            body += ["<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rest]
            body.append("</table>")
        elif block.startswith("!["):
            name = block[block.index("(") + 1 : -1]
            image = base64.b64encode((folder / name).read_bytes()).decode()
            body.append(f'<img alt="{html.escape(name)}" src="data:image/svg+xml;base64,{image}">')
        else:
            body.append(f"<p>{html.escape(block)}</p>")
    return (
        f"<!doctype html><meta charset=utf-8><title>Benchmark</title><style>{_STYLE}</style>" + "\n".join(body) + "\n"
    )


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\0", "|") for cell in line.replace("\\|", "\0")[1:-1].split("|")]
