"""``qnet decoy check HOST``, ``qnet decoy suggest FILE``: is that site a good one to stand in front of?"""

import argparse
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qnet.settings import Folders

if TYPE_CHECKING:
    from qnet.app.decoy import Examined
    from qnet.roles.decoy_check import Means

Command = Callable[[argparse.Namespace, Folders], int]
IDLE = 30.0
MARKS = {"good": "ok", "poor": "poor", "bad": "BAD", "unknown": "?"}
WORDS = {
    "good": "is a good decoy",
    "poor": "will do as a decoy, with the weaknesses above",
    "bad": "is no good as a decoy",
}


def add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Add the command's parsers."""
    parser = add("decoy", _usage, "Find a site that your peer can look like.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--here", action="append", default=[], type=_address, metavar="ADDRESS", help="where your peer is reached"
    )
    common.add_argument("--roots", metavar="FILE", help="further roots for its certificate (PEM)")
    common.add_argument("--dns", type=_server, metavar="ADDRESS[:PORT]", help="ask this name server")
    common.add_argument("--http-port", type=int, default=80, metavar="N", help="where plain HTTP should answer (80)")
    common.add_argument("--json", action="store_true", help="for a program")
    check = actions.add_parser("check", parents=[common], help="examine one site, line by line")
    check.add_argument("site", metavar="HOST[:PORT]")
    check.add_argument("--address", type=_address, metavar="ADDRESS", help="connect here, not where the name leads")
    check.add_argument(
        "--idle", type=float, default=IDLE, metavar="SECONDS", help=f"be silent for so long, 0: not at all ({IDLE:g})"
    )
    check.set_defaults(command=_check)
    suggest = actions.add_parser("suggest", parents=[common], help="rank the sites in a file, one a line")
    suggest.add_argument("file", type=Path, metavar="FILE")
    suggest.set_defaults(command=_suggest)


def _usage(options: argparse.Namespace, folders: Folders) -> int:
    raise AssertionError("an action is required")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not an address") from None


def _server(text: str) -> tuple[str, int]:
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``."""
    bracketed = text.rpartition("]:") if text.startswith("[") else text.rpartition(":")
    address, colon, port = bracketed if text.count(":") == 1 or bracketed[1] == "]:" else (text, "", "")
    number = port if colon else "53"
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise argparse.ArgumentTypeError(f"“{text}” is not ADDRESS:PORT")
    return _address(address), int(number)


def _check(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.app.decoy import examine, site_of

    site = site_of(options.site, options.address or "")
    found = examine(site, _means(options, options.idle))
    if options.json:
        print(json.dumps(_as_json(found)))
    else:
        for line in found.lines:
            print(f"{MARKS[line.verdict]:5} {line.text}")
            if line.mend:
                print(f"      {line.mend}.")
        print(f"\n{site.name} {WORDS[found.verdict]}.")
    return 1 if found.verdict == "bad" else 0


def _suggest(options: argparse.Namespace, folders: Folders) -> int:
    from qnet.app.decoy import read_candidates, suggest

    found = suggest(read_candidates(options.file), _means(options, 0.0))
    if options.json:
        print(json.dumps([_as_json(each) for each in found]))
    else:
        for each in found:
            against = [line.check.value for line in each.lines if line.verdict != "good"]
            print(
                f"{MARKS[each.verdict]:5} {each.site.name}:{each.site.port}", f"({', '.join(against)})" * bool(against)
            )
        print("\nWhat the words mean: qnet decoy check HOST")
    return 0 if any(each.verdict != "bad" for each in found) else 1


def _as_json(found: "Examined") -> dict[str, object]:
    lines = [{"check": line.check, "verdict": line.verdict, "text": line.text} for line in found.lines]
    return {"site": found.site.name, "port": found.site.port, "verdict": found.verdict, "checks": lines}


def _means(options: argparse.Namespace, idle: float) -> "Means":
    from qnet.app.helper import load_disguise
    from qnet.roles.decoy_check import Means
    from qnet.settings import Settings

    return Means(
        disguise=load_disguise(Settings(decoy_roots=options.roots)),
        servers=[options.dns] if options.dns else None,
        here=options.here,
        idle=idle,
        port_80=options.http_port,
    )
