"""A hop behind the first, in memory: the relay makes the cover, the client's handshake runs through it."""

import os
import time
from pathlib import Path

import pytest

from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.exchange import Exchange
from qnet.wire.cover.opening import CoverOpening, Guise
from qnet.wire.errors import RemoteError
from qnet.wire.hop import HopClient
from qnet.wire.steps import Done
from qnet.wire.tls.verify import ChainVerifier
from tests.support.cover_pair import NAME, NOW, Trio, authority, template


def opened(trio: Trio) -> Done:
    guise = Guise(
        template(trio.browser), APPEARANCES[trio.browser], ChainVerifier([authority().certificate], time.time())
    )
    trio.run(CoverOpening(trio.known, guise, os.urandom, NOW))
    assert trio.result is not None
    opened = trio.result.result
    answers = b"".join(answer for each in opened.last for answer in trio.from_client(each))
    return Done(opened, trio.result.trailing + trio.late + answers)


def through(trio: Trio, exchange: Exchange, chunk: int = 1 << 20) -> bytes | None:
    """Carry the exchange's output to the peer and back until N2 is there."""
    second = None
    while output := exchange.take_output():
        trio.to_peer.append(output)
        for answer in trio.from_client(output):
            for start in range(0, len(answer), chunk):
                second = exchange.receive(answer[start : start + chunk]) or second
    return second


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_both_ends_hold_the_same_keys(tmp_path: Path, browser: str, chunk: int) -> None:
    trio = Trio(tmp_path / "decoy", browser)
    done = opened(trio)
    exchange = Exchange(done.result, done.trailing)
    client = HopClient(trio.known, done.result.client_digest, done.result.server_digest, os.urandom)
    first = client.first()
    exchange.first(first)
    second = through(trio, exchange, chunk)
    assert second is not None
    third, keys = client.second(second, b"first frames")
    exchange.third(third)
    through(trio, exchange)
    assert trio.established is not None
    assert trio.established.payload == b"first frames"
    assert (keys.send, keys.receive) == (trio.established.keys.receive, trio.established.keys.send)


def test_n1_spans_records_of_the_browsers_request_size(tmp_path: Path) -> None:
    trio = Trio(tmp_path / "decoy")
    done = opened(trio)
    exchange = Exchange(done.result, done.trailing)
    exchange.first(HopClient(trio.known, b"c" * 32, b"s" * 32, os.urandom).first())
    output = exchange.take_output()
    sizes = []
    while output:
        length = int.from_bytes(output[3:5], "big")
        sizes.append(length)
        output = output[5 + length :]
    assert sizes[:3] == [APPEARANCES["chromium"].request_body(NAME)] * 3


@pytest.mark.parametrize("which", ["client", "server"])
def test_a_relay_that_lies_about_its_cover_only_fails(tmp_path: Path, which: str) -> None:
    trio = Trio(tmp_path / "decoy")
    done = opened(trio)
    digests = {"client": done.result.client_digest, "server": done.result.server_digest} | {which: b"x" * 32}
    exchange = Exchange(done.result, done.trailing)
    client = HopClient(trio.known, digests["client"], digests["server"], os.urandom)
    exchange.first(client.first())
    with pytest.raises(RemoteError):
        through(trio, exchange)
    assert trio.established is None


def test_a_second_message_that_was_touched_is_refused(tmp_path: Path) -> None:
    trio = Trio(tmp_path / "decoy")
    done = opened(trio)
    exchange = Exchange(done.result, done.trailing)
    client = HopClient(trio.known, done.result.client_digest, done.result.server_digest, os.urandom)
    exchange.first(client.first())
    second = through(trio, exchange)
    assert second is not None
    with pytest.raises(RemoteError):
        client.second(second[:-1] + bytes([second[-1] ^ 1]), b"")
