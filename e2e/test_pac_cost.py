"""What rules cost inside Chromium's own engine for proxy scripts, by the time that a request to a dead port takes."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, Worker

from e2e import hosts
from e2e.browsers import chromium
from qnet.browser.pac import compile_pac
from qnet.browser.rules.rule import checked
from qnet.browser.rules.ruleset import RuleSet, Section
from qnet.wire.messages import Rule, RuleAction, RuleKind

MANIFEST = {
    "manifest_version": 3,
    "name": "only sets scripts",
    "version": "1",
    "permissions": ["proxy"],
    "host_permissions": ["<all_urls>"],
    "background": {"service_worker": "worker.js"},
}
ASK = """
async ([text, count]) => {
  await chrome.proxy.settings.set({ value: { mode: "pac_script", pacScript: { data: text, mandatory: true } } });
  const times = [];
  for (let n = 0; n < count; n++) {
    const started = performance.now();
    await fetch(`http://n${Math.floor(Math.random() * 1e6)}.test/`).catch(() => {});
    times.push(performance.now() - started);
  }
  return times;
}
"""
Measure = Callable[[str, int], list[float]]


@pytest.fixture
def measure(playwright: Playwright, tmp_path: Path) -> Iterator[Measure]:
    """Milliseconds of each of so many requests, the first of which also compiles the script."""
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "worker.js").write_text("")
    with chromium(playwright, tmp_path / "profile", folder) as browser:
        workers = browser.context.service_workers
        worker: Worker = workers[0] if workers else browser.context.wait_for_event("serviceworker")
        worker.evaluate(ASK, [compile_pac(hosts.dead_port()).text, 5])
        yield lambda text, count: worker.evaluate(ASK, [text, count])


def domains(count: int) -> list[Rule]:
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = ("".join(rng.choices(letters, k=rng.randint(6, 12))) + f"{n}.{rng.choice(letters)}x" for n in range(count))
    return [Rule(kind=RuleKind.DOMAIN, pattern=name, action=RuleAction.DIRECT) for name in names]


def mixed(count: int) -> list[Rule]:
    """As many expressions, wildcards, keywords and ranges, none of which matches, by turns direct and blocked."""
    kinds: list[Callable[[int], tuple[RuleKind, str]]] = [
        lambda n: (RuleKind.REGEX, rf"(^|\.)ads{n}\.[a-z]+$"),
        lambda n: (RuleKind.WILDCARD, f"*.track{n}.*"),
        lambda n: (RuleKind.CIDR, f"10.{n % 256}.{n // 256}.0/24"),
        lambda n: (RuleKind.KEYWORD, f"count{n}"),
    ]
    rules = []
    for n in range(count):
        kind, pattern = kinds[n % 4](n)
        action = RuleAction.DIRECT if n % 8 < 4 else RuleAction.BLOCK
        rules.append(checked(Rule(kind=kind, pattern=pattern, action=action)))
    return rules


def script(rules: list[Rule]) -> str:
    return compile_pac(hosts.dead_port(), RuleSet([Section("", rules)])).text


def seconds_each(measure: Measure, text: str, times: int) -> float:
    """Seconds of one decision: so many of them, less the same loop that only makes the names, as long as the rules'."""
    once = "return decide(url, host) === true"
    assert once in text
    loop = f"for (let n = 0; n < {times}; n++) WORK;\n    {once}"
    deciding, making = (
        min(measure(text.replace(once, loop.replace("WORK", work)), 7))
        for work in ("decide(url, (n + host).toLowerCase())", "(n + host).toLowerCase()")
    )
    return (deciding - making) / times / 1000


def test_100_000_domains(measure: Measure, record_property: Callable[[str, object], None]) -> None:
    base = sorted(measure(script([]), 9))[4]
    text = script(domains(100_000))
    first = measure(text, 1)[0] - base
    each = seconds_each(measure, text, 200_000) * 1e6
    record_property("first request, ms over an empty script", round(first))
    record_property("lookup, µs", round(each, 2))
    print(f"100,000 domains, {len(text)} bytes: first request +{first:.0f} ms, lookup {each:.2f} µs")
    assert first < 300
    assert each < 1


def test_1_000_mixed(measure: Measure, record_property: Callable[[str, object], None]) -> None:
    each = seconds_each(measure, script(mixed(1000)), 20_000) * 1e6
    record_property("lookup, µs", round(each, 1))
    print(f"1,000 mixed rules: lookup {each:.1f} µs")
    assert each < 100
