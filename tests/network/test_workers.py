"""A node of several real processes: one address, one set of books, and nothing lost when one of them dies."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import pytest

from qnet.app.helper import load_disguise
from qnet.net.circuit import Circuit
from qnet.net.client_link import connect, peer_keys
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.settings import Settings
from qnet.wire.descriptor import verify
from qnet.wire.scratch import Scratch
from tests.network.conftest import MEDIUM, Site
from tests.support.links import Owner, attach
from tests.support.network import Node, public_node, standing_decoy, started
from tests.support.tls_servers import free_port

WORKERS = 3
LINKS = 12
"""So many that all come to one process once in 3¹¹ times."""


class Exit:
    """An exit of ``WORKERS`` processes for ``site``."""

    def __init__(self, node: Node, roots: Path, port: int) -> None:
        self.node = node
        self.port = port
        self._disguise = load_disguise(Settings(decoy_roots=str(roots)))

    @property
    def first(self) -> int:
        assert self.node.process is not None
        return self.node.process.pid

    @property
    def others(self) -> list[int]:
        """Ids of the further processes."""
        return self.node.children()

    async def link(self) -> Link:
        found = verify((self.node.home / "data" / "descriptor.qnet").read_bytes(), time.time())
        return await connect([("127.0.0.1", self.port)], peer_keys(found), self._disguise, Scratch(), Owner())

    def counts(self) -> dict[str, int]:
        counts = self.node.status()["exit"]
        return counts | counts.pop("traffic")


def connections(process: int, port: int) -> int:
    """Established TCP connections of a process at its own ``port``."""
    lines = (line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:])
    there = {f"socket:[{line[9]}]" for line in lines if line[3] == "01" and int(line[1].partition(":")[2], 16) == port}
    count = 0
    for handle in Path(f"/proc/{process}/fd").iterdir():
        try:
            count += os.readlink(handle) in there
        except OSError:  # closed meanwhile
            continue
    return count


def wait_until(true: object, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def exit(site: Site, tmp_path: Path) -> Iterator[Exit]:
    with ExitStack() as stack:
        decoy = stack.enter_context(standing_decoy(tmp_path))
        rules = [f"--exit-allow=127.0.0.1/32:{site.port}", "--exit-only", f"--workers={WORKERS}"]
        port = free_port()
        node = stack.enter_context(
            started(public_node(tmp_path / "exit", port, decoy.port, decoy.roots, rules, mode="exit"))
        )
        made = Exit(node, decoy.roots, port)
        wait_until(lambda: listeners(port) == WORKERS)
        yield made


def listeners(port: int) -> int:
    """Sockets of this computer that listen at ``port``."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(line[3] == "0A" and int(line[1].partition(":")[2], 16) == port for line in lines)


def opened(link: Link, port: int) -> StreamSocket:
    circuit = Circuit(link)
    circuit.finish()
    return circuit.open("127.0.0.1", port)


async def fetch(link: Link, site: Site, path: str = "/medium") -> int:
    """Bytes of a page's body."""
    reader, writer = await attach(opened(link, site.port))
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    return len(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.anyio
async def test_clients_are_dealt_out_and_counted_together(exit: Exit, site: Site) -> None:
    async with AsyncExitStack() as stack:
        links = [await exit.link() for _ in range(LINKS)]
        for link in links:
            stack.callback(link.close, "done")
        held = [connections(process, exit.port) for process in (exit.first, *exit.others)]
        assert sum(held) == LINKS and sum(count > 0 for count in held) >= 2, held
        assert [await fetch(link, site) for link in links] == [MEDIUM] * LINKS
        assert await refused(links)
        wait_until(lambda: exit.counts()["requests"] == LINKS * 2)
        counts = exit.counts()
        assert counts["success"] == counts["blocked"] == LINKS
        assert counts["down"] >= LINKS * MEDIUM


async def refused(links: list[Link]) -> bool:
    """Whether none of them leads where the exit must not go."""
    for link in links:
        reader, _ = await attach(opened(link, 9))
        with suppress(ConnectionResetError):
            if await reader.read(-1):
                return False
    return True


@pytest.mark.anyio
async def test_who_dies_is_replaced_and_the_others_go_on(exit: Exit, site: Site) -> None:
    before = set(exit.others)
    assert len(before) == WORKERS - 1
    victim = before.pop()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(exit.others) == WORKERS - 1 and victim not in exit.others)
    assert before < set(exit.others)
    wait_until(lambda: listeners(exit.port) == WORKERS)
    for _ in range(LINKS):
        link = await exit.link()
        assert await fetch(link, site, "/index.html")
        link.close("done")


def test_nothing_is_left_behind(exit: Exit) -> None:
    others = exit.others
    assert exit.node.command("stop").returncode == 0
    wait_until(lambda: not any(Path(f"/proc/{each}/exe").exists() for each in others))
    assert exit.node.process is not None and exit.node.process.wait(10) == 0
    assert "Traceback" not in (exit.node.home / "stderr.log").read_text()


def test_nobody_outlives_the_first_process(exit: Exit) -> None:
    others = exit.others
    os.kill(exit.first, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{each}/exe").exists() for each in others))
