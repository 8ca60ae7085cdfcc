"""``qnet doctor``: one line for each link of the chain, and the first broken one with its mend."""

import json
import os
import sys
from pathlib import Path

from qnet.app.doctor import Case, Finding, Outcome, examine
from qnet.settings import Folders

_MARKS = {Outcome.OK: "ok", Outcome.BROKEN: "BROKEN", Outcome.UNKNOWN: "?", Outcome.SKIPPED: "-"}


def print_findings(folders: Folders, *, as_json: bool, connect: bool) -> int:
    """Examine and print; 1 where something is broken."""
    case = Case(folders, os.environ, Path.home(), sys.platform, connect)
    found: list[Finding] = []
    for finding in examine(case):
        found.append(finding)
        if not as_json:
            print(f"{_MARKS[finding.outcome]:7} {finding.check:9} {finding.text}", flush=True)
    broken = next((finding for finding in found if finding.outcome is Outcome.BROKEN), None)
    if as_json:
        shown = [
            {"check": each.check, "outcome": each.outcome, "code": each.code, "about": each.about} for each in found
        ]
        print(json.dumps({"ok": broken is None, "broken": broken and broken.code, "checks": shown}))
    elif broken is None:
        print("\nNothing is broken." + ("" if connect else " To try a tunnel as well: qnet doctor --connect"))
    else:
        print(f"\nFirst to mend: {broken.text}.")
        if broken.detail:
            print(f"  {broken.detail}")
        print(f"  What to do: {broken.mend}")
    return 0 if broken is None else 1
