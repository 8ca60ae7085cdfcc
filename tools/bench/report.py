"""The results as JSON, as a Markdown table and as one plot."""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tools.bench.measures import Result


def write(folder: Path, results: Sequence[Result], *, short: bool) -> None:
    """``bench.json``, ``bench.md`` and ``bench.svg`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(as_json(results, short=short))
    (folder / "bench.md").write_text(as_markdown(results, short=short))
    plot(results, folder / "bench.svg")


def as_json(results: Sequence[Result], *, short: bool) -> str:
    rows = [
        {
            "name": result.name,
            "unit": result.unit,
            "values": result.values,
            "figure": result.figure,
            "ratios": result.ratios if result.is_ratio else None,
            "bound": f"{result.bound.sign} {result.bound.short if short else result.bound.limit:g}",
            "holds": result.bound.holds(result.figure, short=short),
        }
        for result in results
    ]
    return json.dumps({"machine": machine(), "short": short, "results": rows}, indent=2) + "\n"


def as_markdown(results: Sequence[Result], *, short: bool) -> str:
    lines = [
        machine(),
        "",
        "| work | ours | beside | ratio (least – most) | bound | held |",
        "|---|---|---|---|---|---|",
        *(row(result, short=short) for result in results),
    ]
    return "\n".join(lines) + "\n"


def row(result: Result, *, short: bool) -> str:
    """One line of the table; medians of the rounds."""
    (_, own), *others = result.values.items()
    beside = ", ".join(f"{name} {median(values):.3g}" for name, values in others) or "–"
    ratios = result.ratios
    ratio = f"{result.figure:.2f} ({min(ratios):.2f} – {max(ratios):.2f})" if result.is_ratio else "–"
    limit = result.bound.short if short else result.bound.limit
    held = "yes" if result.bound.holds(result.figure, short=short) else "**no**"
    ours = f"{median(own):.3g} {result.unit}"
    return f"| {result.name} | {ours} | {beside} | {ratio} | {result.bound.sign} {limit:g} | {held} |"


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

    shown = list(reversed(results))
    shares = [
        result.figure / result.bound.limit if result.bound.sign == "≥" else result.bound.limit / result.figure
        for result in shown
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.4 * len(shown) + 1))
    axes.barh([result.name for result in shown], shares, color=["#2e7d32" if s >= 1 else "#c62828" for s in shares])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times the bound (right of the line: held)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
