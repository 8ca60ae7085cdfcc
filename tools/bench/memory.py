"""What memory a helper takes: at rest, per idle stream, and with many busy streams."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.network import Node
from tools.bench import links
from tools.bench.starts import await_listening
from tools.bench.subjects import Subject, resident

IDLE_STREAMS = 900
"""An exit has 1,000 places, and the last ones may not be free yet."""
IDLE_CIRCUITS = 200
BUSY_STREAMS = 1000
BUSY_BYTES = 1_000_000_000
SETTLE_SECONDS = 3.0
"""What a helper still does after it has begun to listen."""


def idle(node: Node) -> float:
    """MB of a helper that nobody uses."""
    with subprocess.Popen(
        [sys.executable, "-m", "qnet", "run"], env=node.environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            await_listening(node)
            time.sleep(SETTLE_SECONDS)
            return resident(process.pid) / 1e6
        finally:
            process.terminate()


def per_idle_stream(subject: Subject, site: int) -> float:
    """KB of the helper's memory per stream that is open and silent."""
    with _load(subject, site, "idle", 100):  # what the first streams cost once
        pass
    before = resident(subject.processes[0])
    with _load(subject, site, "idle", IDLE_STREAMS):
        return (resident(subject.processes[0]) - before) / IDLE_STREAMS / 1000


def per_idle_circuit(subject: Subject, roots: Path) -> float:
    """KB of a relay's memory per circuit of a client's own link through it, open and silent."""
    relay, exit = subject.nodes[1], subject.nodes[2]
    resting: list[float] = []

    def look() -> None:
        assert relay.process is not None
        resting.append(float(resident(relay.process.pid)))

    for count in (40, IDLE_CIRCUITS):  # what the first circuits cost once
        look()
        links.hold_circuits([relay.home, exit.home], roots, count, look)
    return (resting[3] - resting[2]) / IDLE_CIRCUITS / 1000


def busy(subject: Subject, site: int) -> float:
    """MB of the helper's memory at most, while it carries many downloads at once."""
    ended = threading.Event()
    most = 0
    words = [str(word) for word in (subject.socks, "127.0.0.1", site, "download", BUSY_BYTES, BUSY_STREAMS)]
    with subprocess.Popen([sys.executable, "-m", "tests.support.load", *words], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, resident(subject.processes[0]))
            ended.wait(0.05)
        if process.returncode:
            raise RuntimeError("the downloads failed")
    return most / 1e6


@contextmanager
def _load(subject: Subject, site: int, work: str, count: int) -> Iterator[None]:
    words = [str(word) for word in (subject.socks, "127.0.0.1", site, work, count)]
    command = [sys.executable, "-m", "tests.support.load", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "held\n":
            raise RuntimeError("the streams were not opened")
        yield
        process.communicate()
