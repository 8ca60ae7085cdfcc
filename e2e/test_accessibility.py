"""axe-core on every page, light and dark: nothing serious or critical."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e import hosts
from e2e.browsers import build_with_tabs, chromium
from tools.extension import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PARTS = ("connection", "network", "rules", "lists", "settings", "mode", "log", "failures", "diagnostics", "about")
PAGES = (
    "popup/popup.html",
    "welcome/welcome.html",
    "portal/portal.html",
    *(f"options/options.html#{part}" for part in PARTS),
)
RUN = """async () => {
  // Nothing may move meanwhile: a colour on its way is no colour.
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => [target, failureSummary])]);
}"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("locale", ["en", "fa"])
def test_nothing_serious_on_any_page(locale: str, playwright: Playwright, tmp_path: Path) -> None:
    extension = build_with_tabs(tmp_path / "extension", locale)
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    found = []
    with chromium(playwright, tmp_path / "profile", extension, launcher=launcher) as browser:
        popup = browser.open_popup()
        popup.press()
        popup.wait_for("connected")
        opened = "chrome.tabs.create({url: 'https://www.example.org/', active: false}).then((t) => t.id)"
        tab = browser.worker().evaluate(opened)
        for path in (f"popup/popup.html?tab={tab}", *PAGES):
            page = browser.open_surface(path).page
            page.emulate_media(reduced_motion="reduce")
            page.wait_for_timeout(600)
            if path.startswith("popup/popup.html?"):
                page.locator("#exit-change").click()
            # The pages' policy lets no script in by a tag: the debugger's own evaluation brings it.
            page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": AXE.read_text()})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found += [(path, scheme, *each) for each in page.evaluate(RUN)]
            page.close()
    assert found == [], json.dumps(found, indent=1, ensure_ascii=False)
