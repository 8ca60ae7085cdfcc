"""What a second worker brings to an exit, each process being held to a part of a core so that nothing else is short."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.support.network import Node, joined_client, public_node, standing_decoy, started
from tests.support.tls_servers import free_port
from tools.bench.measures import Result

NAME = "exit of two processes beside one, each with a tenth of a core"
CLIENTS = 8
PART = 0.1
"""Of a core, for each of the exit's processes."""
SETTLE_SECONDS, SECONDS = 2.0, 8.0
SIZE = 4_000_000_000
"""Bytes that a client asks for: more than it gets."""

_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_PERIOD = 20_000
"""Microseconds."""


def can_hold() -> bool:
    """Whether this computer lets us hold processes to a part of a core."""
    try:
        with holder() as hold:
            return hold is not None
    except OSError:
        return False


@contextmanager
def holder() -> Iterator[Callable[[int], None] | None]:
    """Within the block what it gives holds a process to ``PART``; None where control groups are not ours to make."""
    made: list[Path] = []
    root = _V1 if (_V1 / "cpu.cfs_quota_us").exists() else _V2
    first = root / f"qnet-bench-{os.getpid()}"

    def hold(process: int) -> None:
        folder = first.with_name(f"{first.name}-{len(made)}")
        folder.mkdir()
        made.append(folder)
        if folder.parent == _V1:
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(int(_PERIOD * PART)))
        else:
            (folder / "cpu.max").write_text(f"{int(_PERIOD * PART)} {_PERIOD}")
        (folder / "cgroup.procs").write_text(str(process))

    try:
        first.mkdir()
        first.rmdir()
    except OSError:
        yield None
        return
    try:
        yield hold
    finally:
        for folder in made:
            for process in (folder / "cgroup.procs").read_text().split():
                with suppress(OSError):  # it may have ended
                    (root / "cgroup.procs").write_text(process)
            folder.rmdir()


def result(folder: Path, site: int, rounds: int) -> Result:
    """MB/s of all clients together."""
    values: dict[str, list[float]] = {"two processes": [], "one": []}
    for number in range(rounds):
        for count, name in ((2, "two processes"), (1, "one")):
            values[name].append(_rate(folder / f"workers{number}-{count}", site, count))
    return Result(NAME, "MB/s", None, values)


def _rate(folder: Path, site: int, count: int) -> float:
    with ExitStack() as stack:
        folder.mkdir()
        decoy = stack.enter_context(standing_decoy(folder))
        rules = [f"--exit-allow=127.0.0.1/32:{site}", "--exit-only", f"--workers={count}"]
        node = public_node(folder / "exit", free_port(), decoy.port, decoy.roots, rules, mode="exit")
        exit = stack.enter_context(started(node))
        processes = _processes(exit, count)
        clients = [
            stack.enter_context(started(joined_client(folder / f"client{number}", [node], decoy.roots)))
            for number in range(CLIENTS)
        ]
        for client in clients:
            subprocess.run(_load(client, site, "first", 3), check=True, stdout=subprocess.DEVNULL, timeout=60)
        hold = stack.enter_context(holder())
        assert hold is not None  # can_hold() said so
        for process in processes:
            hold(process)
        for client in clients:
            loading = subprocess.Popen(_load(client, site, "download", SIZE), stdout=subprocess.DEVNULL)
            stack.callback(loading.wait)
            stack.callback(loading.kill)
        time.sleep(SETTLE_SECONDS)
        before, began = _carried(clients), time.monotonic()
        time.sleep(SECONDS)
        return (_carried(clients) - before) / (time.monotonic() - began) / 1e6


def _carried(clients: Sequence[Node]) -> int:
    return sum(int(client.status()["traffic"]["down"]) for client in clients)


def _load(client: Node, site: int, *words: object) -> list[str]:
    """The command of a work through ``client``."""
    return [sys.executable, "-m", "tests.support.load", *map(str, (client.socks_port, "127.0.0.1", site, *words))]


def _processes(exit: Node, count: int) -> list[int]:
    """Ids of all of a node's processes."""
    assert exit.process is not None
    for _ in range(200):
        others = exit.children()
        if len(others) == count - 1:
            time.sleep(1.0)  # until they listen
            return [exit.process.pid, *others]
        time.sleep(0.05)
    raise TimeoutError("the exit's processes do not start")
