"""What observers on the links of a circuit of real processes see, and what the relays in it know."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.network.conftest import Site
from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started
from tests.support.recorder import Recording, recorder
from tests.support.tls_servers import Authority, free_port, nginx

NAME = "whereabouts-5b1e.test"
"""Of the site: nothing else on this computer has it."""


@dataclass
class Observed:
    """The links in order: client–guard, guard–middle, middle–exit; ``nodes`` likewise."""

    links: list[Recording]
    nodes: list[Node]
    client: Node


@pytest.fixture(scope="module")
def observed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder: Path = tmp_path_factory.mktemp("observed")
    with ExitStack() as stack:
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        made: dict[str, tuple[Node, Recording]] = {}
        for number in range(3):
            port, last = free_port(), number == 2
            link = stack.enter_context(recorder(port))
            rules = [f"--exit-map={NAME}:80=127.0.0.1:{site.port}", "--exit-only"]
            node = public_node(
                folder / f"node{number}",
                port,
                decoy,
                roots,
                rules if last else ["--relay-allow=127.0.0.1/32:*"],
                mode="super" if last else "relay",
                nickname=f"node{number}",
                address=link.port,
            )
            made[f"node{number}"] = stack.enter_context(started(node)), link
        nodes = [node for node, _ in made.values()]
        client = stack.enter_context(started(joined_client(folder / "client", nodes, roots, 3)))
        proxy = f"socks5h://127.0.0.1:{client.socks_port}"
        curl = ["curl", "-sS", "--noproxy", "", "-x", proxy, f"http://{NAME}/medium", "-o", str(folder / "got")]
        subprocess.run([*curl, f"http://{NAME}/", "-o", "-"], timeout=40, check=True, capture_output=True)
        assert (folder / "got").read_bytes() == (site.folder / "medium").read_bytes()
        names = [hop["nickname"] for hop in client.status()["hops"]]
        yield Observed([made[name][1] for name in names], [made[name][0] for name in names], client)


def memory(node: Node) -> bytes:
    """All that the process may write to."""
    assert node.process is not None
    place = Path("/proc") / str(node.process.pid)
    found = []
    with (place / "mem").open("rb", buffering=0) as file:
        for line in (place / "maps").read_text().splitlines():
            area = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if area:
                start, end = (int(text, 16) for text in area.groups())
                file.seek(start)
                try:
                    found.append(file.read(end - start))
                except OSError:
                    continue  # the kernel's own
    return b"\0".join(found)


def test_each_link_carries_everything_and_nothing_that_another_carries(observed: Observed) -> None:
    seen = [link.both for link in observed.links]
    assert all(len(each) > 1_000_000 for each in seen)
    for number, each in enumerate(seen):
        assert NAME.encode() not in each and b"hello from the site" not in each
        # Behind the greetings with one and the same decoy everything is random: no eight bytes may come twice.
        pieces = {each[at : at + 8] for at in range(20_000, len(each) - 8, 8)}
        for other in seen[number + 1 :]:
            pieces_there = {other[at : at + 8] for at in range(20_000, len(other) - 8)}
            assert not {piece for piece in pieces & pieces_there if len(set(piece)) > 2}


def test_the_relays_know_neither_the_site_nor_beyond_the_first_who_asks(observed: Observed) -> None:
    exit_memory = memory(observed.nodes[2])
    assert NAME.encode() in exit_memory, "the search finds what is there"
    source = observed.links[0].sources[-1]
    client = [f"127.0.0.1:{source}".encode(), f"('127.0.0.1', {source})".encode()]
    for number, node in enumerate(observed.nodes):
        content = memory(node) if number < 2 else exit_memory
        log = (node.home / "stderr.log").read_bytes()
        if number < 2:
            assert NAME.encode() not in content and b"hello from the site" not in content
        assert NAME.encode() not in log
        for form in client:
            assert form not in log
            assert form not in content or number == 0
