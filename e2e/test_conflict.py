"""Another extension has the proxy: never green, named, turned off by a press; then ours takes over by itself."""

import json
from pathlib import Path

from playwright.sync_api import Playwright, expect

from e2e import hosts
from e2e.browsers import chromium
from tools.extension import build

RIVAL = {
    "manifest_version": 3,
    "name": "Some other proxy",
    "version": "1",
    "permissions": ["proxy"],
    "background": {"service_worker": "worker.js"},
}
SETS = "chrome.proxy.settings.set({ value: { mode: 'direct' } });"


def test_who_has_the_proxy_and_how_to_mend_it(playwright: Playwright, tmp_path: Path) -> None:
    ours, other = build("chrome", tmp_path / "ours"), tmp_path / "other"
    manifest = json.loads((ours / "manifest.json").read_text())
    manifest["optional_permissions"].remove("management")
    manifest["permissions"].append("management")  # no test can answer the browser's own question
    (ours / "manifest.json").write_text(json.dumps(manifest))
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps(RIVAL))
    (other / "worker.js").write_text(SETS)
    launcher = hosts.scene(tmp_path / "host", "connected", hosts.dead_port())
    both = Path(f"{ours},{other}")
    with chromium(playwright, tmp_path / "profile", both, launcher=launcher) as browser:
        popup = browser.open_popup()
        popup.press()
        popup.wait_for("conflict_other")
        rivals = popup.page.locator("#rivals-list")
        expect(rivals).to_contain_text("Some other proxy")
        assert popup.page.evaluate("chrome.action.getBadgeText({})") == "!"
        rivals.get_by_role("button", name="Turn it off: Some other proxy").press("Enter")
        popup.wait_for("connected")
        assert not popup.shows("rivals")
