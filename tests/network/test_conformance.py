"""The second implementation and the first understand each other: a running peer follows the document."""

import subprocess
import sys

from tests.support.network import Network


def test_a_running_peer_follows_the_document(qnet: Network) -> None:
    descriptor = qnet.peer.home / "data" / "descriptor.qnet"
    command = [sys.executable, "-m", "tools.conformance", str(descriptor)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "10 of 10 checks pass."


def test_a_decoy_by_itself_does_not(qnet: Network) -> None:
    """What only a peer can do fails; what shows the decoy passes."""
    descriptor = qnet.peer.home / "data" / "descriptor.qnet"
    command = [sys.executable, "-m", "tools.conformance", str(descriptor), f"127.0.0.1:{qnet.decoy}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 1
    passed = [line for line in done.stdout.splitlines() if line.startswith("ok")]
    assert len(passed) == 2, done.stdout
