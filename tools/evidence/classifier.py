"""Classifiers that look for TLS inside TLS, on the stored corpus of ``tools/corpus``; trained anew each time."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from scipy.stats import fisher_exact

from tools.corpus.score import by_arm, flagged, read, score
from tools.evidence.row import Row, Say, seen
from tools.evidence.setting import Setting

CORPUS = Path(__file__).parents[1] / "corpus" / "corpus.jsonl.xz"
MOST, VISIBLE = 0.70, 0.90
CONTROLS = {"unshaped": "shaping off", "shadowsocks": "shadowsocks-libev", "tls-in-tls": "a plain HTTPS proxy"}
SHORT = 150
"""Loads of each kind in the short form."""


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """The default shaping against direct loads, what the classifiers must see, and what shaping costs."""
    arms = by_arm(read(CORPUS))
    if short:
        arms = {name: samples[:SHORT] for name, samples in arms.items()}
    direct, shaped = arms["direct"], arms["shaped"]
    for task in ("encapsulation", "boosted"):
        say(f"training on {task}")
        found = score(direct, shaped, task)
        text = f"{found.auc:.2f} [{found.low:.2f}–{found.high:.2f}]"
        bound = None if short else found.auc <= MOST  # few loads say little
        yield Row(f"TLS in TLS, {task}: AUC", text, f"≤ {MOST}", found.direct + found.tunnel, bound)
        others = score(direct, arms["others"], task)
        text = f"{others.auc:.2f} [{others.low:.2f}–{others.high:.2f}]"
        yield Row("the same, direct loads of other sites instead", text, "", others.direct + others.tunnel, None)
        for arm, name in CONTROLS.items():
            found = score(direct, arms[arm], task)
            yield seen(f"the same, {name}", f"{found.auc:.2f}", found.direct + found.tunnel, found.auc >= VISIBLE)
    say("a rule")
    hits = {name: sum(map(flagged, samples)) for name, samples in arms.items()}
    text = f"{hits['shaped']}, of {len(direct)} direct loads {hits['direct']}"
    table = [[hits[name], len(arms[name]) - hits[name]] for name in ("shaped", "direct")]
    more = float(fisher_exact(table, alternative="greater").pvalue)
    rule = "a rule for three bursts of a handshake inside: flagged"
    yield Row(rule, text, "no more than direct (Fisher, p > 0.01)", len(shaped), more > 0.01)
    share = hits["unshaped"] / len(arms["unshaped"])
    yield seen("the same, shaping off", f"{share:.0%}", len(arms["unshaped"]), share > 0.5)
    found = score(arms["decoy"], shaped, "whole flow")
    yield Row("browsing the decoy itself beside a tunnel, whole flow: AUC", f"{found.auc:.2f}", "", found.tunnel, None)
    for arm, name in (("direct", "direct"), ("unshaped", "tunnel, shaping off"), ("shaped", "tunnel, shaped")):
        took = [sample.took for sample in arms[arm]]
        yield Row(f"a page's load on a new connection, {name}, median", f"{median(took):.2f} s", "", len(took), None)
