"""What shaping costs a link: the bytes of its script, and how much later the first page on a new link begins."""

import os
import time
from collections.abc import Iterator
from statistics import median

from qnet.app.profile import load_profile
from qnet.net.control_client import request
from qnet.wire.channel import RECORD_HEADER
from qnet.wire.messages import Connect, GetStatus, State
from qnet.wire.shaping import SEED
from tests.support.network import Node
from tools.bench.measures import Result, Work
from tools.bench.subjects import Subject

SCRIPTS = 500
ONCE = Work(("first", 1), ("first", 1))


def rows(shaped: Subject, unshaped: Subject, site: int, rounds: int) -> Iterator[Result]:
    """Of links that have just been made."""
    values: dict[str, list[float]] = {shaped.name: [], unshaped.name: []}
    for _ in range(4 * rounds):
        for subject in (shaped, unshaped):
            _let_go(subject.nodes[0])
            values[subject.name].append(ONCE.do(subject, site, short=False).answer[0] * 1000)
    yield Result("first byte on a new link, link included", "ms", None, values, "shaping")
    profile = load_profile()
    made = [profile.script(os.urandom(SEED)) for _ in range(SCRIPTS)]
    kilobytes = [sum(RECORD_HEADER + step.size for step in (*each.up, *each.down)) / 1000 for each in made]
    yield Result("records of a script, both ways", "kB", None, {shaped.name: [median(kilobytes)]}, "shaping")


def _let_go(client: Node) -> None:
    """Whoever connects and goes away ends what nobody uses: the next stream makes a new link."""
    control = client.home / "run" / "control.sock"
    for _ in range(20):
        request(control, Connect(id=1))
        time.sleep(0.05)
        status = request(control, GetStatus(id=1)).status
        if status is not None and status.state is State.OFFLINE:
            return
        time.sleep(0.1)
    raise RuntimeError("the link does not end")
