"""The corrected time: per peer, and the median for all else."""

from qnet.net.clock import PEERS, Clock

NOW = 1_800_000_000.0


def test_without_anybodys_word_it_is_the_computers() -> None:
    clock = Clock(lambda: NOW)
    assert clock.now() == NOW
    assert clock.offset(b"a") == 0


def test_each_peer_is_met_at_its_own_time_and_nobody_alone_moves_the_rest() -> None:
    clock = Clock(lambda: NOW)
    clock.agreed(b"a", 3600)
    assert clock.now() == NOW + 3600
    clock.agreed(b"b", 0)
    clock.agreed(b"c", 1)
    assert clock.now() == NOW + 1
    assert clock.offset(b"a") == 3600
    assert clock.offset(b"stranger") == 1
    clock.agreed(b"a", 2)
    assert clock.offset(b"a") == 2


def test_the_last_few_count() -> None:
    clock = Clock(lambda: NOW)
    clock.agreed(b"first", 3600)
    for number in range(PEERS):
        clock.agreed(bytes([number]), 5)
    assert clock.offset(b"first") == 5
