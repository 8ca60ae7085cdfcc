"""The log in memory."""

import logging

from qnet.roles.log_ring import LINE, LogRing, collected


def test_our_own_records_from_info_on_and_the_last_ones_only() -> None:
    ring = LogRing(3)
    ours, others = logging.getLogger("qnet.some.part"), logging.getLogger("somebody.else")
    with collected(ring):
        others.warning("from elsewhere")
        ours.debug("too fine")
        for number in range(5):
            ours.info("number %d", number)
    ours.warning("after the end")
    assert [line.rpartition(": ")[2] for line in ring.tail(10)] == ["number 2", "number 3", "number 4"]
    assert [line.rpartition(": ")[2] for line in ring.tail(1)] == ["number 4"]
    assert ring.tail(0) == [] and " INFO qnet.some.part: " in ring.tail(1)[0]


def test_a_record_is_one_short_line_without_what_an_exception_holds() -> None:
    ring = LogRing()
    with collected(ring):
        try:
            raise ValueError("secret.test")
        except ValueError:
            logging.getLogger("qnet").exception("first\nsecond %s", "x" * 5000)
    (line,) = ring.tail(9)
    assert "first second" in line and "\n" not in line and len(line) == LINE and "secret" not in line


def test_the_loggers_are_left_as_they_were() -> None:
    ours = logging.getLogger("qnet")
    before = ours.level, list(ours.handlers)
    with collected(LogRing()):
        assert ours.isEnabledFor(logging.INFO)
    assert (ours.level, ours.handlers) == before
