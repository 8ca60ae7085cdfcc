"""Each link of the chain, broken for real, is what the doctor names; unbroken, all of them are in order."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.app.doctor import CHECKS, WORDS, Case, Finding, Outcome, examine
from qnet.browser.install import install
from qnet.browser.launcher import write_launcher
from qnet.browser.manifests import NAME
from qnet.net.native_client import NativeHost
from qnet.settings import find_folders
from qnet.wire.descriptor import Descriptor, sign
from qnet.wire.messages import Connect
from tests.support.network import network
from tests.support.tls_servers import free_port

TROUBLESHOOTING = Path(__file__).parents[2] / "docs" / "TROUBLESHOOTING.md"


@dataclass
class Person:
    """Somebody with two browsers, an installed helper that does not run, and one peer."""

    home: Path
    qnet: Path
    ports: tuple[int, int]

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self.home), "QNET_HOME": str(self.qnet)}

    @property
    def launcher(self) -> Path:
        return self.qnet / "data" / "qnet-host"

    def manifest(self, browser: str = ".config/chromium/NativeMessagingHosts") -> Path:
        return self.home / browser / f"{NAME}.json"

    def both(self, change: Callable[[dict], object]) -> None:
        """Change the entries of both browsers."""
        for path in (self.manifest(), self.manifest(".mozilla/native-messaging-hosts")):
            entry = json.loads(path.read_text())
            change(entry)
            path.write_text(json.dumps(entry))

    def settings(self, **changes: object) -> None:
        path = self.qnet / "config" / "settings.json"
        path.write_text(json.dumps({"socks_port": self.ports[0], "status_port": self.ports[1]} | changes))

    def peer(self, issued: float, expires: float) -> None:
        key = Ed25519PrivateKey.generate()
        made = Descriptor(
            identity=key.public_key().public_bytes_raw(),
            noise=bytes(32),
            cover=bytes(32),
            cover_secret=bytes(32),
            addresses=("192.0.2.1:443",),
            decoy="decoy.test",
            roles=("entry", "exit"),
            issued=int(issued),
            expires=int(expires),
        )
        (self.qnet / "data" / "peers").mkdir(exist_ok=True)
        (self.qnet / "data" / "peers" / "peer.qnet").write_bytes(sign(made, key))

    def examine(self, *, connect: bool = False) -> list[Finding]:
        folders = find_folders(self.environ)
        return list(examine(Case(folders, self.environ, self.home, "linux", connect, self.home / "root")))

    def doctor(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-m", "qnet", "doctor", *arguments]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    made = Person(tmp_path / "home", tmp_path / "qnet", (free_port(), free_port()))
    for folder in (".config/chromium", ".mozilla"):
        (made.home / folder).mkdir(parents=True)
    find_folders(made.environ).create()
    install(write_launcher(made.qnet / "data"), made.home, "linux")
    made.settings()
    made.peer(time.time() - 60, time.time() + 86400)
    yield made
    running = subprocess.run([sys.executable, "-I", "-m", "qnet", "stop"], env=made.environ, capture_output=True)
    assert running.returncode == 69, "the doctor left a helper behind"


def codes(findings: list[Finding]) -> list[str]:
    return [each.code for each in findings]


def first_broken(findings: list[Finding]) -> Finding | None:
    return next((each for each in findings if each.outcome is Outcome.BROKEN), None)


def test_all_in_order(person: Person) -> None:
    found = person.examine()
    assert codes(found) == [
        *["folders", "settings", "manifest", "manifest", "port", "port", "network-none"],
        *["host-starts", "clock-unknown", "peers"],
    ]
    assert found[-1].text == "1 peer known"


def test_one_line_each_and_the_exit_code(person: Person) -> None:
    done = person.doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"^ok |^\? ", done.stdout, re.MULTILINE)) == 10
    person.manifest().unlink()
    done = person.doctor()
    assert done.returncode == 1
    assert re.search(r"^BROKEN  manifest  Chromium does not know the helper$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f"  {person.manifest()}\n  What to do: qnet install\n")


def test_json_has_nothing_personal(person: Person) -> None:
    person.manifest().write_text("{")
    done = person.doctor("--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["broken"]) == (1, False, "manifest-damaged")
    assert {"check": "manifest", "outcome": "broken", "code": "manifest-damaged", "about": "Chromium"} in told["checks"]
    for personal in (str(person.home), str(person.qnet), "192.0.2.1", "/"):
        assert personal not in done.stdout


def _no_browser(person: Person) -> None:
    shutil.rmtree(person.home)
    person.home.mkdir()


def _nonsense(person: Person) -> None:
    person.launcher.write_text("#!/bin/sh\necho this is no frame at all\nsleep 5\n")


BREAKS: dict[str, Callable[[Person], object]] = {
    "folders-unsafe": lambda person: (person.qnet / "run").chmod(0o777),
    "settings-bad": lambda person: person.settings(socks_port="many"),
    "no-browser": _no_browser,
    "manifest-missing": lambda person: person.manifest().unlink(),
    "manifest-damaged": lambda person: person.manifest().write_text('{"name": "org.other"}'),
    "id-refused": lambda person: person.both(
        lambda entry: entry.update(allowed_origins=["chrome-extension://x/"], allowed_extensions=["other@x"])
    ),
    "launcher-gone": lambda person: person.launcher.unlink(),
    "not-executable": lambda person: person.launcher.chmod(0o644),
    "host-launch": lambda person: person.launcher.write_bytes(b"\0\0\0\0"),
    "host-interpreter": lambda person: person.launcher.write_text("#!/bin/sh\nexec /gone/python -m qnet host\n"),
    "host-ended": lambda person: person.launcher.write_text("#!/bin/sh\nexit 0\n"),
    "host-garbage": _nonsense,
    "host-failed": lambda person: person.settings(decoy_roots="/gone.pem"),
    "network-damaged": lambda person: (person.qnet / "data" / "network.qnet-network").write_bytes(b"x"),
    "clock-behind": lambda person: person.peer(time.time() + 7200, time.time() + 86400),
    "peers-none": lambda person: shutil.rmtree(person.qnet / "data" / "peers"),
}


@pytest.mark.parametrize("code", BREAKS)
def test_a_broken_link_is_named(person: Person, code: str) -> None:
    BREAKS[code](person)
    found = person.examine()
    broken = first_broken(found)
    assert broken is not None and broken.code == code, codes(found)
    assert broken.mend
    if code == "folders-unsafe":
        (person.qnet / "run").chmod(0o700)


def test_install_mends_what_the_doctor_says_it_does(person: Person) -> None:
    for code in ("manifest-missing", "manifest-damaged", "id-refused", "launcher-gone", "not-executable"):
        BREAKS[code](person)
        install(write_launcher(person.qnet / "data"), person.home, "linux")
        assert first_broken([each for each in person.examine() if each.check == "manifest"]) is None, code


def test_what_was_installed_for_all_users_counts(person: Person) -> None:
    own = person.manifest()
    text = own.read_text()
    own.unlink()
    shared = person.home / "root/etc/chromium/native-messaging-hosts" / own.name
    shared.parent.mkdir(parents=True)
    shared.write_text(text)
    assert codes(person.examine())[2:4] == ["manifest", "manifest"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_another_program_has(person: Person, which: int) -> None:
    with socket.create_server(("127.0.0.1", person.ports[which])):
        broken = first_broken(person.examine())
    assert broken is not None
    assert (broken.code, broken.about) == ("port-in-use", str(person.ports[which]))


def test_peers_that_have_expired_may_mean_a_fast_clock(person: Person) -> None:
    person.peer(time.time() - 9000, time.time() - 60)
    found = person.examine()
    assert next(each for each in found if each.check == "clock").code == "clock-ahead"
    assert codes(found)[-1] == "peers-none"


def test_a_peer_that_does_not_answer(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qnet.app.doctor.CIRCUIT_SECONDS", 1.0)
    found = person.examine(connect=True)
    assert codes(found)[-1] == "circuit-none"


def test_a_relay_is_asked_for_its_own_ports_and_for_no_browser(person: Person) -> None:
    listen = free_port()
    person.settings(mode="relay", listen=f"127.0.0.1:{listen}", decoy="decoy.test:443")
    with socket.create_server(("127.0.0.1", listen)):
        found = person.examine()
    assert "manifest" not in codes(found)
    assert (first_broken(found) or found[0]).about == str(listen)
    assert codes(person.examine())[-4:] == ["network-none", "host-not-running", "clock-unknown", "peers-served"]


def test_with_a_real_peer_a_tunnel_is_built_and_the_helper_that_ran_runs_on(person: Person, tmp_path: Path) -> None:
    with ExitStack() as stack:
        (tmp_path / "lab").mkdir()
        lab = stack.enter_context(network(tmp_path / "lab"))
        shutil.rmtree(person.qnet / "data" / "peers")
        shutil.copytree(lab.client.home / "data" / "peers", person.qnet / "data" / "peers")
        person.settings(decoy_roots=str(lab.roots))
        assert codes(person.examine(connect=True))[-5:] == [
            *["network-none", "host-starts", "clock-unknown", "peers", "circuit"]
        ]
        other = Person(person.home, lab.client.home, (0, 0))
        lab.client.command("install")
        browser = stack.enter_context(NativeHost([str(lab.client.home / "data" / "qnet-host")], other.environ))
        assert browser.ask(Connect(id=1), 10).ok
        lab.client.wait("connected")
        found = other.examine(connect=True)
        assert codes(found)[-5:] == ["network-none", "host", "clock", "peers", "circuit"]
        assert lab.client.status()["state"] == "connected"


def test_every_finding_has_words_and_every_broken_one_a_mend() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for position, check in enumerate(CHECKS):
        assert set(check.needs) <= {each.name for each in CHECKS[:position]}
    for code, words in WORDS.items():
        assert bool(words.mend) or words.outcome is not Outcome.BROKEN, code


def test_the_guide_has_a_row_for_each_broken_link() -> None:
    rows = set(re.findall(r"^\| `([a-z-]+)` \| .+ \| .+ \|$", TROUBLESHOOTING.read_text(), re.MULTILINE))
    assert rows == {code for code, words in WORDS.items() if words.mend}
