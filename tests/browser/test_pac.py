import hashlib
import json
import subprocess

import pytest

from qnet.browser.pac import compile_pac

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
