import hashlib
import json
import re
import subprocess

import pytest

from qnet.browser.pac import compile_pac
from qnet.browser.rules.ruleset import RuleSet, Section
from qnet.wire.messages import Rule, RuleAction, RuleKind

ASK = """
const vm = require("node:vm");
const { text, calls } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const context = vm.createContext({});
vm.runInContext(text, context, { timeout: 1000 });
const answers = calls.map((call) => vm.runInContext(`FindProxyForURL(${call})`, context, { timeout: 1000 }));
process.stdout.write(JSON.stringify(answers));
"""

CALLS = [
    '"http://site.test/", "site.test"',
    '"https://xn--e1afmkfd.test/", "xn--e1afmkfd.test"',
    '"http://[::1]/", "::1"',
    '"http://10.0.0.1/", "10.0.0.1"',
    '"ws://printer/", "printer"',
    '"", ""',
    "undefined, undefined",
    "null, {}",
    "",
    "{ toString() { throw new Error() } }, { get length() { throw new Error() } }",
]


def evaluate(text: str, calls: list[str]) -> list[str]:
    """What a real JavaScript engine answers to each ``FindProxyForURL(call)``."""
    run = subprocess.run(
        ["node", "-e", ASK],
        input=json.dumps({"text": text, "calls": calls}),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(run.stdout)
    return answers


@pytest.mark.parametrize("port", [1, 1088, 65535])
def test_everything_goes_through_the_port_and_nothing_else(port: int) -> None:
    assert set(evaluate(compile_pac(port).text, CALLS)) == {f"SOCKS5 127.0.0.1:{port}"}


def test_no_direct_in_the_script() -> None:
    assert "DIRECT" not in compile_pac(1088).text.upper()


def pac(*rules: Rule, default: RuleAction = RuleAction.TUNNEL) -> str:
    return compile_pac(1088, RuleSet([Section("", rules)], default)).text


DIRECT = Rule(kind=RuleKind.DOMAIN, pattern="direct.test", action=RuleAction.DIRECT)


def test_direct_is_said_for_the_rule_and_alone() -> None:
    calls = ['"http://a.direct.test/", "a.direct.test"', '"http://direct.test/", "direct.test."', *CALLS]
    proxied = ["SOCKS5 127.0.0.1:1088"] * len(CALLS)
    assert evaluate(pac(DIRECT), calls) == ["DIRECT", "DIRECT", *proxied]


def test_odd_calls_are_not_direct_even_where_all_else_is() -> None:
    answers = evaluate(pac(default=RuleAction.DIRECT), CALLS)
    odd = CALLS.index('"", ""')
    assert set(answers[:odd]) == {"DIRECT"}
    assert set(answers[odd:]) == {"SOCKS5 127.0.0.1:1088"}


@pytest.mark.parametrize("table", ['{"direct":true,"segments":[[1]]}', '{"direct":true,"segments":7}', "null", "{}"])
def test_a_damaged_table_is_closed(table: str) -> None:
    text = pac(default=RuleAction.DIRECT)
    damaged = re.sub(r"^var TABLE = .*;$", f"var TABLE = {table};", text, flags=re.MULTILINE)
    assert damaged != text
    assert evaluate(damaged, CALLS[:1]) == ["SOCKS5 127.0.0.1:1088"]


def test_notes_never_reach_the_script() -> None:
    noted = Rule(kind=RuleKind.DOMAIN, pattern="a.test", action=RuleAction.DIRECT, note="*/ alert(1) </script>")
    assert "alert" not in pac(noted)


def test_hash_names_the_text() -> None:
    one, other = compile_pac(1088), compile_pac(1089)
    assert one.hash == hashlib.sha256(one.text.encode()).hexdigest()
    assert one.hash != other.hash
    assert one == compile_pac(1088)


def test_ascii_so_that_characters_are_the_same_count_in_both_languages() -> None:
    assert compile_pac(1088).text.isascii()


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_no_port(port: int) -> None:
    with pytest.raises(ValueError):
        compile_pac(port)
