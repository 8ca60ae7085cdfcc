"""Who is measured: proxies with a SOCKS5 port, each a few processes of its own on this computer."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started
from tests.support.tls_servers import Authority, free_port, nginx
from tools.bench.tor import tor_network

TICKS = os.sysconf("SC_CLK_TCK")
CIPHER = "chacha20-ietf-poly1305"


@dataclass(frozen=True)
class Subject:
    """``socks``: the port of its proxy, 0 for none; ``processes``: their ids, the client's first."""

    name: str
    socks: int
    processes: Sequence[int] = ()
    nodes: Sequence[Node] = field(default=(), compare=False)

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
def qnet(folder: Path, site: int, hops: int) -> Iterator[Subject]:
    """Ours, by its own commands; the exit may reach the site at port ``site``."""
    with ExitStack() as stack:
        folder.mkdir()
        authority = Authority()
        roots = authority.write(folder)
        (folder / "decoy").mkdir()
        decoy = stack.enter_context(nginx(folder / "decoy", authority.issue(DECOY_NAME)))
        nodes = []
        for number in range(1, hops + 1):
            last = number == hops
            rules = [f"--exit-allow=127.0.0.1/32:{site}", "--exit-only"] if last else ["--relay-allow=127.0.0.1/32:*"]
            mode, name = "super" if last else "relay", f"peer{number}"
            node = public_node(folder / name, free_port(), decoy, roots, rules, mode=mode, nickname=name)
            nodes.append(stack.enter_context(started(node)))
        client = stack.enter_context(started(joined_client(folder / "client", nodes, roots, hops)))
        processes = [node.process.pid for node in (client, *nodes) if node.process is not None]
        yield Subject(f"QNet, {hops} hop{'s' * (hops > 1)}", client.socks_port, processes, (client, *nodes))


def missing(programs: Sequence[str]) -> list[str]:
    """Those of ``programs`` that are not installed."""
    return [name for name in programs if shutil.which(name) is None]
