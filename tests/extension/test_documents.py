"""What the stores' reviewers and people read about the extension is what the manifests say."""

import re
from pathlib import Path

from tools.extension import manifest

PAGE = (Path(__file__).parents[2] / "docs" / "PERMISSIONS.md").read_text()


def asked(browser: str) -> set[str]:
    """Every permission of a browser's manifest, of whatever kind."""
    found = manifest(browser)
    keys = [key for key in found if key.endswith("permissions")]
    return {str(each) for key in keys for each in found[key]}  # type: ignore[attr-defined]


def test_every_permission_is_justified_and_no_other() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (both|Chromium|Firefox) \| \S.{20,} \|$", PAGE, re.MULTILINE)
    documented = {
        browser: {name for name, where in rows if where in ("both", shown)}
        for browser, shown in (("chrome", "Chromium"), ("firefox", "Firefox"))
    }
    assert len(rows) == len({name for name, _ in rows})
    assert documented == {browser: asked(browser) for browser in documented}
