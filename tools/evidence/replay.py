"""Replays: a recorded hello sent again, by somebody who saw it once. It must meet the decoy, never a marked flight.

Whether a flight is marked is asked of the key: with the recorded hello's own private keys the first encrypted record
opens either as it came (the decoy's) or only without its mark. Each hello is marked the first time it comes, or the
detector would be blind.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from qnet.wire.cover.auth import SKEW, CoverKeys
from qnet.wire.errors import RemoteError
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.template import HelloDraft
from qnet.wire.tls.verify import ChainVerifier
from tests.support.network import started
from tools.evidence.row import Row, Say, count, seen
from tools.evidence.setting import BROWSERS, Front, Setting, draft_for
from tools.evidence.talk import EndedError, Talk

Recorded = tuple[HelloDraft, CoverKeys]
AGED = 118
"""Seconds: a hello dated so long ago is accepted once, and is out of the window soon after."""
AHEAD = 100
"""Seconds ahead: such a hello is in the window before and after a restart that takes less."""
AGAIN_SECONDS = 2 * SKEW + 10
"""How long after a crash a peer may refuse everybody."""


def marked(front: Front, place: Setting, recorded: Recorded) -> bool:
    """Send a hello, read the flight, and say whether it is marked."""
    draft, keys = recorded
    core = TlsClient(draft, ChainVerifier(place.anchors, time.time()), os.urandom, keys.mark)
    with Talk(front.public) as talk, suppress(RemoteError, EndedError, OSError):
        done = talk.run(core)
        return done is not None and done.result.proven
    return False


def rows(place: Setting, say: Say, *, short: bool) -> Iterator[Row]:
    """1,000 replays in three kinds, and clocks outside the window (short: 80 of one kind, no waiting)."""
    with place.own_peer("replay", "--status-port=0") as front:
        began = time.time()
        yield from _while_it_runs(front, place, say, 40 if short else 200)
        if not short:
            say(f"{AGED + 1} seconds until a hello can be old")
            yield from _aged(front, place, 300, began)
        ahead = _record(front, 0 if short else 200, AHEAD)
        fresh = _record(front, 40 if short else 300)
        yield _first_time(front, place, [*ahead, *fresh])
        say("the peer is killed and started again with its keys")
        assert front.node.process is not None
        front.node.process.kill()
        front.node.process.wait()
    with started(front.node):
        again = sum(marked(front, place, each) for each in fresh)
        yield count("replay after a crash: marked flights", again, len(fresh))
        if not short:
            again = sum(marked(front, place, each) for each in ahead)
            yield count("replay after a crash, dated ahead: marked flights", again, len(ahead))
        yield _open_again(front, place)


def _while_it_runs(front: Front, place: Setting, say: Say, number: int) -> Iterator[Row]:
    say(f"{number} hellos, each twice")
    time.sleep(1)  # the credential's time is in whole seconds: none is older than the peer
    fresh = _record(front, number)
    yield _first_time(front, place, fresh)
    again = sum(marked(front, place, each) for each in fresh)
    yield count("replay inside the window: marked flights", again, number)
    known = front.known
    skewed = [draft_for(known, BROWSERS[at % 2], time.time() + (-1) ** at * (SKEW + 5 + at)) for at in range(number)]
    again = sum(marked(front, place, each) for each in skewed)
    yield count("a clock outside the window: marked flights", again, number)


def _aged(front: Front, place: Setting, number: int, began: float) -> Iterator[Row]:
    time.sleep(max(0.0, began + AGED + 1 - time.time()))
    first, recorded = 0, []
    for at in range(number):  # one by one: there is a second between accepted and too old
        recorded.append(draft_for(front.known, BROWSERS[at % 2], time.time() - AGED))
        first += marked(front, place, recorded[-1])
    yield seen("replay: old hellos for the first time", f"{first} marked", number, first == number)
    time.sleep(SKEW - AGED + 1)
    again = sum(marked(front, place, each) for each in recorded)
    yield count("replay outside the window: marked flights", again, number)


def _first_time(front: Front, place: Setting, recorded: list[Recorded]) -> Row:
    first = sum(marked(front, place, each) for each in recorded)
    return seen("replay: the same hellos for the first time", f"{first} marked", len(recorded), first == len(recorded))


def _open_again(front: Front, place: Setting) -> Row:
    """A peer that refuses everybody would pass all of the above."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < AGAIN_SECONDS:
        if marked(front, place, *_record(front, 1)):
            return seen("seconds after a crash until a new hello is marked", f"{took:.1f}", 1, True)
        time.sleep(0.2)
    return seen("seconds after a crash until a new hello is marked", "never", 1, False)


def _record(front: Front, number: int, dated: float = 0) -> list[Recorded]:
    known = front.known
    return [draft_for(known, BROWSERS[at % 2], time.time() + dated) for at in range(number)]
