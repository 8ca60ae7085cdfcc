"""A real peer that runs out of file descriptors: it says so, refuses, and goes on."""

import resource
import socket
import subprocess
import time
from pathlib import Path

from tests.network.conftest import Site
from tests.network.test_local_surface import get
from tests.support.network import Network


def fetch(qnet: Network) -> bytes:
    proxy = ["--noproxy", "", "-x", f"http://127.0.0.1:{qnet.client.socks_port}"]
    done = subprocess.run(["curl", "-sS", *proxy, "http://site.test/"], capture_output=True, timeout=30, check=False)
    return done.stdout


def lowest_free(process: int) -> int:
    """The descriptor that the process would be given next: as its limit it lets it have none."""
    taken = {int(entry.name) for entry in Path(f"/proc/{process}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_a_peer_takes_all_the_files_it_may_have(qnet: Network) -> None:
    assert qnet.peer.process is not None
    soft, hard = resource.prlimit(qnet.peer.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_without_descriptors_streams_are_refused_in_words_and_the_listener_survives(qnet: Network, site: Site) -> None:
    assert qnet.peer.process is not None
    process = qnet.peer.process.pid
    assert b"hello" in fetch(qnet)
    limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
    try:
        deadline = time.monotonic() + 15
        while b"hello" in (answer := fetch(qnet)):
            # What the last page had may end a moment later, and frees a lower one.
            assert time.monotonic() < deadline
            resource.prlimit(process, resource.RLIMIT_NOFILE, (lowest_free(process), limits[1]))
        assert b"the exit is busy, try again in a minute" in answer
        with socket.create_connection(("127.0.0.1", qnet.public), timeout=5):
            time.sleep(0.2)
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
    log = get(qnet.peer.status_port, "/logs?tail=500")[1].decode()
    assert "no file descriptor is left: streams are refused" in log
    assert "no file descriptor is left: new connections wait" in log
    assert "site.test" not in log and "Traceback" not in (qnet.peer.home / "stderr.log").read_text()
    deadline = time.monotonic() + 15
    while b"hello" not in (answer := fetch(qnet)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    # The listener takes newcomers again.
    with socket.create_connection(("127.0.0.1", qnet.public), timeout=5) as newcomer:
        newcomer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        newcomer.settimeout(10)
        assert newcomer.recv(100)
