"""Packages for the stores: ``python tools/package/package.py`` writes build/packages/qnet-BROWSER-VERSION.zip.

The same sources give the same bytes: entries are sorted, times and permissions fixed, and nothing but the sources and
the manifest goes in. Chrome's and Edge's stores take the same file, without the development key; Firefox has its own.
Mozilla's linter looks at the latter; its lock file is npm's without the entries ``funding`` and ``deprecated``, which
name places.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools import extension  # noqa: E402

HERE = Path(__file__).resolve().parent
TIME = (2026, 1, 1, 0, 0, 0)
LIMIT = 400 * 1024
"""Bytes that a package may have."""


def package(browser: str, out: Path) -> Path:
    """Write the package of ``browser`` into the folder ``out``; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"qnet-{browser}-{extension.version()}.zip"
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
        built = extension.build(browser, Path(folder) / browser, store=True)
        files = {file.relative_to(built).as_posix(): file for file in built.rglob("*") if file.is_file()}
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name].read_bytes(), compresslevel=9)
    size = path.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"{path.name} has {size} bytes; at most {LIMIT} are meant")
    return path


def linter() -> Path:
    """Mozilla's linter, installed from the lock file where it is not."""
    found = HERE / "node_modules" / ".bin" / "web-ext"
    if not found.exists():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    return found


def lint(path: Path) -> int:
    """0 where the linter has nothing to say; its words go to the terminal."""
    command = [str(linter()), "lint", "--source-dir", str(path), "--warnings-as-errors", "--boring"]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Write and lint every package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "packages")
    parser.add_argument("--no-lint", action="store_true", help="needs no npm")
    options = parser.parse_args()
    failed = 0
    for browser in extension.BROWSERS:
        path = package(browser, options.out)
        print(f"{path.name}  {path.stat().st_size} bytes  SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        # The linter is Firefox's: of Chrome's manifest it would not know the background.
        if browser == "firefox" and not options.no_lint:
            failed |= lint(path)
    return failed


if __name__ == "__main__":
    sys.exit(main())
