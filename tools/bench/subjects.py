"""Who is measured: proxies with a SOCKS5 port, each a few processes of its own on this computer."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from qnet.net.control_client import request
from qnet.wire.messages import GetPac
from tests.support.network import Node, joined_client, public_node, standing_decoy, started
from tests.support.tls_servers import free_port
from tools.bench.tor import tor_network

TICKS = os.sysconf("SC_CLK_TCK")
BROWSED = ("site.test", 443)
CIPHER = "chacha20-ietf-poly1305"


@dataclass(frozen=True)
class Subject:
    """``socks``: the port of its proxy, 0 for none; ``processes``: their ids, the client's first.

    ``site``: by what name and port it is asked for the site, if not by the site's own.
    """

    name: str
    socks: int
    processes: Sequence[int] = ()
    nodes: Sequence[Node] = field(default=(), compare=False)
    site: tuple[str, int] | None = None

    def cpu_seconds(self) -> float:
        """CPU time of its processes until now."""
        total = 0
        for process in self.processes:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS


def resident(process: int) -> int:
    """A process's memory in bytes (``VmRSS``)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


@contextmanager
def program(*command: str) -> Iterator[int]:
    """A quiet process that ends with the block; gives its id."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def await_port(port: int, seconds: float = 10.0) -> None:
    """Until somebody listens on ``port``; raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on {port}") from None
            time.sleep(0.05)


@contextmanager
def shadowsocks() -> Iterator[Subject]:
    """shadowsocks-libev: ss-local and ss-server."""
    socks, port = free_port(), free_port()
    common = ("-s", "127.0.0.1", "-p", str(port), "-k", "bench", "-m", CIPHER)
    with program("ss-server", *common) as server, program("ss-local", *common, "-l", str(socks)) as local:
        await_port(socks)
        await_port(port)
        yield Subject("shadowsocks-libev", socks, (local, server))


@contextmanager
def microsocks() -> Iterator[Subject]:
    """A SOCKS server without any encryption: the limit."""
    socks = free_port()
    with program("microsocks", "-i", "127.0.0.1", "-p", str(socks)) as process:
        await_port(socks)
        yield Subject("microsocks", socks, (process,))


@contextmanager
def tor(folder: Path) -> Iterator[Subject]:
    """Tor: three hops of a private network of four relays."""
    folder.mkdir()
    with tor_network(folder, {f"relay{number}": ("127.0.0.1", ()) for number in range(4)}) as (socks, processes):
        yield Subject("Tor", socks, processes)


@contextmanager
def qnet(folder: Path, site: int, hops: int, *, shaping: bool = True) -> Iterator[Subject]:
    """Ours, by its own commands; the exit may reach the site at port ``site``.

    ``shaping``: whether the client shapes its links.
    """
    with ExitStack() as stack:
        folder.mkdir()
        decoy = stack.enter_context(standing_decoy(folder))
        nodes, to = [], f"{BROWSED[0]}:{BROWSED[1]}"
        for number in range(1, hops + 1):
            last = number == hops
            rules = (
                [f"--exit-allow=127.0.0.1/32:{site}", "--exit-only", f"--exit-map={to}=127.0.0.1:{site}"]
                if last
                else ["--relay-allow=127.0.0.1/32:*"]
            )
            mode, name = "super" if last else "relay", f"peer{number}"
            node = public_node(folder / name, free_port(), decoy.port, decoy.roots, rules, mode=mode, nickname=name)
            nodes.append(stack.enter_context(started(node)))
        made = joined_client(folder / "client", nodes, decoy.roots, hops)
        if not shaping:
            settings = made.home / "config" / "settings.json"
            settings.write_text(json.dumps(json.loads(settings.read_text()) | {"shaping": False}))
        client = stack.enter_context(started(made))
        processes = [node.process.pid for node in (client, *nodes) if node.process is not None]
        name = f"QNet, {hops} hop{'s' * (hops > 1)}" if shaping else "without shaping"
        yield Subject(name, client.socks_port, processes, (client, *nodes))


def as_browser(subject: Subject) -> Subject:
    """The same at the port that its browsers are given, for a site at the port of TLS."""
    chunk = request(subject.nodes[0].home / "run" / "control.sock", GetPac(id=1)).pac
    found = re.search(r"127\.0\.0\.1:(\d+)", chunk.text) if chunk is not None else None
    if found is None:
        raise RuntimeError("no proxy script")
    return replace(subject, name=f"{subject.name}, a browser's", socks=int(found[1]), site=BROWSED)


def missing(programs: Sequence[str]) -> list[str]:
    """Those of ``programs`` that are not installed."""
    return [name for name in programs if shutil.which(name) is None]
