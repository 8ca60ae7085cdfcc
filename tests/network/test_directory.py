"""The directory between real processes: three operators, relays and an exit that register, clients that ask."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

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
            guest.wait("connected")
            assert guest.status()["peers"] == 1 + len(mesh.listed(mesh.operators[0]))


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


# --- one operator, two front ends


@pytest.fixture
def store(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)) as connection:
            connection.ping()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def test_two_front_ends_are_one_directory_and_a_heartbeat_comes_every_30_seconds(tmp_path: Path, store: int) -> None:
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(tmp_path)
        (tmp_path / "decoy").mkdir()
        decoy = stack.enter_context(nginx(tmp_path / "decoy", authority.issue(DECOY_NAME)))
        shared = [f"--directory-redis=redis://127.0.0.1:{store}/0", ANY_PORT]
        fronts = []
        for number in range(2):
            home = tmp_path / f"front{number}"
            (home / "data").mkdir(parents=True, mode=0o700)
            home.chmod(0o700)
            if fronts:  # one operator: the keys are the same, and so is the order of the buckets
                for name in ("node.keys", "network.qnet-network", "buckets.key"):
                    copy = home / "data" / name
                    copy.write_bytes((fronts[0].home / "data" / name).read_bytes())
                    copy.chmod(0o600)
            ports = [f"--status-port={(status := free_port())}"]
            node = public_node(home, free_port(), decoy, roots, [*shared, *ports], mode="bootstrap", nickname="front")
            node.status_port = status
            fronts.append(stack.enter_context(started(node)))
            if number == 0:
                must(node.command("descriptor", str(tmp_path / "operator.qnet")))
                must(node.command("network", "init", "--open", "meadow", f"--operator={tmp_path / 'operator.qnet'}"))
                until(lambda: (fronts[0].home / "data" / "buckets.key").exists(), 5)
        link = must(fronts[0].command("invite"))
        relay = public_node(tmp_path / "relay", free_port(), decoy, roots, [ANY_PORT], mode="relay", nickname="relay")
        stack.enter_context(started(relay))
        must(relay.command("join", "--yes", link))
        until(lambda: all(identity(relay) in listed(front) for front in fronts), 10)
        assert ask(fronts[0], "/status")[1]["mode"] == "bootstrap" and fronts[0].status()["exit"] is None
        with redis.Redis(port=store) as connection:
            key = f"qnet:seq:{identity(relay)}"
            at, seq = time.monotonic(), connection.get(key)
            assert 0 < connection.ttl(key) <= TTL
            until(lambda: connection.get(key) != seq, 35)
            first = time.monotonic() - at
            assert first <= HEARTBEAT_SECONDS + 2
            assert 0 < int(connection.get(key)) - int(seq) <= (HEARTBEAT_SECONDS + 2) * 1000
            assert int(connection.get(key)) - int(seq) >= (HEARTBEAT_SECONDS - 2) * 1000


def listed(front: Node) -> list[str]:
    return [item["peer_id"] for items in ask(front, "/api/relays/by-country")[1].values() for item in items]
