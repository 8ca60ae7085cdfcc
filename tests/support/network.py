"""A QNet of real processes on loopback: a decoy (nginx), a super peer, a client's helper. For tests, demo and bench."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from qnet.net.control_client import request
from qnet.wire.messages import Connect, GetStatus, State
from tests.support.tls_servers import Authority, free_port, nginx

DECOY_NAME = "decoy.test"
START_SECONDS = 20.0


@dataclass(slots=True)
class Node:
    """One helper process; ``home`` is its QNET_HOME, ``inside`` what leads to its network namespace."""

    home: Path
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    socks_port: int = 0
    status_port: int = 0
    inside: Sequence[str] = ()

    @property
    def environment(self) -> dict[str, str]:
        ample = {"EXIT_STREAMS_PER_MINUTE": "100000", "EXIT_CONNECTS_PER_CLIENT": "1000"}
        return ample | os.environ | {"QNET_HOME": str(self.home), "EXIT_ABUSE_EMAIL": "abuse@example.test"}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``qnet`` for this node."""
        return subprocess.run(
            [sys.executable, "-m", "qnet", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def status(self) -> dict:
        done = self.command("status", "--json")
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def answers(self) -> bool:
        """Whether its helper runs; it answers once everything listens."""
        return (self.home / "run" / "control.sock").exists() and self.command("status").returncode == 0

    def wait(self, state: str, seconds: float = START_SECONDS) -> dict:
        deadline = time.monotonic() + seconds
        while True:
            status = self.status()
            if status["state"] == state:
                return status
            if time.monotonic() > deadline:
                raise TimeoutError(f"{status} instead of {state}")
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Ids of the processes that its helper has started."""
        assert self.process is not None
        first = self.process.pid
        return [int(each) for each in Path(f"/proc/{first}/task/{first}/children").read_text().split()]

    def let_go(self) -> None:
        """End a client's link that nobody uses, as somebody does who connects and goes away: the next stream makes one.

        Raises ``RuntimeError`` where it does not end.
        """
        control = self.home / "run" / "control.sock"
        for _ in range(20):
            request(control, Connect(id=1))
            time.sleep(0.05)
            status = request(control, GetStatus(id=1)).status
            if status is not None and status.state is State.OFFLINE:
                return
            time.sleep(0.1)
        raise RuntimeError("the link does not end")


@dataclass(slots=True)
class Network:
    """``public``: the super peer's port; ``decoy``: the decoy's own."""

    authority: Authority
    roots: Path
    decoy: int
    public: int
    peer: Node
    client: Node


def public_node(
    home: Path,
    listen: int,
    decoy: int,
    roots: Path,
    rules: Sequence[str],
    *,
    mode: str = "super",
    nickname: str = "tulip",
    address: int | None = None,
    host: str = "127.0.0.1",
    decoy_name: str = DECOY_NAME,
) -> Node:
    """A peer in front of the decoy, not started; clients reach it at port ``address`` if not at ``listen``."""
    return Node(
        home,
        [
            f"--helper-mode={mode}",
            f"--nickname={nickname}",
            "--country=NL",
            f"--listen={host}:{listen}",
            f"--address={host}:{address or listen}",
            f"--decoy={decoy_name}:{decoy}",
            f"--decoy-address=127.0.0.1:{decoy}",
            f"--decoy-roots={roots}",
            "--status-port=0",
            *rules,
        ],
    )


def joined_client(home: Path, peers: Sequence[Node], roots: Path, hops: int = 1) -> Node:
    """A client as a person has it: settings, joined peers, no helper running."""
    client = Node(home, [], socks_port=free_port(), status_port=free_port())
    (home / "config").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    ports = {"socks_port": client.socks_port, "status_port": client.status_port}
    settings = ports | {"decoy_roots": str(roots), "hops": hops}
    (home / "config" / "settings.json").write_text(json.dumps(settings))
    for peer in peers:
        joined = client.command("join", str(peer.home / "data" / "descriptor.qnet"))
        if joined.returncode:
            raise RuntimeError(joined.stderr)
    return client


@contextmanager
def started(made: Node) -> Iterator[Node]:
    """The node's helper, ready; it ends with the block."""
    home = made.home
    home.mkdir(mode=0o700, exist_ok=True)
    command = [*made.inside, sys.executable, "-m", "qnet", "--debug", "run", *made.arguments]
    log = home / "stderr.log"
    with log.open("wb") as stderr:
        made.process = subprocess.Popen(command, env=made.environment, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not made.answers():
            if made.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"qnet run ended with {made.process.poll()}: {log.read_text()}")
            time.sleep(0.02)
        yield made
    finally:
        made.process.terminate()
        try:
            made.process.wait(10)
        except subprocess.TimeoutExpired:
            made.process.kill()
            made.process.wait()


@dataclass(frozen=True, slots=True)
class Decoy:
    """nginx as ``DECOY_NAME`` at ``port``. ``roots``: the file with what its certificate comes from."""

    authority: Authority
    roots: Path
    port: int


@contextmanager
def standing_decoy(folder: Path) -> Iterator[Decoy]:
    """A decoy with its files in ``folder``, which exists."""
    authority = Authority()
    roots = authority.write(folder)
    (folder / "decoy").mkdir()
    with nginx(folder / "decoy", authority.issue(DECOY_NAME)) as port:
        yield Decoy(authority, roots, port)


@contextmanager
def network(folder: Path, *exit_rules: str) -> Iterator[Network]:
    """Everything up, the client joined but not connected. ``exit_rules``: ``--exit-allow`` and the like."""
    with ExitStack() as stack:
        decoy = stack.enter_context(standing_decoy(folder))
        public = free_port()
        peer = stack.enter_context(started(public_node(folder / "peer", public, decoy.port, decoy.roots, exit_rules)))
        client = stack.enter_context(started(joined_client(folder / "client", [peer], decoy.roots)))
        yield Network(decoy.authority, decoy.roots, decoy.port, public, peer, client)


ANY_PORT = "--relay-allow=127.0.0.1/32:*"
"""Circuits may go on to other peers of this computer."""


@dataclass(slots=True)
class Community:
    """A network founded, endorsed and joined with the commands that people use; every public node runs."""

    folder: Path
    roots: Path
    decoy: int
    operators: list[Node]
    relays: list[Node]
    exits: list[Node]
    link: str

    @property
    def public(self) -> list[Node]:
        return [*self.operators, *self.relays, *self.exits]

    def newcomer(self, name: str, hops: int = 1, **settings: object) -> Node:
        """A client that has joined, with nothing known but the link; not started."""
        client = joined_client(self.folder / name, [], self.roots, hops)
        path = client.home / "config" / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        must(client.command("join", "--yes", self.link))
        return client

    def listed(self, operator: Node) -> list[str]:
        """The ids that an operator's directory shows; while it begins anew in another network there is none."""
        url = f"http://127.0.0.1:{operator.status_port}/api/relays/by-country"
        try:
            with urllib.request.urlopen(url, timeout=5) as got:
                return [item["peer_id"] for items in json.load(got).values() for item in items]
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return []

    def settle(self, count: int, seconds: float = START_SECONDS) -> None:
        """Wait until every operator lists ``count`` peers."""
        deadline = time.monotonic() + seconds
        while any(len(self.listed(each)) != count for each in self.operators):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{[len(self.listed(each)) for each in self.operators]} listed, not {count}")
            time.sleep(0.1)


def must(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed; it has to succeed."""
    if done.returncode:
        raise RuntimeError(f"{done.args}: {done.stderr}")
    return done.stdout.strip()


@contextmanager
def community(
    folder: Path,
    *,
    relays: int = 2,
    exits: int = 1,
    operators: int = 3,
    exit_rules: Sequence[str] = (),
    operator_mode: str = "super",
    operator_rules: Sequence[str] = (),
    countries: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Community]:
    """Everything up and every peer listed with every operator. ``countries``: of the first nodes, if not NL.

    ``say`` is told each step.
    """
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        stands = stack.enter_context(standing_decoy(folder))
        roots, decoy = stands.roots, stands.port
        say(f"a decoy is up: https://{DECOY_NAME} (nginx)")

        def node(name: str, mode: str, rules: Sequence[str]) -> Node:
            status = free_port()
            rules = [*rules, ANY_PORT, f"--status-port={status}"]
            made = public_node(folder / name, free_port(), decoy, roots, rules, mode=mode, nickname=name)
            made.status_port = status
            return made

        makes = [(f"operator{at + 1}", operator_mode, [*exit_rules, *operator_rules]) for at in range(operators)]
        makes += [(f"relay{at + 1}", "relay", []) for at in range(relays)]
        makes += [(f"exit{at + 1}", "exit", list(exit_rules)) for at in range(exits)]
        for (_, _, rules), country in zip(makes, countries, strict=False):
            rules.append(f"--country={country}")
        nodes = [node(*each) for each in makes]
        # Entered in parallel, left in order: an exit stack is not for threads.
        entered = [started(each) for each in nodes]
        waits = [pool.submit(each.__enter__) for each in entered]
        for each, wait in zip(entered, waits, strict=True):
            wait.result()
            stack.push(each)
        say(f"{len(nodes)} nodes run, strangers to each other yet: {', '.join(name for name, *_ in makes)}")
        files = [each.home / "node.qnet" for each in nodes]
        list(pool.map(lambda pair: must(pair[0].command("descriptor", str(pair[1]))), zip(nodes, files, strict=True)))
        chosen = [f"--operator={file}" for file in files[:operators]]
        must(nodes[0].command("network", "init", "Tulip Friends", *chosen))
        link = must(nodes[0].command("invite"))
        say(f"operator1 has founded the network; its link has {len(link)} characters")

        def enrol(number: int) -> None:
            """Endorsed by one operator, a different one each, and joined."""
            each = nodes[number]
            if number >= operators:
                word = each.home / "word.qnet"
                must(nodes[number % operators].command("endorse", str(files[number]), str(word)))
                must(each.command("accept", str(word)))
            if number:
                must(each.command("join", "--yes", link))

        list(pool.map(enrol, range(len(nodes))))
        say("the operators have endorsed the others, and all have joined")
        made = Community(
            folder,
            roots,
            decoy,
            nodes[:operators],
            nodes[operators : operators + relays],
            nodes[operators + relays :],
            link,
        )
        count = len(nodes) if operator_mode == "super" else relays + exits  # a bootstrap registers nowhere
        made.settle(count)
        say(f"every operator's directory lists all {count}")
        yield made
