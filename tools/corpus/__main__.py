"""``python -m tools.corpus record OUT | profile RECORDING… OUT | score RECORDING…``: see the modules of these names."""

import argparse
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="python -m tools.corpus")
    verbs = parser.add_subparsers(dest="verb", required=True)
    profile = verbs.add_parser("profile", help="a shaping profile from recordings of direct loads")
    profile.add_argument("recordings", nargs="+", type=Path)
    profile.add_argument("out", type=Path)
    profile.add_argument("--most", type=int, default=400, help="visits kept")
    options = parser.parse_args(arguments)
    if options.verb == "profile":
        from tools.corpus.profile import build

        packed = build(options.recordings, options.most)
        options.out.write_bytes(packed)
        print(f"{options.out}: {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
