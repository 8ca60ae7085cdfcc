"""The main job in real Firefox with the real host, helper, peer and decoy: through, direct, and never around."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.bidi import BidiError
from e2e.firefox import Firefox, Popup, firefox, wait_until
from e2e.listeners import Site, site
from qnet.browser.launcher import write_launcher
from tests.support.network import Network, Node, joined_client, network
from tools.extension import build


@dataclass
class Lab:
    """``inside`` is the site behind the exit; ``outside`` is where the browser itself would go for its name."""

    qnet: Network
    client: Node
    inside: Site
    outside: Site
    home: Path
    url: str


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with (
        site("<title>inside</title>through the exit") as inside,
        site("<title>outside</title>reached directly") as outside,
        network(tmp_path, f"--exit-map=site.test:{outside.port}=127.0.0.1:{inside.port}", "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        made = Lab(qnet, client, inside, outside, tmp_path / "person", f"http://site.test:{outside.port}/")
        yield made
        client.command("stop")


@contextmanager
def browser(lab: Lab, extension: Path | None = None, page: str = "about:blank") -> Iterator[Firefox]:
    """``extension`` is installed at the first start only."""
    with firefox(
        lab.home,
        extension,
        launcher=write_launcher(lab.client.home / "data"),
        env=lab.client.environment,
        preferences={"network.dns.localDomains": "site.test"},
        page=page,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("firefox", tmp_path_factory.mktemp("extension") / "firefox")


def connect(running: Firefox) -> Popup:
    popup = running.open_popup()
    popup.press()
    popup.wait_for("connected")
    return popup


def helper(lab: Lab) -> int:
    """The process id of the running helper."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(lab.client.home / "run" / "control.sock"))
        credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little")


def test_through_then_direct(lab: Lab, extension: Path) -> None:
    with browser(lab, extension) as running:
        assert running.open(lab.url) == "outside"  # without QNet it goes there
        popup = connect(running)
        assert "tulip" in popup.text("facts")
        hits = len(lab.outside.hits)
        assert running.open(lab.url) == "inside"
        assert len(lab.outside.hits) == hits
        popup.press()
        popup.wait_for("off")
        assert running.open(lab.url) == "outside"


def test_the_peer_goes_away(lab: Lab, extension: Path) -> None:
    with browser(lab, extension) as running:
        popup = connect(running)
        assert lab.qnet.peer.process is not None
        lab.qnet.peer.process.kill()
        popup.wait_for("connecting")
        with pytest.raises(BidiError, match="NS_ERROR_"):
            running.open(lab.url)
    assert not lab.outside.hits


def test_the_helper_is_killed_while_connected(lab: Lab, extension: Path) -> None:
    with browser(lab, extension) as running:
        popup = connect(running)
        os.kill(helper(lab), signal.SIGKILL)
        popup.wait_for("blocked")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with pytest.raises(BidiError, match="NS_ERROR_"):
                running.open(lab.url)
        assert not lab.outside.hits
        popup.press()
        popup.wait_for("connected")
        assert running.open(lab.url) == "inside"
    assert not lab.outside.hits


def test_a_restart_leaks_nothing_whether_the_helper_runs_or_not(lab: Lab, extension: Path) -> None:
    with browser(lab, extension) as running:
        connect(running)
    for number in range(4):
        if number % 2:
            os.kill(helper(lab), signal.SIGKILL)
        lab.inside.hits.clear()
        with browser(lab, page=lab.url) as running:
            running.open_popup().wait_for("connected")
            if not number % 2:
                wait_until(lambda: lab.inside.hits, "the page of the start arrives", 10)
            assert running.open(lab.url) == "inside"
        assert not lab.outside.hits
