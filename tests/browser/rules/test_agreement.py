"""One meaning: a naive reference, the helper's engine, Chromium's script and Firefox's decision on the same pairs.

100,000 random pairs of a rule set and a destination; ``QNET_PAIRS`` in the environment asks for another number.
"""

import ipaddress
import json
import os
import random
import re
import subprocess
from pathlib import Path

from qnet.browser.pac import compile_pac
from qnet.browser.rules.rule import RuleError, checked
from qnet.browser.rules.ruleset import RuleSet, Section
from qnet.wire.destination import canonical_host
from qnet.wire.messages import Rule, RuleAction, RuleKind

PAIRS = int(os.environ.get("QNET_PAIRS", "100000"))
HOSTS_PER_SET = 50
SOURCES = Path(__file__).parents[3]
PORT = 1088

ASK = """
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { decisionOf } from "SOURCES/extension/lib/listener.js";
const out = [];
for (const { text, urls } of JSON.parse(readFileSync(0, "utf8"))) {
  const context = vm.createContext({});
  vm.runInContext(text, context);
  context.urls = urls;
  const firefox = decisionOf(text);
  const ask = "urls.map((url) => FindProxyForURL(url[0], url[1]))";
  out.push([[...vm.runInContext(ask, context)], urls.map(([url]) => firefox({ url }))]);
}
process.stdout.write(JSON.stringify(out));
"""

LABELS = ["a", "b", "ads", "x-y", "xn--80ak6aa92e", "www", "_srv", "1a"]
TOPS = ["test", "com", "co", "ir"]
ADDRESSES = ["10.0.0.1", "10.0.1.1", "11.0.0.1", "192.168.3.4", "255.255.255.255", "0.0.0.0"]
ADDRESSES += ["::1", "fc00::1", "fc00:1::", "2001:db8::a", "2001:db8::1:0:0:1", "::ffff:10.0.0.1", "::"]
NETWORKS = ["10.0.0.0/8", "10.0.0.0/31", "0.0.0.0/0", "::/0", "fc00::/7", "2001:db8::/64", "::1/128", "192.168.3.4/32"]
NETWORKS += ["::ffff:10.0.0.0/112", "10.0.0.77/24"]
EXPRESSIONS = [
    "^a",
    r"\.com$",
    "[0-9]",
    "^[^.]+$",
    r"(^|\.)ads\.",
    "A.*B",
    "^10[.]",
    "a{1,2}b?",
    r"^\w+\.test$",
    ":",
    "",
]
EXPRESSIONS += [r"\bb\b", "x|ads$", r"[^a-z.\d]", "(?:co|ir)$"]
WILDCARDS = ["*", "*.com", "a.*", "?.test", "*a*b*", "**.ads.*", "10.0.*", "x-?.*", "www.*.c?", "*:*"]
KEYWORDS = ["a", "ads", ".c", "0.0", "--", ":"]
PORTS = [0, 0, 0, 80, 443, 8080]


def name(rng: random.Random) -> str:
    return ".".join([*rng.choices(LABELS, k=rng.randint(0, 3)), rng.choice(TOPS)])


def rule(rng: random.Random) -> Rule:
    kind = rng.choice([*RuleKind, RuleKind.DOMAIN, RuleKind.DOMAIN])
    pattern = {
        RuleKind.DOMAIN: lambda: rng.choice([name(rng), name(rng), name(rng), rng.choice(ADDRESSES)]),
        RuleKind.HOST: lambda: rng.choice([name(rng), rng.choice(ADDRESSES)]),
        RuleKind.CIDR: lambda: rng.choice(NETWORKS),
        RuleKind.REGEX: lambda: rng.choice(EXPRESSIONS) or "a*",
        RuleKind.WILDCARD: lambda: rng.choice(WILDCARDS),
        RuleKind.KEYWORD: lambda: rng.choice(KEYWORDS),
    }[kind]()
    port, enabled = rng.choice([0, 0, 0, 0, *PORTS]), rng.random() < 0.95
    return checked(Rule(kind=kind, pattern=pattern, action=rng.choice([*RuleAction]), port=port, enabled=enabled))


def ruleset(rng: random.Random) -> RuleSet:
    rules = [rule(rng) for _ in range(rng.choice([0, 1, 2, 3, 5, 10, 30]))]
    cut = rng.randint(0, len(rules))
    return RuleSet([Section("", rules[:cut]), Section("list", rules[cut:])], rng.choice([*RuleAction]))


def matches(rule: Rule, host: str) -> bool:
    """Each kind as its name says, with the standard library's own notion."""
    match rule.kind:
        case RuleKind.HOST:
            return host == rule.pattern
        case RuleKind.DOMAIN:
            return host == rule.pattern or host.endswith("." + rule.pattern)
        case RuleKind.CIDR:
            try:
                return ipaddress.ip_address(host) in ipaddress.ip_network(rule.pattern)
            except ValueError:
                return False
        case RuleKind.REGEX:
            return re.search(rule.pattern, host, re.IGNORECASE | re.ASCII) is not None
        case RuleKind.WILDCARD:
            parts = re.escape(rule.pattern).replace(r"\*", ".*").replace(r"\?", ".")
            return re.fullmatch(parts, host) is not None
        case RuleKind.KEYWORD:
            return rule.pattern in host


def naive(rules: RuleSet, host: str, port: int) -> tuple[RuleAction, int]:
    if host == "qnet" or host.endswith(".qnet"):
        return RuleAction.BLOCK, -1
    for index, each in enumerate(rules.rules):
        if each.enabled and each.port in (0, port) and matches(each, host):
            return each.action, index
    return rules.default, -1


def destination(rng: random.Random) -> tuple[str, int]:
    host = rng.choice(ADDRESSES) if rng.random() < 0.25 else name(rng) + rng.choice(["", "", "", "", "", "", ".qnet"])
    return canonical_host(host), rng.choice([80, 443, 8080])


def as_browsers_do(rng: random.Random, host: str, port: int) -> tuple[str, str]:
    """The URL and the host that a proxy script is given; Chromium leaves brackets out and a final dot in."""
    if host == "10.0.0.1" and rng.random() < 0.5:
        host = "::ffff:a00:1"
    shown = f"[{host}]" if ":" in host else host + rng.choice(["", "", "."]) * (not host[-1].isdigit())
    scheme = {80: "http", 443: "https"}.get(port, "http")
    suffix = "" if port in (80, 443) else f":{port}"
    return f"{scheme}://{shown}{suffix}/", shown.strip("[]")


def test_all_four_agree() -> None:
    rng = random.Random(os.environ.get("QNET_SEED", "one meaning"))
    sets, pairs = [], []
    for _ in range(PAIRS // HOSTS_PER_SET):
        rules = ruleset(rng)
        asked = [destination(rng) for _ in range(HOSTS_PER_SET)]
        sets.append(rules)
        pairs.append([(host, port, *as_browsers_do(rng, host, port)) for host, port in asked])
    request = [
        {"text": compile_pac(PORT, rules).text, "urls": [[url, shown] for _, _, url, shown in asked]}
        for rules, asked in zip(sets, pairs, strict=True)
    ]
    run = subprocess.run(
        ["node", "--input-type=module", "-e", ASK.replace("SOURCES", str(SOURCES))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    seen = set()
    for rules, asked, (chromium, firefox) in zip(sets, pairs, json.loads(run.stdout), strict=True):
        for (host, port, url, _), answer, decision in zip(asked, chromium, firefox, strict=True):
            action, index = naive(rules, host, port)
            verdict = rules.verdict(host, port)
            place = -1
            if verdict.rule is not None:
                place = verdict.index + (len(rules.sections[0].rules) if verdict.section else 0)
            assert (verdict.action, place) == (action, index), (url, rules.rules)
            direct = action is RuleAction.DIRECT
            assert answer == ("DIRECT" if direct else f"SOCKS5 127.0.0.1:{PORT}"), (url, rules.rules, rules.default)
            tunnel = {"type": "socks", "host": "127.0.0.1", "port": PORT, "proxyDNS": True}
            assert decision == (None if direct else tunnel), (url, rules.rules)
            seen.add((action, verdict.rule.kind if verdict.rule else None))
    assert seen >= {(action, kind) for action in RuleAction for kind in [*RuleKind, None]}


def test_the_extension_carries_the_same_engine() -> None:
    engine = (SOURCES / "host/qnet/browser/decide.js").read_text()
    assert (SOURCES / "extension/lib/decide.js").read_text() == engine + "\nexport { decider };\n"


def test_expressions_mean_the_same_in_both_languages() -> None:
    """Random expressions over all that the grammar has: both engines find what Python finds with the original."""
    rng = random.Random("expressions")
    atoms = [
        "a",
        "b",
        ".",
        r"\.",
        "[ab]",
        "[^a]",
        r"\d",
        r"\W",
        "(a|b)",
        "(?:ab|ba)",
        "^",
        "$",
        r"\b",
        "-",
        "[a-c]",
        "A",
    ]
    expressions = []
    while len(expressions) < 2000:
        text = "".join(
            rng.choice(atoms) + rng.choice(["", "", "", "*", "+", "?", "{1,2}", "{2}", "+?"]) for _ in range(4)
        )
        try:
            checked(Rule(kind=RuleKind.REGEX, pattern=text, action=RuleAction.DIRECT))
        except RuleError:
            continue
        expressions.append(text)
    hosts = ["a.b", "ab.ba-b", "b1.aab", "c", "ba.ab.abab", "a-1.bb", "1.2.3.4", "x_y.c"]
    rules = [
        RuleSet([Section("", [Rule(kind=RuleKind.REGEX, pattern=e, action=RuleAction.DIRECT)])]) for e in expressions
    ]
    request = [{"text": compile_pac(PORT, r).text, "urls": [[f"http://{h}/", h] for h in hosts]} for r in rules]
    run = subprocess.run(
        ["node", "--input-type=module", "-e", ASK.replace("SOURCES", str(SOURCES))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    for expression, (answers, _) in zip(expressions, json.loads(run.stdout), strict=True):
        expected = [re.search(expression, host, re.IGNORECASE | re.ASCII) is not None for host in hosts]
        assert [answer == "DIRECT" for answer in answers] == expected, expression
