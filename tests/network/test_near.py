"""A peer that announces itself and clients that look, as processes in a network of their own: multicast stays there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STORY = """
import subprocess, sys, time
from pathlib import Path
from tests.support.network import *

subprocess.run("ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo",
               shell=True, check=True)
folder = Path(sys.argv[1])
authority = Authority()
roots = authority.write(folder)
(folder / "decoy").mkdir()
with nginx(folder / "decoy", authority.issue(DECOY_NAME)) as decoy:
    with started(public_node(folder / "exit", free_port(), decoy, roots, ["--exit-only", "--mdns"])):
        for looks, seconds in ((False, 2), (True, 5)):
            client = joined_client(folder / f"client{looks}", [], roots)
            client.arguments = ["--connect", *(["--mdns"] if looks else [])]
            with started(client):
                began = time.monotonic()
                while client.status()["state"] != "connected" and time.monotonic() - began < seconds:
                    time.sleep(0.1)
                print(looks, client.status()["state"], round(time.monotonic() - began, 1))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a network namespace")
def test_only_who_looks_finds_and_within_five_seconds(tmp_path: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-c", STORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [(looks, state) for looks, state, _ in told] == [("False", "offline"), ("True", "connected")]
    assert float(told[-1][2]) < 5
