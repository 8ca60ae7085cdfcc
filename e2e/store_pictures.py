"""What the stores ask for, made of screenshots: five pictures of 1280 × 800 in each language, a tile of 440 × 280.

The words on them are the extension's own.
"""

import base64
import html
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, Playwright

from tools.extension import ROOT

SHOTS = (
    ("popup-busy", "text_connected"),
    ("popup-site", "site_always"),
    ("popup-exits", "exit_title"),
    ("options-connection", "hops_title"),
    ("options-lists", "lists_title"),
)
"""The screen, and the text above it."""
STYLE = """
* { margin: 0; box-sizing: border-box; }
body { display: grid; overflow: hidden; background: linear-gradient(135deg, #eef1ff, #dfe8f6 60%, #d8f1e7);
  color: #1a2130; font-family: system-ui, "Noto Sans", "Vazirmatn", "Noto Sans Arabic", "DejaVu Sans", sans-serif; }
.shot { inline-size: 1280px; block-size: 800px; grid-template-columns: 500px 1fr; align-items: center; gap: 40px;
  padding: 0 70px; }
.shot.wide { grid-template-columns: 330px 1fr; gap: 30px; padding: 0 50px; }
h1 { font-size: 46px; line-height: 1.25; font-weight: 700; text-wrap: balance; margin-block: 22px 0; }
.wide h1 { font-size: 34px; }
p { font-size: 22px; line-height: 1.5; color: #59627a; margin-block-start: 16px; text-wrap: pretty; }
.wide p { font-size: 18px; }
.logo { inline-size: 72px; }
.frame { justify-self: center; max-block-size: 760px; overflow: hidden; border-radius: 18px;
  box-shadow: 0 20px 60px rgb(20 30 80 / 25%); }
.frame img { display: block; block-size: auto; max-inline-size: 100%; }
.shot:not(.wide) .frame img { inline-size: 400px; }
.tile { inline-size: 440px; block-size: 280px; place-items: center; align-content: center; text-align: center;
  gap: 10px; padding: 30px; }
.tile h1 { font-size: 42px; margin: 0; }
.tile p { font-size: 18px; margin: 0; text-wrap: balance; }
"""


def store_pictures(playwright: Playwright, screens: Path, out: Path, locales: Sequence[str]) -> None:
    """Write ``out``/LOCALE-N.png and ``out``/LOCALE-tile.png from the light pictures in ``screens``."""
    out.mkdir(parents=True, exist_ok=True)
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    try:
        page = browser.new_page()
        for locale in locales:
            words = messages(locale)
            for number, (screen, title) in enumerate(SHOTS, 1):
                picture = inline(screens / f"{locale}-{screen}-light.png")
                wide = " wide" if screen.startswith("options") else ""
                body = f"""<body class="shot{wide}"><div><img class="logo" src="{LOGO}" alt=""><h1>{words[title]}</h1>
                <p>{words["description"]}</p></div><div class="frame"><img src="{picture}" alt=""></div></body>"""
                write(page, body, words["dir"], out / f"{locale}-{number}.png", (1280, 800))
            body = f"""<body class="tile"><img class="logo" src="{LOGO}" alt=""><h1>QNet</h1>
            <p>{words["description"]}</p></body>"""
            write(page, body, words["dir"], out / f"{locale}-tile.png", (440, 280))
    finally:
        browser.close()


def messages(locale: str) -> dict[str, str]:
    """The extension's texts, ready for a page."""
    text = (ROOT / "extension" / "_locales" / locale / "messages.json").read_text(encoding="utf-8")
    return {key: html.escape(value["message"]) for key, value in json.loads(text).items()}


def inline(path: Path) -> str:
    """A picture as an address that needs no server."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


LOGO = inline(ROOT / "extension" / "icons" / "brand-128.png")


def write(page: Page, body: str, direction: str, path: Path, size: tuple[int, int]) -> None:
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    page.set_content(f'<!doctype html><html dir="{direction}"><style>{STYLE}</style>{body}</html>', wait_until="load")
    page.screenshot(path=path)
