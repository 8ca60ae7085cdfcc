"""Relays that nobody can dial, as real processes: a public relay, a hidden one that listens nowhere, an exit.

The nodes are joined by hand, where nobody vouches for anybody: there a hidden one stands in the middle of a route.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.network.conftest import BIG, Site
from tests.support.network import DECOY_NAME, Node, community, joined_client, must, public_node, started
from tests.support.tls_servers import Authority, free_port, nginx

LOCAL = "--relay-allow=127.0.0.1/32:*"


@dataclass
class Mesh:
    public: Node
    hidden: Node
    last: Node
    client: Node


@pytest.fixture(scope="module")
def mesh(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("nat")
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        rules = [f"--exit-map=site.test:80=127.0.0.1:{site.port}", "--exit-only"]
        public = public_node(folder / "public", free_port(), decoy, roots, [LOCAL], mode="relay", nickname="public")
        last = public_node(folder / "last", free_port(), decoy, roots, rules, mode="exit", nickname="last")
        for each in (public, last):
            stack.enter_context(started(each))
        via = folder / "public.qnet"
        must(public.command("descriptor", str(via)))
        hidden = Node(
            folder / "hidden",
            ["--relay-only", f"--via={via}", f"--decoy-roots={roots}", LOCAL, "--nickname=mole", "--status-port=0"],
        )
        stack.enter_context(started(hidden))
        client = stack.enter_context(started(joined_client(folder / "client", [public, hidden, last], roots, 3)))
        yield Mesh(public, hidden, last, client)


def curl(mesh: Mesh, url: str) -> subprocess.CompletedProcess[bytes]:
    proxy = f"http://127.0.0.1:{mesh.client.socks_port}"
    command = ["curl", "-sS", "--noproxy", "", "-x", proxy, "-w", "%{stderr}%{http_code}", url]
    return subprocess.run(command, capture_output=True, timeout=40, check=False)


def listening(node: Node) -> set[str]:
    """Where the node's process takes TCP connections, as ``ss`` says."""
    assert node.process is not None
    rows = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {row.split()[3] for row in rows if f"pid={node.process.pid}," in row}


def test_a_page_and_twenty_megabytes_through_a_relay_that_listens_nowhere(mesh: Mesh, site: Site) -> None:
    done = curl(mesh, "http://site.test/")
    assert done.stdout == b"<title>site</title>hello from the site\n", done.stderr
    assert [hop["nickname"] for hop in mesh.client.status()["hops"]] == ["public", "mole", "last"]
    assert curl(mesh, "http://site.test/big").stdout == (site.folder / "big").read_bytes()
    assert (site.folder / "big").stat().st_size >= BIG // 256 * 256


def test_it_listens_for_nobody_but_this_computers_status(mesh: Mesh) -> None:
    assert listening(mesh.public) - listening(mesh.hidden), "the public one does"
    own = listening(mesh.hidden)
    assert len(own) <= 2 and all(place.startswith("127.0.0.1:") for place in own), own
    assert mesh.hidden.status()["state"] == "connected"


def test_when_the_public_relay_comes_back_so_does_the_hidden_one(mesh: Mesh) -> None:
    assert mesh.public.process is not None
    mesh.public.process.kill()
    mesh.public.process.wait()
    mesh.hidden.wait("connecting")
    with started(mesh.public):
        mesh.hidden.wait("connected", 30)
        deadline = time.monotonic() + 30
        while b"hello" not in (done := curl(mesh, "http://site.test/")).stdout:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.2)


def test_what_is_no_public_relay_is_refused_at_the_start(mesh: Mesh, tmp_path: Path) -> None:
    own = tmp_path / "own.qnet"
    must(mesh.hidden.command("descriptor", str(own)))
    node = Node(tmp_path / "home", [])
    for arguments, says in (
        ([f"--via={own}"], "no relay that can be dialled"),
        ([f"--via={tmp_path / 'none'}"], "cannot be read"),
        ([f"--via={own}", "--listen=127.0.0.1:1", "--decoy=a.test:1"], "Choose --via, or --listen"),
    ):
        done = node.command("run", "--relay-only", *arguments)
        assert done.returncode == 64 and says in done.stderr, done.stderr


def test_an_operator_lists_a_hidden_relay_that_it_has_proven_through_the_public_one(tmp_path: Path) -> None:
    with community(tmp_path, operators=1, relays=1, exits=0) as made:
        operator, (public,) = made.operators[0], made.relays
        hidden = Node(
            tmp_path / "hidden",
            ["--relay-only", f"--via={public.home / 'node.qnet'}", f"--decoy-roots={made.roots}", "--status-port=0"],
        )
        with started(hidden):
            own, word = tmp_path / "own.qnet", tmp_path / "word.qnet"
            must(hidden.command("descriptor", str(own)))
            must(operator.command("endorse", str(own), str(word)))
            must(hidden.command("accept", str(word)))
            must(hidden.command("join", "--yes", made.link))
            made.settle(3)
