"""``python3 tools/dev.py fuzz [--seconds N] [--only TEXT]``: every parser and the peer's front door, fuzzed.

The seconds are shared among the targets. Corpora and whatever breaks a target stay in ``build/fuzz``; to see one again:
``python -m tools.fuzz.worker TARGET 0 FOLDER`` with the input in FOLDER/corpus. Exit code 1 if anything was found.
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tools.fuzz.targets import TARGETS

FOLDER = Path("build/fuzz")
START_SECONDS = 60


class Result(NamedTuple):
    """``found``: the last lines of what libFuzzer said, empty if all went well."""

    name: str
    executions: int
    megabytes: int
    found: str


def main(arguments: list[str]) -> int:
    """Fuzz; returns 1 if a target broke."""
    options = _options(arguments)
    names = [name for name in TARGETS if options.only.lower() in name]
    if not names:
        print(f"no target is called so; there are: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    seconds = max(1, options.seconds * options.jobs // len(names))
    broken = 0
    print(f"{len(names)} targets, {seconds} s each, {options.jobs} at a time", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda name: fuzz(name, seconds), names):
            verdict = "BROKEN" if result.found else "ok"
            print(f"{verdict:6} {result.name:28} {result.executions:>12,} runs {result.megabytes:>5} MB", flush=True)
            if result.found:
                broken += 1
                print(result.found)
    print(f"{broken} of {len(names)} targets broke." if broken else "Nothing was found.")
    return 1 if broken else 0


def fuzz(name: str, seconds: int) -> Result:
    """One target for so long, in a process of its own with low priority."""
    folder = FOLDER / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["nice", sys.executable, "-m", "tools.fuzz.worker", name, str(seconds), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + START_SECONDS)
    told = done.stderr + done.stdout
    numbers = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", told)}
    found = "" if done.returncode == 0 else "\n".join(told.splitlines()[-40:])
    return Result(name, numbers.get("number_of_executed_units", 0), numbers.get("peak_rss_mb", 0), found)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("fuzz", description="Every parser and the peer's front door, fuzzed.")
    parser.add_argument("--seconds", type=int, default=340, help="in all, shared among the targets (default: 340)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--only", default="", metavar="TEXT", help="only targets with TEXT in their name")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
