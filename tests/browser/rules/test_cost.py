"""What a decision costs in Firefox's listener, with as many rules as people have."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from qnet.browser.pac import compile_pac
from qnet.browser.rules.ruleset import RuleSet, Section
from qnet.wire.messages import Rule, RuleAction, RuleKind

SOURCES = Path(__file__).parents[3]
LIMIT = 50e-6
MEASURE = """
import { readFileSync } from "node:fs";
import { decisionOf } from "SOURCES/extension/lib/listener.js";
const decide = decisionOf(readFileSync(0, "utf8"));
const name = (n) => `www.${n % 2 ? "site" : "other"}${n * 37}.example`;
const urls = Array.from({ length: 2000 }, (_, n) => "https://" + name(n) + "/path");
let direct = 0;
const rounds = Array.from({ length: 5 }, () => {
  const began = process.hrtime.bigint();
  direct = urls.filter((url) => decide({ url }) === null).length;
  return Number(process.hrtime.bigint() - began) / 1e9 / urls.length;
});
process.stdout.write(JSON.stringify({ direct, seconds: Math.min(...rounds), first: rounds[0] }));
"""


def test_a_decision_among_100_000_domains_takes_no_50_microseconds(
    record_property: Callable[[str, object], None],
) -> None:
    rules = [Rule(kind=RuleKind.DOMAIN, pattern=f"site{n}.example", action=RuleAction.DIRECT) for n in range(100_000)]
    run = subprocess.run(
        ["node", "--input-type=module", "-e", MEASURE.replace("SOURCES", str(SOURCES))],
        input=compile_pac(1088, RuleSet([Section("", rules)])).text,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    record_property("seconds", found["seconds"])
    assert found["direct"] == 1000
    assert found["seconds"] < LIMIT and found["first"] < LIMIT
