"""The second implementation and the first understand each other: a running peer follows the document."""

import subprocess
import sys
from pathlib import Path

from tests.support.network import ANY_PORT, Network, public_node, started
from tests.support.tls_servers import free_port


def conformance(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.conformance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)


def test_a_running_peer_follows_the_document(qnet: Network, tmp_path: Path) -> None:
    """An exit, and before it a relay: a circuit goes through both."""
    end = qnet.peer.home / "data" / "descriptor.qnet"
    with started(public_node(tmp_path / "relay", free_port(), qnet.decoy, qnet.roots, [ANY_PORT])) as relay:
        done = conformance(relay.home / "data" / "descriptor.qnet", "--next", end)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "11 of 11 checks pass."


def test_a_decoy_by_itself_does_not(qnet: Network) -> None:
    """What only a peer can do fails; what shows the decoy passes."""
    done = conformance(qnet.peer.home / "data" / "descriptor.qnet", "--at", f"127.0.0.1:{qnet.decoy}")
    assert done.returncode == 1
    passed = [line for line in done.stdout.splitlines() if line.startswith("ok")]
    assert len(passed) == 2, done.stdout
