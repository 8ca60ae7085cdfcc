"""Rules in real Chromium with the real helper and peer: each kind and action, and where the request really arrived."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Error, Playwright

from e2e.browsers import Chromium, build_with_tabs, chromium
from e2e.listeners import Site, site
from e2e.pages import Popup
from qnet.browser.launcher import write_launcher
from qnet.net.control_client import request
from qnet.wire.messages import (
    Answer,
    AnyRequest,
    Edit,
    EditRules,
    GetRules,
    GetStatus,
    Rule,
    RuleAction,
    RuleKind,
)
from qnet.wire.messages import TestAddress as AddressTest
from tests.support.network import Node, joined_client, network

TUNNEL, DIRECT, BLOCK = RuleAction
ADDRESS = "192.0.2.7"
HOSTS = ("site.test", "a.site.test", "other.test", "ads.other.test", "x-1.test", "far.test", ADDRESS)
PAC_TEXT = "chrome.proxy.settings.get({}).then(({value}) => value.pacScript?.data ?? '')"


@dataclass
class Lab:
    """``inside`` is behind the exit; ``outside`` is where the browser itself goes for the same names."""

    client: Node
    inside: Site
    outside: Site
    browser: Chromium
    popup: Popup

    def ask(self, message: AnyRequest) -> Answer:
        answer = request(self.client.home / "run" / "control.sock", message)
        assert answer.error is None, answer.error
        return answer

    def set_rules(self, *rules: Rule, default: RuleAction = TUNNEL) -> None:
        """Put these rules in the place of all others, and wait until the browser has them."""
        page = self.ask(GetRules(id=1)).rules
        assert page is not None
        edits = [Edit(at=0, remove=page.total, insert=list(rules))]
        self.ask(EditRules(id=2, base=page.generation, edits=edits, default=default))
        self.wait_for_rules()

    def wait_for_rules(self) -> None:
        """Wait until the script in force in the browser is the helper's."""
        status = self.ask(GetStatus(id=3)).status
        assert status is not None
        end = time.monotonic() + 15
        while hashlib.sha256(self.browser.worker().evaluate(PAC_TEXT).encode()).hexdigest() != status.pac_hash:
            assert time.monotonic() < end, "the browser has not got the rules"
            time.sleep(0.05)

    def goes(self, host: str) -> str:
        """Where a page at ``host`` really comes from: ``tunnel``, ``direct`` or ``block``; twice, by two page loads."""
        seen = {self._goes(host) for _ in range(2)}
        assert len(seen) == 1, f"{host} goes now here, now there: {seen}"
        return seen.pop()

    def _goes(self, host: str) -> str:
        path = f"/{host}/{time.monotonic_ns()}"
        try:
            self.browser.open(f"http://{host}{path}").close()
        except Error as error:
            assert "ERR_" in error.message
            assert path not in self.inside.hits + self.outside.hits
            return "block"
        assert (path in self.inside.hits) != (path in self.outside.hits)
        return "tunnel" if path in self.inside.hits else "direct"

    def verdict(self, host: str) -> str:
        """What the helper says."""
        found = self.ask(AddressTest(id=4, address=f"http://{host}/")).verdict
        assert found is not None
        return "block" if found.unmet else str(found.action)


@pytest.fixture(scope="module")
def extension_with_tabs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_with_tabs(tmp_path_factory.mktemp("extension") / "tabs")


@pytest.fixture
def lab(playwright: Playwright, extension_with_tabs: Path, tmp_path: Path) -> Iterator[Lab]:
    with (
        site("<title>inside</title>through the exit") as inside,
        site("<title>outside</title>reached directly") as outside,
        network(tmp_path, *(f"--exit-map={host}:80=127.0.0.1:{inside.port}" for host in HOSTS), "--exit-only") as qnet,
    ):
        client = joined_client(tmp_path / "browser", [qnet.peer], qnet.roots)
        resolver = ",".join(f"MAP {host} 127.0.0.1:{outside.port}" for host in HOSTS)
        with chromium(
            playwright,
            tmp_path / "profile",
            extension_with_tabs,
            launcher=write_launcher(client.home / "data"),
            env=client.environment,
            arguments=[f"--host-resolver-rules={resolver}"],
        ) as browser:
            popup = browser.open_popup()
            popup.press()
            popup.wait_for("connected")
            yield Lab(client, inside, outside, browser, popup)
        client.command("stop")


def rule(kind: RuleKind, pattern: str, action: RuleAction, **fields: object) -> Rule:
    return Rule(kind=kind, pattern=pattern, action=action, **fields)  # type: ignore[arg-type]


def expect(lab: Lab, expected: dict[str, str]) -> None:
    assert {host: lab.verdict(host) for host in expected} == expected
    assert {host: lab.goes(host) for host in expected} == expected


def test_every_kind_and_action(lab: Lab) -> None:
    expect(lab, {"site.test": "tunnel", ADDRESS: "tunnel"})
    lab.set_rules(
        rule(RuleKind.HOST, "site.test", BLOCK),
        rule(RuleKind.DOMAIN, "site.test", DIRECT),
        rule(RuleKind.KEYWORD, "ads", BLOCK),
        rule(RuleKind.WILDCARD, "*.other.test", TUNNEL),
        rule(RuleKind.REGEX, r"^x-[0-9]+\.", DIRECT),
        rule(RuleKind.CIDR, "192.0.2.0/24", DIRECT),
        rule(RuleKind.DOMAIN, "far.test", TUNNEL, country="DE"),
    )
    expect(
        lab,
        {
            "site.test": "block",
            "a.site.test": "direct",
            "ads.other.test": "block",
            "other.test": "tunnel",
            "x-1.test": "direct",
            ADDRESS: "direct",
            "far.test": "block",
        },
    )


def test_order_decides_and_changes_hold_at_once(lab: Lab) -> None:
    direct, block = (rule(RuleKind.DOMAIN, "site.test", action) for action in (DIRECT, BLOCK))
    here = rule(RuleKind.DOMAIN, "far.test", TUNNEL, country="NL", hops=1)
    lab.set_rules(direct, block, here, default=BLOCK)
    expect(lab, {"site.test": "direct", "other.test": "block", "far.test": "tunnel"})
    lab.set_rules(block, direct, default=DIRECT)
    expect(lab, {"site.test": "block", "other.test": "direct"})
    lab.set_rules()
    expect(lab, {"site.test": "tunnel", "other.test": "tunnel"})


def test_one_click_in_the_popup(lab: Lab) -> None:
    page = lab.browser.open("http://a.site.test/")
    tab = lab.browser.worker().evaluate("chrome.tabs.query({url: 'http://a.site.test/*'}).then(([tab]) => tab.id)")
    popup = lab.browser.open_popup(tab)
    popup.wait_for_text("site-verdict", "Through the tunnel")
    assert popup.text("site-host") == "a.site.test"
    assert "default" in popup.text("site-why")
    for choice, verdict in [("direct", "Direct"), ("block", "Blocked"), ("tunnel", "Through the tunnel")]:
        popup.choose(choice)
        popup.wait_for_text("site-verdict", verdict)
        assert "Rule 1 decides: domain" in popup.text("site-why")
        popup.wait_shown("site-warning", choice == "direct")
        lab.wait_for_rules()
        assert lab.goes("a.site.test") == choice
    popup.choose("direct")
    popup.wait_for_text("site-verdict", "Direct")
    lab.wait_for_rules()
    before = len(lab.outside.hits)
    with page.expect_navigation():
        popup.press("site-reload")
    assert page.title() == "outside" and len(lab.outside.hits) > before
    popup.press("site-forget")
    popup.wait_for_text("site-verdict", "Through the tunnel")
    rules = lab.ask(GetRules(id=9)).rules
    assert rules is not None and (rules.total, len(rules.generations)) == (0, 5)


def test_rules_outlive_the_helper(lab: Lab) -> None:
    lab.set_rules(rule(RuleKind.DOMAIN, "site.test", BLOCK), rule(RuleKind.DOMAIN, "other.test", DIRECT))
    lab.client.command("stop")
    lab.popup.page.wait_for_selector("body:not([data-kind=connected])")
    lab.popup.wait_for("connected")  # by itself
    expect(lab, {"site.test": "block", "other.test": "direct", "x-1.test": "tunnel"})
