"""Founding, inviting, joining, endorsing at the command line: what a person reads, is asked, and can do wrong."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qnet.keys import load_or_create
from qnet.roles.networks import ENDORSEMENTS, NETWORK, Networks
from qnet.wire import descriptor, network_file
from tests.support.directories import Peer, public

QNET = [sys.executable, "-I", "-m", "qnet"]


class Place:
    """A QNET_HOME of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        self.environ = {"QNET_HOME": str(home), "PATH": os.defpath, "HOME": str(home)}

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*QNET, *map(str, arguments)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def asked(self, answer: str, *arguments: object) -> tuple[int, str]:
        """Run at a terminal, with ``answer`` typed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*QNET, *map(str, arguments)],
            env=self.environ,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.write(ours, answer.encode() + b"\n")
        said = process.communicate(timeout=20)[0]
        os.close(ours)
        os.close(theirs)
        return process.returncode, said

    def network(self) -> network_file.NetworkFile | None:
        return Networks(self.home / "data").current(time.time())


@pytest.fixture
def founder(tmp_path: Path) -> Place:
    return Place(tmp_path / "founder")


@pytest.fixture
def person(tmp_path: Path) -> Place:
    return Place(tmp_path / "person")


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    path = tmp_path / "operator.qnet"
    path.write_bytes(Peer().descriptor(time.time()))
    return path


def founded(founder: Place, operator: object, *more: str) -> str:
    done = founder("network", "init", "Tulip Friends", f"--operator={operator}", *more)
    assert done.returncode == 0, done.stderr
    return founder("invite").stdout.strip()


def test_found_invite_join(founder: Place, person: Place, operator: Path) -> None:
    done = founder("network", "init", "Tulip Friends", f"--operator={operator}")
    assert done.returncode == 0 and "is founded, with 1 operator." in done.stdout and "founder.key" in done.stdout
    link = founder("invite").stdout.strip()
    network = founder.network()
    assert network is not None and link == network.link and network.name == "Tulip Friends" and not network.open
    print_ = network_file.fingerprint(network.founder)
    assert print_ in done.stdout
    code, said = person.asked("y", "join", link)
    assert code == 0 and "Tulip Friends" in said and print_ in said and "Join? [y/N]" in said
    assert person.network() == network


def test_an_operators_own_url_and_an_open_network(founder: Place, operator: Path) -> None:
    founded(founder, f"{operator}=https://directory.example:8443", "--open")
    network = founder.network()
    assert network is not None and network.open and network.operators[0].url == "https://directory.example:8443"


@pytest.mark.parametrize("answer", ["n", "", "perhaps"])
def test_who_does_not_say_yes_does_not_join(founder: Place, person: Place, operator: Path, answer: str) -> None:
    code, said = person.asked(answer, "join", founded(founder, operator))
    assert code == 77 and "nothing was changed" in said.lower() and person.network() is None


def test_where_nobody_can_be_asked_it_must_be_said(founder: Place, person: Place, operator: Path) -> None:
    link = founded(founder, operator)
    done = person("join", link)
    assert done.returncode == 77 and "--yes" in done.stderr and person.network() is None
    assert person("join", "--yes", link).returncode == 0 and person.network() == founder.network()


def test_a_file_or_a_saved_link_will_do(founder: Place, person: Place, operator: Path, tmp_path: Path) -> None:
    link = founded(founder, operator)
    for number, content in enumerate(((founder.home / "data" / NETWORK).read_bytes(), f"  {link}\n".encode())):
        path = tmp_path / f"given{number}"
        path.write_bytes(content)
        assert person("join", "--yes", path).returncode == 0
        assert person.network() == founder.network()
        (person.home / "data" / NETWORK).unlink()


def test_another_network_takes_its_place_only_when_told(
    founder: Place, person: Place, operator: Path, tmp_path: Path
) -> None:
    other = Place(tmp_path / "other")
    person("join", "--yes", founded(founder, operator))
    link = founded(other, operator)
    done = person("join", "--yes", link)
    assert done.returncode == 65 and "--replace" in done.stderr and "another network" in done.stdout
    assert person.network() == founder.network()
    assert person("join", "--yes", "--replace", link).returncode == 0 and person.network() == other.network()


def test_a_single_peers_descriptor_is_joined_without_a_question(person: Place, operator: Path) -> None:
    done = person("join", operator)
    assert done.returncode == 0 and "Joined a peer without a name" in done.stdout
    assert len(list((person.home / "data" / "peers").iterdir())) == 1 and person.network() is None


def test_invitations_to_hidden_peers(founder: Place, person: Place, operator: Path, tmp_path: Path) -> None:
    founded(founder, operator)
    hidden = Peer()
    (tmp_path / "hidden").write_bytes(hidden.descriptor(time.time(), invite_only=True))
    link = founder("invite", "--peer", tmp_path / "hidden").stdout.strip()
    person("join", "--yes", link)
    network = person.network()
    assert network is not None and descriptor.verify(network.peers[0], time.time()).peer_id == hidden.id
    refused = person("invite", "--peer", tmp_path / "hidden")
    assert refused.returncode == 65 and "only the founder" in refused.stderr


def test_the_link_as_a_picture(founder: Place, operator: Path) -> None:
    founded(founder, operator)
    done = founder("invite", "--qr")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) > 30 and len({len(line) for line in lines if line}) == 1
    assert set("".join(lines)) <= set(" ▀▄█")


def test_a_link_too_long_for_a_picture(founder: Place, tmp_path: Path) -> None:
    files = []
    for number in range(9):
        files.append(tmp_path / f"operator{number}")
        files[-1].write_bytes(Peer().descriptor(time.time()))
    founder("network", "init", "large", *(f"--operator={file}" for file in files))
    done = founder("invite", "--qr")
    assert done.returncode == 65 and "too long for a QR code" in done.stderr and not done.stdout


def test_endorse_and_accept(founder: Place, person: Place, tmp_path: Path) -> None:
    (person.home / "data").mkdir(mode=0o700)
    relay = Peer(load_or_create(person.home / "data").identity)
    (tmp_path / "relay").write_bytes(relay.descriptor(time.time(), nickname="willow"))
    done = founder("endorse", tmp_path / "relay", tmp_path / "word")
    assert done.returncode == 0 and "Endorsed willow for 90 days" in done.stdout
    for _ in range(2):
        assert person("accept", tmp_path / "word").returncode == 0
        (word,) = (person.home / "data" / ENDORSEMENTS).iterdir()
        assert word.name == public(load_or_create(founder.home / "data").identity).hex()
    assert Networks(person.home / "data").endorsements(time.time()) == [(tmp_path / "word").read_bytes()]
    elsewhere = founder("accept", tmp_path / "word")
    assert elsewhere.returncode == 65 and "another node" in elsewhere.stderr


def test_what_is_none_of_these_is_said_in_one_line(founder: Place, operator: Path, tmp_path: Path) -> None:
    junk, missing = tmp_path / "junk", tmp_path / "missing"
    junk.write_bytes(b"junk")
    cases: list[tuple[list[object], str]] = [
        (["join", missing], "cannot be read"),
        (["join", junk], "no usable network file"),
        (["join", "qnet:AAAA"], "no usable network file"),
        (["join", "qnet:?"], "cannot be used"),
        (["join", tmp_path], "cannot be read"),
        (["invite"], "has not joined a network"),
        (["network", "init", "n", f"--operator={junk}"], "not a QNet descriptor"),
        (["network", "init", "", f"--operator={operator}"], "cannot be described"),
        (["network", "init", "n", f"--operator={operator}=gopher:x"], "cannot be described"),
        (["endorse", junk, tmp_path / "out"], "not a QNet descriptor"),
        (["endorse", operator, tmp_path], "cannot be written"),
        (["accept", junk], "no usable endorsement"),
        (["accept", missing], "cannot be read"),
    ]
    for arguments, words in cases:
        done = founder(*arguments)
        assert done.returncode == 65 and words in done.stderr and done.stderr.count("\n") == 1, (arguments, done)
        assert founder.network() is None


@pytest.mark.parametrize("arguments", [["network"], ["network", "init", "n"], ["join"], ["endorse", "x"], ["accept"]])
def test_usage(founder: Place, arguments: list[str]) -> None:
    done = founder(*arguments)
    assert done.returncode == 2 and "usage: qnet" in done.stderr
