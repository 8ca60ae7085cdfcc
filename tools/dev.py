#!/usr/bin/env python3
"""Everything one does with this repository: ``python3 tools/dev.py VERB [arguments]``.

Needs only Python 3.11 and its standard library: each verb first sets up what it needs (a virtual environment with
the locked packages, Debian's programs) and is quick about it when that has been done.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
LOCK = ROOT / "requirements" / "dev.txt"
STAMP = VENV / "set-up"
NODE_LOCK = ROOT / "package-lock.json"
NODE_STAMP = ROOT / "node_modules" / "set-up"
OLDEST = (3, 11)
UNAVAILABLE = 69

PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "firefox-esr": "firefox-esr",
    "git": "git",
    "gnutls-serv": "gnutls-bin",
    "ip": "iproute2",
    "microsocks": "microsocks",
    "nginx": "nginx-light",
    "node": "nodejs",
    "npm": "npm",
    "openssl": "openssl",
    "redis-server": "redis-server",
    "ss-server": "shadowsocks-libev",
    "tor": "tor",
    "tshark": "tshark",
}
"""Which Debian package brings a program."""


class Stage(NamedTuple):
    """One command; ``quiet`` ones show their output only when they fail."""

    name: str
    command: list[str]
    quiet: bool = True


class Verb(NamedTuple):
    """What a verb runs, stage by stage until one fails; arguments go to the last stage."""

    text: str
    stages: list[Stage]
    programs: tuple[str, ...] = ()


LINT = [
    Stage("lint", ["ruff", "check", "."]),
    Stage("format", ["ruff", "format", "--check", "."]),
    Stage("layers", ["lint-imports"]),
]
TYPES = [Stage("types", ["mypy"])]
DEMO_PROGRAMS = ("chromium", "nginx", "openssl", "tshark")
NETWORK_PROGRAMS = ("curl", "nginx", "openssl")
BENCH_PROGRAMS = (*DEMO_PROGRAMS, "ip", "microsocks", "ss-server", "tor")
EVIDENCE_PROGRAMS = ("chromium", "firefox-esr", "gnutls-serv", "nginx", "openssl")
TEST_PROGRAMS = (*BENCH_PROGRAMS, *EVIDENCE_PROGRAMS, "curl", "git", "node", "npm", "redis-server")

VERBS = {
    "demo": Verb("show the product at work", [Stage("demo", ["python", "tools/demo.py"], False)], DEMO_PROGRAMS),
    "test": Verb("lint, types and every test", [*LINT, *TYPES, Stage("tests", ["pytest"], False)], TEST_PROGRAMS),
    "e2e": Verb("the tests in real browsers", [Stage("e2e", ["pytest", "e2e"], False)], TEST_PROGRAMS),
    "lint": Verb("style and layers", LINT),
    "types": Verb("static types", TYPES),
    "run": Verb("the helper in the foreground", [Stage("helper", ["python", "-m", "qnet", "run"], False)]),
    "network": Verb(
        "a whole network of processes", [Stage("network", ["python", "tools/network.py"], False)], NETWORK_PROGRAMS
    ),
    "bench": Verb(
        "how fast it is, beside others", [Stage("bench", ["python", "-m", "tools.bench"], False)], BENCH_PROGRAMS
    ),
    "evidence": Verb(
        "the censor, played against it",
        [Stage("evidence", ["python", "-m", "tools.evidence"], False)],
        EVIDENCE_PROGRAMS,
    ),
    "conformance": Verb(
        "a running peer against docs/PROTOCOL.md", [Stage("conformance", ["python", "-m", "tools.conformance"], False)]
    ),
    "fuzz": Verb("the fuzzer", [Stage("fuzz", ["python", "-m", "tools.fuzz"], False)]),
    "screens": Verb(
        "take screenshots", [Stage("screens", ["python", "-m", "e2e.screens"], False)], (*DEMO_PROGRAMS, "firefox-esr")
    ),
    "package": Verb(
        "what the stores get", [Stage("package", ["python", "tools/package/package.py"], False)], ("node", "npm")
    ),
    "setup": Verb("only set up", [], TEST_PROGRAMS),
}


def main(arguments: list[str]) -> int:
    """Run one verb; returns the exit code of the stage that failed, else 0."""
    if not arguments or arguments[0] not in VERBS:
        print(__doc__)
        for name, verb in VERBS.items():
            print(f"  {name:11} {verb.text}")
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    verb = VERBS[arguments[0]]
    if sys.version_info < OLDEST:
        refuse(f"Python {sys.version.split()[0]} is too old", "Install Python 3.11 or newer")
    os.chdir(ROOT)
    os.environ["PATH"] = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath), "/usr/sbin"])
    install_programs(verb.programs)
    set_up_environment()
    if "npm" in verb.programs:
        set_up_node_modules()
    for number, stage in enumerate(verb.stages, 1):
        last = number == len(verb.stages)
        code = run_stage(stage, arguments[1:] if last else [])
        if code:
            return code
    return 0


def run_stage(stage: Stage, arguments: list[str]) -> int:
    """Run one stage; returns its exit code."""
    command = [str(BIN / stage.command[0]), *stage.command[1:], *arguments]
    if not stage.quiet:
        return subprocess.run(command).returncode
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, end="")
    print(f"{stage.name}: {'failed' if done.returncode else 'ok'}", flush=True)
    return done.returncode


def set_up_environment() -> None:
    """Bring the virtual environment to what the lock file says; nothing to do if it is there already."""
    parts = (sys.version.encode(), str(ROOT).encode(), LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes())
    wanted = hashlib.sha256(b"\0".join(parts)).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    if importlib.util.find_spec("ensurepip") is None:
        install_packages(["python3-venv"])
    say("Setting up the Python environment; this happens once.")
    STAMP.unlink(missing_ok=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    must([sys.executable, "-m", "venv", str(VENV)], "the virtual environment cannot be made")
    must([*pip, "--require-hashes", "-r", str(LOCK)], "the locked packages cannot be installed")
    must([*pip, "--no-deps", "--no-build-isolation", "-e", "."], "this package cannot be installed")
    STAMP.write_text(wanted)


def set_up_node_modules() -> None:
    """Bring node_modules to what the lock file says; asks nobody if they are there already."""
    wanted = hashlib.sha256(NODE_LOCK.read_bytes()).hexdigest()
    if NODE_STAMP.is_file() and NODE_STAMP.read_text() == wanted:
        return
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    must(install, "the locked npm packages cannot be installed")
    NODE_STAMP.write_text(wanted)


def install_programs(programs: tuple[str, ...]) -> None:
    """Install the Debian packages of those programs that are not found."""
    packages = [PACKAGES[program] for program in programs if shutil.which(program) is None]
    if packages:
        install_packages(packages)


def install_packages(packages: list[str]) -> None:
    """Through apt-get as root; anyone else is told the command."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        refuse(f"missing: {names}", "Install them with your package manager")
    if os.geteuid() != 0:
        refuse(f"missing: {names}", f"Run: sudo apt-get install --no-install-recommends {names}")
    say(f"Installing {names}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    must(["apt-get", "update", "-qq"], "the package lists cannot be updated")
    install = ["apt-get", "install", "-qq", "--no-install-recommends", *packages]
    must(install, f"cannot be installed: {names}")


def must(command: list[str], otherwise: str) -> None:
    """Run a set-up step; ends the process with its output if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, end="")
        refuse(otherwise, "See above")


def say(text: str) -> None:
    """Progress, at once."""
    print(text, flush=True)


def refuse(what: str, hint: str) -> NoReturn:
    """One line, what and what to do, and the end."""
    print(f"dev.py: {what}. {hint}", file=sys.stderr)
    sys.exit(UNAVAILABLE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
