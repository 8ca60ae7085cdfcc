"""The main job in real Chromium with the real host, helper, peer and decoy: through, direct, and never around."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Error, Playwright

from e2e.browsers import Chromium, chromium
from e2e.firefox import wait_until
from e2e.listeners import Site, site
from qnet.browser.launcher import write_launcher
from tests.support.network import DECOY_NAME, Network, Node, joined_client, network

URL = "http://site.test/"


@dataclass
class Lab:
    """``inside`` is the site behind the exit; ``outside`` is where the browser itself would go for its name."""

    qnet: Network
    client: Node
    inside: Site
    outside: Site
    browser: Chromium

    def helper(self) -> int:
        """The process id of the running helper."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.client.home / "run" / "control.sock"))
            credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return int.from_bytes(credentials[:4], "little")


@pytest.fixture
def lab(playwright: Playwright, extension: Path, tmp_path: Path) -> Iterator[Lab]:
    with (
        site("<title>inside</title>through the exit") as inside,
        site("<title>outside</title>reached directly") as outside,
        network(tmp_path, f"--exit-map=site.test:80=127.0.0.1:{inside.port}", "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        with chromium(
            playwright,
            tmp_path / "profile",
            extension,
            launcher=write_launcher(client.home / "data"),
            env=client.environment,
            arguments=[f"--host-resolver-rules=MAP site.test 127.0.0.1:{outside.port}"],
        ) as browser:
            yield Lab(qnet, client, inside, outside, browser)
        client.command("stop")


def test_through_then_direct(lab: Lab) -> None:
    popup = lab.browser.open_popup()
    popup.press()
    popup.wait_for("connected")
    assert "tulip" in popup.text("facts")
    assert lab.browser.open(URL).title() == "inside"
    assert not lab.outside.hits
    popup.press()
    popup.wait_for("off")
    assert lab.browser.open(URL).title() == "outside"
    assert lab.inside.hits.count("/") == 1


def test_off_is_off_although_the_browser_keeps_a_sites_connection(lab: Lab) -> None:
    popup = lab.browser.open_popup()
    popup.press()
    popup.wait_for("connected")
    assert lab.browser.open(URL).title() == "inside"
    popup.press()
    popup.wait_for("off")
    assert lab.client.status()["streams"] >= 1
    wait_until(lambda: lab.client.status()["state"] == "offline", "the tunnel is gone", 20)


def test_the_helper_is_killed_while_connected(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    """It is there again within five seconds, without a click; until then pages fail, and never go around."""
    popup = lab.browser.open_popup()
    popup.press()
    popup.wait_for("connected")
    assert lab.browser.open(URL).title() == "inside"
    killed, began = lab.helper(), time.monotonic()
    os.kill(killed, signal.SIGKILL)
    popup.page.wait_for_selector("body:not([data-kind=connected])", timeout=5_000)
    while popup.state() != "connected":
        with suppress(Error):
            assert lab.browser.open(URL).title() == "inside"
    took = time.monotonic() - began
    record_property("seconds to connected", round(took, 2))
    print(f"connected again {took:.2f} s after the helper was killed")
    assert lab.helper() != killed
    assert lab.browser.open(URL).title() == "inside"
    assert not lab.outside.hits
    assert took < 5


def test_the_worker_is_stopped_while_connected(lab: Lab) -> None:
    popup = lab.browser.open_popup()
    popup.press()
    popup.wait_for("connected")
    lab.browser.worker().evaluate("globalThis.marked = true")
    session = lab.browser.context.new_cdp_session(popup.page)
    session.send("ServiceWorker.enable")
    session.send("ServiceWorker.stopAllWorkers")
    popup.page.close()
    lab.browser.wait_for_worker("!globalThis.marked")
    assert lab.browser.open(URL).title() == "inside"
    assert not lab.outside.hits
    popup = lab.browser.open_popup()
    popup.wait_for("connected")


def test_the_peer_goes_away(lab: Lab) -> None:
    popup = lab.browser.open_popup()
    popup.press()
    popup.wait_for("connected")
    assert lab.qnet.peer.process is not None
    lab.qnet.peer.process.kill()
    popup.wait_for("connecting")
    with pytest.raises(Error, match="ERR_"):
        lab.browser.open(URL)
    assert not lab.outside.hits
    assert "peer" in popup.text("error").lower()


def test_a_plain_browser_at_the_peers_port_meets_the_decoy(playwright: Playwright, lab: Lab, tmp_path: Path) -> None:
    rule = f"MAP {DECOY_NAME} 127.0.0.1:{lab.qnet.public}"
    arguments = [f"--host-resolver-rules={rule}", "--ignore-certificate-errors"]
    with chromium(playwright, tmp_path / "plain", None, arguments=arguments) as browser:
        page = browser.open(f"https://{DECOY_NAME}/")
        assert "hello from the decoy" in page.content()
