"""The status in words."""

import pytest
from msgspec.structs import replace

from qnet.roles.status_text import describe, duration, size
from qnet.wire.errors import Place
from qnet.wire.messages import ErrorInfo, ExitCounts, Hop, Rates, State, Status, Traffic


def test_what_a_client_shows() -> None:
    status = Status(
        state=State.CONNECTED, mode="client", version="0.1", since=0.0, started=1000.0, peers=4, circuits=1, streams=2,
        hops=[Hop(nickname="rose", country="DE"), Hop(nickname="tulip", country="NL", exit=True)],
        traffic=Traffic(up=5, down=7000), rates=Rates(up=1, down=1500, up_60=2, down_60=25_000_000),
        reconnection_attempts=3,
        last_error=ErrorInfo(code="x", message="It broke", hint="Mend it", place=Place.MESH),
    )  # fmt: skip
    text = describe(status, 1000.0 + 3600 * 25 + 61)
    for words in ("connected since", "up 1 d 1 h 1 min", "rose (DE) → tulip (NL, exit)",
                  "4 known, 1 circuits, 2 streams",
                  "rebuilt 3 times", "1 B/s up, 1.5 kB/s down; last minute 2 B/s, 25.0 MB/s",
                  "mesh: It broke. Mend it"):  # fmt: skip
        assert words in text
    assert "carried" not in text
    assert "resting" not in text
    assert ", resting\n" in describe(replace(status, resting=True), 2000.0)


def test_what_an_exit_shows() -> None:
    exits = ExitCounts(requests=9, success=5, blocked=3, limited=1, traffic=Traffic(up=1, down=999), month_bytes=10**12)
    text = describe(Status(state=State.CONNECTED, mode="exit", version="0.1", since=0.0, exit=exits), 0.0)
    assert "9 asked for, 5 connected, 3 refused by policy, 1 by limits" in text
    assert "1.0 kB since the start, 1.0 TB this month" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (86400 + 60, "1 d 1 min"), (90_000_000, "1041 d 16 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**15, "1000.0 TB"), (1_550_000, "1.6 MB")]
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words
