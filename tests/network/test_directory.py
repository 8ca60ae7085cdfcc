"""The directory between real processes: three operators, relays and an exit that register, clients that ask."""

import base64
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
import redis

from qnet.keys import load_or_create
from qnet.mesh.directory import HEARTBEAT_SECONDS, TTL
from qnet.wire import descriptor, heartbeat
from qnet.wire.heartbeat import Heartbeat
from tests.network.conftest import Site
from tests.support.directories import text
from tests.support.network import (
    ANY_PORT,
    DECOY_NAME,
    Community,
    Node,
    community,
    joined_client,
    must,
    public_node,
    started,
)
from tests.support.tls_servers import Authority, free_port, nginx


@pytest.fixture(scope="module")
def mesh(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Community]:
    rules = (f"--exit-map=site.test:80=127.0.0.1:{site.port}", "--exit-only")
    with community(tmp_path_factory.mktemp("mesh"), relays=2, exits=1, exit_rules=rules) as made:
        yield made


def ask(node: Node, path: str) -> tuple[int, dict]:
    """What a node's status port answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.status_port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def curl(client: Node, url: str) -> subprocess.CompletedProcess[bytes]:
    proxy = f"127.0.0.1:{client.socks_port}"
    command = ["curl", "-sS", "--max-time", "20", "--noproxy", "", "--socks5-hostname", proxy, url]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


def until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def identity(node: Node) -> str:
    data = (node.home / "data" / "descriptor.qnet").read_bytes()
    return descriptor.verify(data, time.time()).peer_id.hex()


def log(node: Node) -> str:
    return (node.home / "stderr.log").read_text()


@dataclass
class Fronts:
    """One operator with two front ends over one store, and a relay of its network.

    ``beats``: when the store got a heartbeat of the relay, in seconds, and its number; written while other tests run.
    """

    nodes: list[Node]
    relay: Node
    store: int
    beats: list[tuple[float, int]] = field(default_factory=list)

    def record(self, end: threading.Event) -> None:
        with redis.Redis(port=self.store) as connection:
            while not end.wait(0.1):
                seq = int(connection.get(f"qnet:seq:{identity(self.relay)}") or 0)
                if seq and (not self.beats or seq != self.beats[-1][1]):
                    self.beats.append((time.monotonic(), seq))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)) as connection:
            connection.ping()
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def fronts(store: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    folder = tmp_path_factory.mktemp("fronts")
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        nodes: list[Node] = []
        for number in range(2):
            home = folder / f"front{number}"
            (home / "data").mkdir(parents=True, mode=0o700)
            home.chmod(0o700)
            if nodes:  # one operator: the keys are the same, and so is the order of the buckets
                for name in ("node.keys", "network.qnet-network", "buckets.key"):
                    copy = home / "data" / name
                    copy.write_bytes((nodes[0].home / "data" / name).read_bytes())
                    copy.chmod(0o600)
            rules = [
                f"--directory-redis=redis://127.0.0.1:{store}/0",
                f"--status-port={(status := free_port())}",
                ANY_PORT,
            ]
            node = public_node(home, free_port(), decoy, roots, rules, mode="bootstrap", nickname="front")
            node.status_port = status
            nodes.append(stack.enter_context(started(node)))
            if number == 0:
                must(node.command("descriptor", str(folder / "operator.qnet")))
                must(node.command("network", "init", "--open", "meadow", f"--operator={folder / 'operator.qnet'}"))
                until(lambda: (nodes[0].home / "data" / "buckets.key").exists(), 5)
        relay = public_node(folder / "relay", free_port(), decoy, roots, [ANY_PORT], mode="relay", nickname="relay")
        stack.enter_context(started(relay))
        must(relay.command("join", "--yes", must(nodes[0].command("invite"))))
        made, end = Fronts(nodes, relay, store), threading.Event()
        recorder = threading.Thread(target=made.record, args=(end,))
        recorder.start()
        stack.callback(recorder.join)
        stack.callback(end.set)
        yield made


def test_two_front_ends_are_one_directory(fronts: Fronts) -> None:
    def listed(front: Node) -> list[str]:
        return [item["peer_id"] for items in ask(front, "/api/relays/by-country")[1].values() for item in items]

    until(lambda: all(identity(fronts.relay) in listed(front) for front in fronts.nodes), 10)
    assert ask(fronts.nodes[0], "/status")[1]["mode"] == "bootstrap" and fronts.nodes[0].status()["exit"] is None
    with redis.Redis(port=fronts.store) as connection:
        assert 0 < connection.ttl(f"qnet:seq:{identity(fronts.relay)}") <= TTL


def test_every_operator_lists_everyone_once_and_says_what_they_are(mesh: Community) -> None:
    for operator in mesh.operators:
        code, answer = ask(operator, "/api/relays/by-country")
        assert code == 200 and set(answer) == {"NL"}
        assert sorted(item["peer_id"] for item in answer["NL"]) == sorted(map(identity, mesh.public))
    roles = {
        found.nickname: found.roles
        for item in answer["NL"]
        for found in [descriptor.verify(base64.b64decode(item["descriptor"]), time.time())]
    }
    assert roles["relay1"] == ("entry", "relay") and roles["exit1"] == ("entry", "relay", "exit")
    assert roles["operator1"] == ("entry", "relay", "exit", "bootstrap")


def test_a_node_without_a_directory_says_so_in_json(mesh: Community) -> None:
    for node in (mesh.relays[0], mesh.exits[0]):
        for path in ("/api/relays/by-country", "/api/relays/prune", "/api/anything"):
            code, answer = ask(node, path)
            assert code == 404 and answer["error"]["code"] == "not-found"


def test_the_operator_prunes_from_its_own_computer(mesh: Community) -> None:
    assert ask(mesh.operators[0], "/api/relays/prune") == (200, {"pruned": 0})


def test_a_newcomer_finds_the_mesh_in_two_seconds_and_browses(mesh: Community) -> None:
    for hops in (1, 3):
        client = mesh.newcomer(f"newcomer{hops}", hops)
        client.arguments = ["--connect"]
        began = time.monotonic()
        with started(client):
            status = client.wait("connected")
            # Process start, query, route and two runs of the command line are in it.
            assert time.monotonic() - began < 6
            assert len(status["hops"]) == hops
            assert curl(client, "http://site.test/").stdout.endswith(b"hello from the site\n")
            assert ask(client, "/api/relays/by-country")[0] == 404
        assert not any((client.home / "data").glob("node.keys")), "a client has no identity to register with"
    assert {len(mesh.listed(each)) for each in mesh.operators} == {len(mesh.public)}


def test_a_query_takes_less_than_two_seconds(mesh: Community) -> None:
    """From the first moment that the status answers; what came before is the start of the process."""
    client = mesh.newcomer("cold")
    took = []
    for _ in range(3):
        (client.home / "data" / "peers.cache").unlink(missing_ok=True)
        with started(client):
            up = time.monotonic()
            until(lambda: ask(client, "/status")[1]["peers"], 5)
            took.append(time.monotonic() - up)
    assert max(took) < 2, took


def test_no_program_and_no_page_reaches_the_directory_through_the_proxy(mesh: Community) -> None:
    client = mesh.newcomer("curious")
    with started(client):
        for name in ("directory.qnet", "DIRECTORY.QNET", "other.qnet"):
            done = curl(client, f"http://{name}/api/relays/by-country")
            assert done.returncode == 97 and not done.stdout, done.stderr
        assert client.status()["circuits"] == 0, "nobody was even asked"


def test_a_network_joined_while_the_helper_runs_is_used_at_once(mesh: Community) -> None:
    client = joined_client(mesh.folder / "later", [], mesh.roots)
    with started(client):
        assert client.status()["peers"] == 0
        must(client.command("join", "--yes", mesh.link))
        until(lambda: curl(client, "http://site.test/").stdout.endswith(b"hello from the site\n"), 15)


def test_a_hidden_relay_registers_and_is_shown_to_nobody_but_its_guests(mesh: Community) -> None:
    rules = [ANY_PORT, "--invite-only"]
    relay = public_node(mesh.folder / "hidden", free_port(), mesh.decoy, mesh.roots, rules, mode="relay", nickname="h")
    with started(relay):
        file, word = mesh.folder / "hidden.qnet", mesh.folder / "hidden.word"
        must(relay.command("descriptor", str(file)))
        must(mesh.operators[0].command("endorse", str(file), str(word)))
        must(relay.command("accept", str(word)))
        must(relay.command("join", "--yes", mesh.link))
        link = must(mesh.operators[0].command("invite", f"--peer={file}"))
        time.sleep(2)
        assert "does not list" not in log(relay)
        assert all(identity(relay) not in mesh.listed(each) for each in mesh.operators)
        guest = joined_client(mesh.folder / "guest", [], mesh.roots, 3)
        must(guest.command("join", "--yes", link))
        guest.arguments = ["--connect"]
        with started(guest):
            guest.wait("connected", 40)
            assert guest.status()["peers"] == len(mesh.public) + 1


def test_registered_with_one_it_appears_in_all(mesh: Community) -> None:
    """A relay that has joined no network; its registration is made here, at the first operator only."""
    relay = public_node(
        mesh.folder / "lonely", free_port(), mesh.decoy, mesh.roots, [ANY_PORT], mode="relay", nickname="lonely"
    )
    first, *others = mesh.operators
    with started(relay):
        data = (relay.home / "data" / "descriptor.qnet").read_bytes()
        (mesh.folder / "lonely.qnet").write_bytes(data)
        must(others[0].command("endorse", str(mesh.folder / "lonely.qnet"), str(mesh.folder / "word")))
        key = load_or_create(relay.home / "data").identity
        found = descriptor.verify(data, time.time())

        def body(described: bytes) -> dict:
            now = time.time()
            beat = heartbeat.sign(Heartbeat(found.peer_id, int(now * 1000), int(now), 0), key)
            words = [text((mesh.folder / "word").read_bytes())]
            return {"descriptor": text(described), "endorsements": words, "heartbeat": text(beat)}

        url = f"http://127.0.0.1:{first.status_port}/api/relay/register"
        with httpx.Client(trust_env=False, timeout=20) as client:
            assert client.post(url, json=body(data)).json() == {"registered": True, "is_new": True}
            assert client.post(url, json=body(data)).json() == {"registered": True, "is_new": False}
        assert mesh.listed(first).count(found.peer_id.hex()) == 1
        until(lambda: all(found.peer_id.hex() in mesh.listed(each) for each in others), 40)


def test_a_peer_whose_keys_are_another_machines_is_not_listed(mesh: Community) -> None:
    """Its signatures are good and it is endorsed; but what answers at its address is the first relay."""
    relay = mesh.relays[0]
    folder = mesh.folder / "impostor"
    (folder / "data").mkdir(parents=True, mode=0o700)
    (folder / "config").mkdir(mode=0o700)
    folder.chmod(0o700)
    key = load_or_create(folder / "data").identity
    real = descriptor.verify((relay.home / "data" / "descriptor.qnet").read_bytes(), time.time())
    now = int(time.time())
    fields = {name: getattr(real, name) for name in ("noise", "cover", "cover_secret", "addresses", "decoy", "roles")}
    fake = descriptor.Descriptor(
        identity=key.public_key().public_bytes_raw(), issued=now, expires=now + 999, country="NL", **fields
    )
    (folder / "fake").write_bytes(descriptor.sign(fake, key))
    must(mesh.operators[0].command("endorse", str(folder / "fake"), str(folder / "word")))
    beat = heartbeat.sign(Heartbeat(fake.peer_id, now, now, 0), key)
    body = {
        "descriptor": text((folder / "fake").read_bytes()),
        "endorsements": [text((folder / "word").read_bytes())],
        "heartbeat": text(beat),
    }
    url = f"http://127.0.0.1:{mesh.operators[0].status_port}/api/relay/register"
    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.post(url, json=body)
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "unproven"


def test_plain_http_where_an_operator_asks_for_it(mesh: Community) -> None:
    """And a super peer that the network file does not name runs no directory for it, and says why."""
    port = free_port()
    rules = [f"--directory-http=127.0.0.1:{port}", f"--status-port={(status := free_port())}", "--exit-only"]
    node = public_node(mesh.folder / "open", free_port(), mesh.decoy, mesh.roots, rules, nickname="open")
    node.status_port = status
    with started(node):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/relays/by-country", timeout=5) as answer:
            alone = json.load(answer)
        assert [item["peer_id"] for item in alone["NL"]] == [identity(node)], "an operator by itself lists itself"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5)
        must(node.command("join", "--yes", mesh.link))
        until(lambda: ask(node, "/api/relays/by-country")[0] == 404, 5)
        until(lambda: "runs no directory" in log(node), 5)
        until(lambda: "no operator of this network endorses" in log(node), 10)


def test_operators_that_fall_silent_one_after_the_other(mesh: Community) -> None:
    """One dead: the others are asked. All dead: what is on disk. That damaged too: the operators are the peers."""
    client = mesh.newcomer("patient")
    client.arguments = ["--connect"]
    dead, *rest = mesh.operators
    stop(dead)
    with started(client):
        client.wait("connected")
        assert curl(client, "http://site.test/").stdout.endswith(b"hello from the site\n")
    for each in rest:
        stop(each)
    with started(client):
        assert client.wait("connected")["hops"][0]["nickname"] == "exit1"
        assert curl(client, "http://site.test/").stdout.endswith(b"hello from the site\n")
    (client.home / "data" / "peers.cache").write_bytes(b"\x00 junk")
    with started(client):
        until(lambda: client.status()["last_error"], 15)
        status = client.status()
        assert (status["peers"], status["last_error"]["code"]) == (3, "peer-unreachable")
    assert "cannot be read from disk (it is damaged)" in log(client)


def stop(node: Node) -> None:
    assert node.process is not None
    node.process.terminate()
    node.process.wait(10)


def test_a_heartbeat_comes_every_30_seconds(fronts: Fronts) -> None:
    """Recorded since the first test of this file; what is missing is waited for."""
    seen = len(fronts.beats)
    until(lambda: len(fronts.beats) >= max(seen, 2), 35)
    (before, earlier), (after, later) = fronts.beats[-2:]
    assert after - before == pytest.approx(HEARTBEAT_SECONDS, abs=2)
    assert (later - earlier) / 1000 == pytest.approx(HEARTBEAT_SECONDS, abs=2), "numbered by the time of their signing"
