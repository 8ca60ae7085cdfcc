"""Build the extension for one browser: ``python tools/extension.py build [chrome|firefox] [OUT]``.

No bundler: the build is the sources themselves beside a manifest.json, which is manifests/base.json with the
browser's own manifests/<browser>.json laid over it. Without a browser both are built, into build/extension-<browser>.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chrome", "firefox")
_LEFT_OUT = shutil.ignore_patterns("*.d.ts", "package.json")


def manifest(browser: str, *, store: bool = False) -> dict[str, object]:
    """The manifest for ``browser``; the stores refuse ``key``, which fixes the unpacked extension's ID."""
    merged: dict[str, object] = {}
    for name in ("base", browser):
        merged |= json.loads((ROOT / "manifests" / f"{name}.json").read_text(encoding="utf-8"))
    if store:
        merged.pop("key", None)
    return merged | {"version": version()}


def version() -> str:
    """The package's version; the extension carries the same."""
    text = (ROOT / "host/qnet/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([0-9.]+)', text, re.MULTILINE)
    if found is None:
        raise SystemExit("host/qnet/__init__.py names no version")
    return found[1]


def build(browser: str, out: Path, *, locale: str | None = None, store: bool = False) -> Path:
    """Write the unpacked extension to ``out``, replacing what was there; returns ``out``.

    ``locale`` builds it with that one language only: browsers packaged without translations show it all the same.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "extension", out, ignore=_LEFT_OUT)
    merged = manifest(browser, store=store)
    if locale is not None:
        merged["default_locale"] = locale
        for folder in (out / "_locales").iterdir():
            if folder.name != locale:
                shutil.rmtree(folder)
    (out / "manifest.json").write_text(json.dumps(merged, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command = parser.add_subparsers(required=True).add_parser("build", help="write the unpacked extension")
    command.add_argument("browser", nargs="?", choices=BROWSERS)
    command.add_argument("out", nargs="?", type=Path)
    command.add_argument("--store", action="store_true", help="as the stores want it: without the development key")
    options = parser.parse_args()
    for browser in (options.browser,) if options.browser else BROWSERS:
        print(build(browser, options.out or ROOT / "build" / f"extension-{browser}", store=options.store))


if __name__ == "__main__":
    main()
