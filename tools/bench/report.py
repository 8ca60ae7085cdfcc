"""The results as JSON, as a Markdown table and as one plot."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tools.bench.measures import Result

DOCUMENT = Path("docs/PERFORMANCE.md")
PLOT = Path("docs/images/performance.svg")
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
TABLES = {"work": "Work", "shaping": "What shaping costs"}


def write(folder: Path, results: Sequence[Result], *, short: bool) -> None:
    """``bench.json``, ``bench.md`` and ``bench.svg`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(results, short=short))
    (folder / "bench.md").write_text(as_markdown(results, short=short))
    plot(results, folder / "bench.svg")


def document(results: Sequence[Result]) -> None:
    """Put the tables into docs/PERFORMANCE.md, between its marks, and the plot beside it."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{as_markdown(results, short=False)}\n{end}{after}")
    plot(results, PLOT)


def as_json(results: Sequence[Result], *, short: bool) -> str:
    rows = [
        {
            "name": result.name,
            "table": result.table,
            "unit": result.unit,
            "values": result.values,
            "figure": result.figure,
            "ratios": result.ratios if result.is_ratio else None,
            "bound": _bound(result, short=short),
            "holds": result.holds(short=short),
        }
        for result in results
    ]
    return json.dumps({"machine": machine(), "short": short, "results": rows}, indent=2) + "\n"


def as_markdown(results: Sequence[Result], *, short: bool) -> str:
    lines = [machine()]
    for table, title in TABLES.items():
        found = [row(result, short=short) for result in results if result.table == table]
        if found:
            lines += ["", f"### {title}", "", "| work | ours | beside | ratio (least – most) | bound | held |"]
            lines += ["|---|---|---|---|---|---|", *found]
    return "\n".join(lines) + "\n"


def row(result: Result, *, short: bool) -> str:
    """One line of the table; medians of the rounds."""
    (_, own), *others = result.values.items()
    beside = ", ".join(f"{name} {median(values):.3g}" for name, values in others) or "–"
    ratios = result.ratios
    ratio = f"{result.figure:.2f} ({min(ratios):.2f} – {max(ratios):.2f})" if result.is_ratio else "–"
    held = {True: "yes", False: "**no**", None: "–"}[result.holds(short=short)]
    ours = f"{median(own):.3g} {result.unit}"
    return f"| {result.name} | {ours} | {beside} | {ratio} | {_bound(result, short=short) or '–'} | {held} |"


def _bound(result: Result, *, short: bool) -> str:
    if result.bound is None:
        return ""
    return f"{result.bound.sign} {result.bound.short if short else result.bound.limit:g}"


def machine() -> str:
    """Date, processor and versions."""
    model = "processor unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    today = datetime.now(UTC).date().isoformat()
    return (
        f"{today}, {cores} × {model}, Linux {platform.release()}, Python {platform.python_version()}, OpenSSL {openssl}"
    )


def plot(results: Sequence[Result], path: Path) -> None:
    """Each ratio as the share of its bound, one bar a row: beyond the line is held."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    shown = [(result, result.bound) for result in reversed(results) if result.bound is not None]
    shares = [
        result.figure / bound.limit if bound.sign == "≥" else bound.limit / result.figure for result, bound in shown
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.4 * len(shown) + 1))
    axes.barh([result.name for result, _ in shown], shares, color=["#2e7d32" if s >= 1 else "#c62828" for s in shares])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times the bound (right of the line: held)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
