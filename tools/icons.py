"""Draw the extension's icons: ``python tools/icons.py`` renders them in Chromium into extension/icons.

Each state has its own shape as well as its own colour: a hollow ring, three dots, a tick, a bar on an octagon.
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).resolve().parents[1] / "extension/icons"
SIZES = (16, 32, 48, 128)

_OCTAGON = "M21 4h22l17 17v22L43 60H21L4 43V21z"
SHAPES = {
    "brand": """
      <defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1">
        <stop offset="0" stop-color="#5b6cf0"/><stop offset="1" stop-color="#2b8f8a"/></linearGradient></defs>
      <rect x="4" y="4" width="56" height="56" rx="16" fill="url(#g)"/>
      <circle cx="31" cy="31" r="14.5" fill="none" stroke="#fff" stroke-width="6.5"/>
      <path d="M37 37l11 11" stroke="#fff" stroke-width="6.5" stroke-linecap="round"/>""",
    "off": """
      <circle cx="30" cy="30" r="22" fill="none" stroke="#8a93a3" stroke-width="8"/>
      <path d="M40 40l17 17" stroke="#8a93a3" stroke-width="8" stroke-linecap="round"/>""",
    "connecting": """
      <rect x="3" y="13" width="58" height="38" rx="19" fill="#e8a013"/>
      <circle cx="17" cy="32" r="5.5" fill="#fff"/><circle cx="32" cy="32" r="5.5" fill="#fff"/>
      <circle cx="47" cy="32" r="5.5" fill="#fff"/>""",
    "connected": """
      <circle cx="32" cy="32" r="29" fill="#16946a"/>
      <path d="M18 33l10 10 19-21" fill="none" stroke="#fff" stroke-width="8" stroke-linecap="round"
        stroke-linejoin="round"/>""",
    "blocked": f"""
      <path d="{_OCTAGON}" fill="#d23f4b"/>
      <path d="M18 32h28" stroke="#fff" stroke-width="9" stroke-linecap="round"/>""",
}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        for name, shape in SHAPES.items():
            for size in SIZES:
                page.set_viewport_size({"width": size, "height": size})
                page.set_content(
                    f'<style>body{{margin:0}}svg{{display:block}}</style><svg xmlns="http://www.w3.org/2000/svg" '
                    f'viewBox="0 0 64 64" width="{size}" height="{size}">{shape}</svg>'
                )
                page.screenshot(path=OUT / f"{name}-{size}.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
