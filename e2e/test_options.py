"""The options page in real Chromium with the real host and helper; no tunnel is needed for it."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect

from e2e import hosts
from e2e.browsers import Chromium, chromium
from e2e.pages import Options
from qnet.browser.launcher import write_launcher
from qnet.net.control_client import request, stop
from qnet.wire.messages import (
    Answer,
    AnyRequest,
    Edit,
    EditRules,
    GetRules,
    GetSubscriptions,
    Rule,
    RuleAction,
    RuleKind,
)
from tests.support.tls_servers import free_port
from tools.extension import build

MANY = 100_000


@dataclass
class Desk:
    browser: Chromium
    options: Options
    control: Path

    def ask(self, message: AnyRequest) -> Answer:
        return request(self.control, message)

    def saved(self) -> list[Rule]:
        page = self.ask(GetRules(id=1)).rules
        assert page is not None
        return page.rules


@pytest.fixture
def desk(playwright: Playwright, extension: Path, tmp_path: Path) -> Iterator[Desk]:
    home = tmp_path / "home"
    (home / "config").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    settings = {"socks_port": free_port(), "status_port": free_port()}
    (home / "config" / "settings.json").write_text(json.dumps(settings))
    env = os.environ | {"QNET_HOME": str(home)}
    with chromium(playwright, tmp_path / "profile", extension, launcher=write_launcher(home), env=env) as browser:
        options = browser.open_options()
        options.wait()
        yield Desk(browser, options, home / "run" / "control.sock")
    stop(home / "run" / "control.sock")


def test_adding_changing_testing(desk: Desk) -> None:
    options = desk.options
    assert "No rules yet" in options.text("rules-empty")
    options.add("domain", "bücher.example", "block")
    options.wait_for("xn--bcher-kva.example")
    options.add("wildcard", "*.Example.org", "direct")
    options.wait_for("*.example.org", "xn--bcher-kva.example")
    assert "Blocked" in options.test("https://www.bücher.example/page?x=1")
    assert "Rule 1 decides" in options.test("a.example.org:8080")
    assert "default decides" in options.test("192.0.2.1")
    assert "no address" in options.test("no address")
    assert "the mesh’s own" in options.test("http://abc.qnet/")
    options.page.locator(".rule .open").first.click()
    options.fill("regex", r"^a[0-9]+\.", "block")
    options.wait_for(r"^a[0-9]+\.", "xn--bcher-kva.example")
    assert [str(rule.action) for rule in desk.saved()] == ["block", "block"]


def test_a_refused_rule_is_explained_in_the_form(desk: Desk) -> None:
    options = desk.options
    options.add("regex", "(a+)+", "block")
    error = options.page.locator("#dialog-error")
    expect(error).to_contain_text("a repeat within a repeat is not allowed")
    options.fill("domain", "<script>alert(1)</script>", "block")
    expect(error).to_contain_text("<script>")
    options.fill("domain", "good.example", "block")
    options.wait_for("good.example")
    assert len(desk.saved()) == 1


def test_by_keyboard_alone(desk: Desk) -> None:
    options, keyboard = desk.options, desk.options.page.keyboard
    for name in ("c", "b", "a"):
        options.page.locator("#rules-add").focus()
        keyboard.press("Enter")
        keyboard.type(f"{name}.example")
        keyboard.press("Enter")
        expect(options.page.locator("#dialog")).not_to_be_visible()
    options.wait_for("a.example", "b.example", "c.example")
    assert options.page.evaluate("document.activeElement.closest('.rule').dataset.place") == "0"
    keyboard.press("Alt+ArrowDown")
    options.wait_for("b.example", "a.example", "c.example")
    keyboard.press("ArrowDown")
    keyboard.press("Delete")
    options.wait_for("b.example", "a.example")
    options.page.locator("#toast-undo").focus()
    keyboard.press("Enter")
    options.wait_for("b.example", "a.example", "c.example")
    options.page.locator("#rules-search").focus()
    keyboard.press("Tab")
    keyboard.press("Home")
    keyboard.press("Enter")
    expect(options.page.locator("#dialog")).to_be_visible()
    keyboard.press("Escape")
    assert [rule.pattern for rule in desk.saved()] == ["b.example", "a.example", "c.example"]


def test_import_and_export(desk: Desk, tmp_path: Path) -> None:
    options = desk.options
    options.choose_file("list.txt", b"[AutoProxy 0.2.9]\n||a.example^\n<b>bold</b>\n/(x*)*/\n@@||b.example\n")
    assert "Rules found: 2, of them direct: 0. Remarks: 2." in options.text("import-report")
    assert "<b>bold</b>" in options.text("import-warnings")
    assert not options.page.locator("#import-warnings b").count()
    options.page.locator("#import-append").click()
    options.wait_for("b.example", "a.example")
    with options.page.expect_download() as download:
        options.page.locator("#export").click()
    download.value.save_as(tmp_path / "rules.json")
    saved = json.loads((tmp_path / "rules.json").read_text())
    assert [rule["pattern"] for rule in saved["rules"]] == ["b.example", "a.example"]
    options.choose_file("other.txt", b"0.0.0.0 ads.example\n")
    options.page.locator("#import-replace").click()
    options.wait_for("ads.example")
    options.choose_file("rules.json", (tmp_path / "rules.json").read_bytes())
    options.page.locator("#import-replace").click()
    options.wait_for("b.example", "a.example")
    options.page.locator("#import-file").set_input_files(
        {"name": "bad.json", "mimeType": "application/json", "buffer": b'{"a":' * 100_000}
    )
    expect(options.page.locator("#toast")).to_contain_text("damaged")
    options.wait_for("b.example", "a.example")


def test_earlier_states_come_back(desk: Desk) -> None:
    options = desk.options
    for name in ("a", "b", "c"):
        options.add("domain", f"{name}.example", "block")
        expect(options.page.locator("#dialog")).not_to_be_visible()
    options.wait_for("c.example", "b.example", "a.example")
    options.page.locator("#earlier button").nth(2).click()
    options.wait_for("a.example")
    expect(options.page.locator("#earlier li")).to_have_count(4)


def test_lists_of_others(desk: Desk) -> None:
    page = desk.browser.open_surface("options/options.html#lists").page
    expect(page.locator("#lists-none")).to_be_visible()
    page.locator("#lists-url").fill("http://lists.example/unprotected.txt")
    page.locator("#lists-form .primary").click()
    expect(page.locator("#lists-error")).to_contain_text("https")
    page.locator("#lists-url").fill("https://lists.example/list.txt")
    page.locator("#lists-action").select_option("block")
    page.locator("#lists-form .primary").click()
    row = page.locator("#lists .list")
    expect(row).to_contain_text("https://lists.example/list.txt", timeout=90_000)
    expect(row).to_contain_text("could not be fetched")  # no peer is known
    expect(row).to_contain_text("Block")
    kept = desk.ask(GetSubscriptions(id=1)).subscriptions
    assert kept is not None and [(each.url, str(each.action)) for each in kept] == [
        ("https://lists.example/list.txt", "block")
    ]
    row.locator("[data-do=unsubscribe]").click()
    expect(page.locator("#lists-none")).to_be_visible()
    assert desk.ask(GetSubscriptions(id=2)).subscriptions == []


def test_a_newcomer_is_led_to_where_one_joins(desk: Desk) -> None:
    page = desk.browser.open_surface("options/options.html").page
    expect(page.locator("#network-none")).to_be_visible()
    expect(page.locator("#nav [aria-current]")).to_have_text("Network")
    page.locator("#invite-show").click()
    expect(page.locator("#invite-error")).not_to_be_empty()
    expect(page.locator("#invite-found")).to_be_hidden()


def test_changes_from_elsewhere_show_and_are_not_overwritten(desk: Desk) -> None:
    options = desk.options
    options.add("domain", "mine.example", "block")
    options.wait_for("mine.example")
    options.page.locator(".rule .open").click()
    other = Rule(kind=RuleKind.DOMAIN, pattern="other.example", action=RuleAction.BLOCK)
    desk.ask(EditRules(id=1, base=1, edits=[Edit(at=0, insert=[other])]))
    options.wait_for("other.example", "mine.example")
    options.fill("domain", "changed.example", "block")
    expect(options.page.locator("#dialog-error")).to_contain_text("changed elsewhere")
    assert [rule.pattern for rule in desk.saved()] == ["other.example", "mine.example"]


def test_100_000_rules_stay_quick(desk: Desk) -> None:
    options, page = desk.options, desk.options.page
    text = "\n".join(f"site{n}.example" for n in range(MANY))
    options.choose_file("many.txt", text.encode())
    page.locator("#import-append").click()
    expect(page.locator("#rules-count")).to_have_text("100,000", timeout=30_000)
    assert page.locator(".rule").count() < 40
    scrolled = page.evaluate(
        """async () => {
          const list = document.querySelector("#rules-list");
          const times = [];
          for (let n = 1; n <= 30; n++) {
            const started = performance.now();
            list.scrollTop = list.scrollHeight * n / 31;
            list.dispatchEvent(new Event("scroll"));
            list.getBoundingClientRect();
            times.push(performance.now() - started);
          }
          return times.sort((a, b) => a - b)[15];
        }"""
    )
    assert scrolled < 50, f"{scrolled} ms to scroll"
    started = time.monotonic()
    page.locator("#rules-search").fill("site99998.")
    options.wait_for("site99998.example")
    assert time.monotonic() - started < 2
    page.locator(".rule [data-do=remove]").click()
    expect(page.locator("#rules-empty")).to_be_visible()
    assert "default" in options.test("site99998.example")
    assert "Rule 99,999 decides" in options.test("site99999.example")


def test_without_a_helper_it_says_what_to_do(playwright: Playwright, extension: Path, tmp_path: Path) -> None:
    with chromium(playwright, tmp_path / "profile", extension) as browser:
        options = browser.open_options()
        options.wait("failed")
        assert "Helper not found" in options.text("help")
        assert options.text("help-command") == "qnet install"


def test_from_right_to_left(playwright: Playwright, tmp_path: Path) -> None:
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    extension = build("chrome", tmp_path / "fa", locale="fa")
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        options = browser.open_options()
        options.wait()
        assert options.page.evaluate("getComputedStyle(document.body).direction") == "rtl"
        assert options.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
