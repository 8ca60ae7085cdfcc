import json
import re
from pathlib import Path

import pytest

from qnet import __version__
from qnet.browser.manifests import NAME
from qnet.wire.messages import PROTOCOL_VERSION
from tools import extension, generate

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "extension"


@pytest.mark.parametrize("path", generate.outputs(), ids=lambda path: path.name)
def test_generated_files_are_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.outputs()[path], "run: python tools/generate.py"


def test_schema_refuses_nothing_by_accident() -> None:
    definitions = generate.schema()["$defs"]
    names = set(re.findall(r"#/\$defs/(\w+)", json.dumps(definitions)))
    assert names <= set(definitions)


def test_constants_are_the_hosts() -> None:
    assert f"PROTOCOL_VERSION = {PROTOCOL_VERSION};" in (SOURCES / "lib/reconcile.js").read_text()
    assert f'NATIVE_HOST = "{NAME}";' in (SOURCES / "lib/native.js").read_text()


@pytest.mark.parametrize("browser", extension.BROWSERS)
def test_build(browser: str, tmp_path: Path) -> None:
    out = extension.build(browser, tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["version"] == __version__
    background = manifest["background"]
    scripts = background["scripts"] if browser == "firefox" else [background["service_worker"]]
    named = [*scripts, manifest["options_ui"]["page"], manifest["action"]["default_popup"], *manifest["icons"].values()]
    named += manifest["action"]["default_icon"].values()
    assert [path for path in named if not (out / path).is_file()] == []
    assert set(background) & {"scripts", "service_worker"} == {"scripts" if browser == "firefox" else "service_worker"}
    assert ("key" in manifest) == (browser == "chrome")
    assert not list(out.rglob("*.d.ts")) + list(out.rglob("package.json"))
    extension.build(browser, out)


def test_one_locale(tmp_path: Path) -> None:
    out = extension.build("chrome", tmp_path / "out", locale="fa")
    assert [folder.name for folder in (out / "_locales").iterdir()] == ["fa"]
    assert json.loads((out / "manifest.json").read_text())["default_locale"] == "fa"


def test_stores_get_no_key() -> None:
    assert "key" not in extension.manifest("chrome", store=True)


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.js")), ids=lambda path: path.name)
def test_no_way_to_run_or_insert_foreign_text(path: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", path.read_text())


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.js")), ids=lambda path: path.name)
def test_only_compat_knows_browsers_apart(path: Path) -> None:
    known = re.search(r"globalThis\.(chrome|browser)|isFirefox", path.read_text())
    assert bool(known) == (path.name == "compat.js")


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.html")), ids=lambda path: path.name)
def test_page_has_no_inline_code(path: Path) -> None:
    page = path.read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)
