"""The tunnel's hello is the hello of the very browser beside it: real browsers show theirs, and it is what is sent."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e.browsers import chromium
from e2e.firefox import firefox, wait_until
from qnet.browser.launcher import write_launcher
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4
from tests.support.network import DECOY_NAME, Node, joined_client, public_node, started
from tests.support.tls_servers import Authority, free_port, nginx
from tests.support.visits import Seen, observed
from tests.wire.tls.hello_skeleton import skeleton
from tools.capture_hello import capture, version
from tools.extension import build


@dataclass
class Lab:
    """``seen``: the connections to the peer, as an observer sees them."""

    client: Node
    seen: list[Seen]

    def kept(self) -> dict[str, dict]:
        """What the helper keeps, by browser."""
        content = json.loads((self.client.home / "data" / "templates.json").read_text())
        return {each["browser"]: each for each in content}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    authority = Authority()
    roots, public = authority.write(tmp_path), free_port()
    (tmp_path / "decoy").mkdir()
    with (
        nginx(tmp_path / "decoy", authority.issue(DECOY_NAME)) as decoy,
        observed(public) as (relay, seen),
        started(public_node(tmp_path / "peer", public, decoy, roots, ["--exit-only"], address=relay)) as peer,
    ):
        made = Lab(joined_client(tmp_path / "person", [peer], roots), seen)
        yield made
        made.client.command("stop")


@contextmanager
def connected(browser: str, lab: Lab, playwright: Playwright, tmp_path: Path) -> Iterator[None]:
    """The browser with the extension, from pressing Connect to pressing it again."""
    launcher, env = write_launcher(lab.client.home / "data"), lab.client.environment
    if browser == "chromium":
        extension = build("chrome", tmp_path / "chrome")
        running = chromium(playwright, tmp_path / "profile", extension, launcher=launcher, env=env)
    else:
        running = firefox(tmp_path / "home", build("firefox", tmp_path / "firefox"), launcher=launcher, env=env)
    with running as open_browser:
        popup = open_browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        yield
        popup.press()
        popup.wait_for("off")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_the_tunnels_hello_is_the_browsers(browser: str, lab: Lab, playwright: Playwright, tmp_path: Path) -> None:
    with connected(browser, lab, playwright, tmp_path):
        pass
    sent = lab.seen[-1].hello
    assert sent is not None
    ((name, kept),) = lab.kept().items()
    own = ClientHello.parse(base64.b64decode(kept["record"])[5:])
    assert (own.server_name() or "").endswith(".localhost")
    assert kept["version"].startswith(version(browser).removesuffix("esr")), name
    direct = ClientHello.parse(capture(browser)[5:])
    assert ja4(sent) == ja4(own) == ja4(direct)
    assert skeleton(sent) == skeleton(own) == skeleton(direct)


def test_a_browser_that_is_known_is_not_asked_again(lab: Lab, playwright: Playwright, tmp_path: Path) -> None:
    with connected("chromium", lab, playwright, tmp_path):
        pass
    before = lab.kept()
    lab.client.command("stop")
    shutil.rmtree(tmp_path / "profile")
    with connected("chromium", lab, playwright, tmp_path):
        pass
    assert lab.kept() == before


def test_the_browser_that_connected_last_is_imitated(lab: Lab, playwright: Playwright, tmp_path: Path) -> None:
    greased = []
    for browser in ("chromium", "firefox", "chromium"):
        with connected(browser, lab, playwright, tmp_path):
            pass
        # Chromium asks for pages of its own; as long as one is open, the two would share the link.
        wait_until(lambda: lab.client.status()["streams"] == 0, f"nothing of {browser} is left")
        hello = lab.seen[-1].hello
        assert hello is not None
        greased.append(skeleton(hello)[3][0] == 0x0A0A)
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert greased == [True, False, True]
    assert len(lab.kept()) == 2
