"""The main job in real Firefox with the real host, helper, peer and decoy: through, direct, and never around."""

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.bidi import BidiError
from e2e.firefox import Firefox, Popup, firefox, in_browser, wait_until
from e2e.listeners import Site, site
from qnet.browser.launcher import write_launcher
from qnet.net.control_client import request
from qnet.wire.messages import Edit, EditRules, GetStatus, Rule, RuleAction, RuleKind
from qnet.wire.messages import TestAddress as AddressTest
from tests.support.network import Network, Node, joined_client, network
from tools.extension import build

HOSTS = (
    "site.test",
    "a.site.test",
    "ads.other.test",
    "b.other.test",
    "x-1.test",
    "far.test",
    "unnamed.test",
    "192.0.2.7",
)


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
        network(
            tmp_path,
            *(f"--exit-map={host}:{outside.port}=127.0.0.1:{inside.port}" for host in HOSTS),
            "--exit-only",
        ) as qnet,
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
        preferences={"network.dns.localDomains": ",".join(HOSTS)},
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


RIVALS = {
    "its setting": """browser.proxy.settings.set({ value: {
        proxyType: "manual", http: "127.0.0.1:PORT", socks: "127.0.0.1:PORT", httpProxyAll: true } });""",
    "its listener": """browser.proxy.onRequest.addListener(
        () => ({ type: "http", host: "127.0.0.1", port: PORT }), { urls: ["<all_urls>"] });""",
}


def rival(lab: Lab, way: str) -> Path:
    """An extension that leads every page to the outside's listener."""
    folder = lab.home.parent / "rival"
    folder.mkdir()
    manifest = {
        "manifest_version": 2,
        "name": "Some other proxy",
        "version": "1",
        "permissions": ["proxy", "<all_urls>"],
        "browser_specific_settings": {"gecko": {"id": "rival@example.test"}},
        "background": {"scripts": ["background.js"]},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "background.js").write_text(RIVALS[way].replace("PORT", str(lab.outside.port)))
    return folder


def test_another_extensions_setting_changes_nothing(lab: Lab, extension: Path) -> None:
    with browser(lab, extension) as running:
        popup = connect(running)
        running.install(rival(lab, "its setting"))
        time.sleep(1)
        assert running.open(lab.url) == "inside"
        assert popup.state() == "connected"
        assert not lab.outside.hits


def test_another_extensions_listener_is_noticed(lab: Lab, tmp_path: Path) -> None:
    ours = build("firefox", tmp_path / "seeing")
    manifest = json.loads((ours / "manifest.json").read_text())
    for name in ("management", "webRequest"):  # what the popup asks a person for
        manifest["optional_permissions"].remove(name)
        manifest["permissions"].append(name)
    (ours / "manifest.json").write_text(json.dumps(manifest))
    with browser(lab, ours) as running:
        popup = connect(running)
        assert running.open(lab.url) == "inside"
        running.install(rival(lab, "its listener"))
        wait_until(lambda: running.open(lab.url) == "outside", "the other extension has the last word")
        popup.wait_for("conflict_other")
        wait_until(lambda: "Some other proxy" in popup.text("rivals-list"), "it is named")
        assert not popup.shows("rivals-list button"), "the browser lets nobody do that but the person"
        assert "Turn off your other proxy" in popup.text()
        in_browser(running.session, "AddonManager.getAddonByID('rival@example.test').then((addon) => addon.disable())")
        wait_until(lambda: running.open(lab.url) == "inside", "ours takes over")
        popup.wait_for("connected")


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
        began = time.monotonic()
        os.kill(helper(lab), signal.SIGKILL)
        wait_until(lambda: popup.state() != "connected", "the popup says that the helper is gone", 5)
        while popup.state() != "connected":
            with suppress(BidiError):
                assert running.open(lab.url) == "inside"
        assert time.monotonic() - began < 5
        assert running.open(lab.url) == "inside"
    assert not lab.outside.hits


RULES = [
    Rule(kind=RuleKind.HOST, pattern="site.test", action=RuleAction.DIRECT),
    Rule(kind=RuleKind.DOMAIN, pattern="site.test", action=RuleAction.BLOCK),
    Rule(kind=RuleKind.KEYWORD, pattern="ads", action=RuleAction.BLOCK),
    Rule(kind=RuleKind.WILDCARD, pattern="*.other.test", action=RuleAction.DIRECT),
    Rule(kind=RuleKind.REGEX, pattern=r"^x-[0-9]+\.", action=RuleAction.TUNNEL),
    Rule(kind=RuleKind.CIDR, pattern="192.0.2.0/24", action=RuleAction.TUNNEL),
    Rule(kind=RuleKind.DOMAIN, pattern="far.test", action=RuleAction.TUNNEL, country="DE"),
]
GOES = {
    "site.test": "direct",
    "a.site.test": "block",
    "ads.other.test": "block",
    "b.other.test": "direct",
    "x-1.test": "tunnel",
    "192.0.2.7": "tunnel",
    "far.test": "block",
    "unnamed.test": "block",
}
"""By ``RULES`` and a default of block: the only known exit stands in the Netherlands."""


def goes(running: Firefox, lab: Lab, host: str) -> str:
    """Where a page at ``host`` really comes from: ``tunnel``, ``direct`` or ``block``."""
    path = f"/{host}/{time.monotonic_ns()}"
    try:
        running.open(f"http://{host}:{lab.outside.port}{path}")
    except BidiError:
        assert path not in lab.inside.hits + lab.outside.hits
        return "block"
    assert (path in lab.inside.hits) != (path in lab.outside.hits)
    return "tunnel" if path in lab.inside.hits else "direct"


def test_rules_of_every_kind(lab: Lab, extension: Path) -> None:
    control = lab.client.home / "run" / "control.sock"
    with browser(lab, extension) as running:
        connect(running)
        edits = [Edit(at=0, insert=RULES)]
        assert request(control, EditRules(id=1, base=0, edits=edits, default=RuleAction.BLOCK)).error is None
        status = request(control, GetStatus(id=2)).status
        assert status is not None
        script = "chrome.storage.local.get('script').then(({ script }) => script)"
        wait_until(
            lambda: hashlib.sha256(running.in_background(script).encode()).hexdigest() == status.pac_hash,
            "the browser has the rules",
        )
        verdicts = {host: request(control, AddressTest(id=3, address=f"http://{host}/")).verdict for host in GOES}
        assert {
            host: "block" if found and found.unmet else str(found and found.action) for host, found in verdicts.items()
        } == GOES
        assert {host: goes(running, lab, host) for host in GOES} == GOES


@pytest.mark.timeout(150)  # five starts of a browser
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
