"""What a relay announces on its local network: signed, verified, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.near import LIMIT, announce, announced
from qnet.wire import descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import DAY, NOW, Peer, public

OPERATOR = Peer()


def network(*, open_to_all: bool = False) -> NetworkFile:
    return NetworkFile(bytes(32), "n", NOW, (Operator(OPERATOR.descriptor()),), open_to_all)


def test_round_trip_in_strings_that_dns_can_carry() -> None:
    peer = Peer()
    words = [peer.endorsed(OPERATOR.key, family="f")]
    pairs = announce(peer.descriptor(), words)
    assert len(pairs) > 1 and all(len(key) + 1 + len(value) <= 255 for key, value in pairs.items())
    found = announced(pairs, network(), NOW)
    assert found is not None
    assert (found.descriptor.peer_id, found.endorsers, found.families) == (peer.id, {public(OPERATOR.key)}, {"f"})


def test_in_a_network_a_stranger_nearby_is_still_a_stranger() -> None:
    peer, other = Peer(), Peer()
    assert announced(announce(peer.descriptor(), []), network(), NOW) is None
    assert announced(announce(peer.descriptor(), [peer.endorsed(other.key)]), network(), NOW) is None
    assert announced(announce(peer.descriptor(), []), network(open_to_all=True), NOW) is not None
    assert announced(announce(peer.descriptor(), []), None, NOW) is not None, "who belongs to none asked for it"


def test_too_many_endorsements_are_left_out_and_a_long_descriptor_is_refused() -> None:
    peer = Peer()
    words = [peer.endorsed(OPERATOR.key, family="f" * 200) for _ in range(4)]
    pairs = announce(peer.descriptor(), words)
    assert sum(map(len, pairs.values())) <= LIMIT
    assert announced(pairs, network(), NOW) is not None
    with pytest.raises(ValueError, match="too long"):
        announce(peer.descriptor(addresses=tuple(f"{'a' * 200}{n}:1" for n in range(8))), [])


def test_what_does_not_verify_is_refused() -> None:
    peer = Peer()
    good = peer.descriptor()
    changed = bytearray(good)
    changed[-1] ^= 1
    for data in (bytes(changed), good[:-1], b""):
        with pytest.raises(RemoteError):
            announced(announce(data, []), None, NOW)
    with pytest.raises(RemoteError):
        announced(announce(good, []), None, NOW + 2 * DAY)
    with pytest.raises(RemoteError):
        announced({}, None, NOW)


@given(
    st.dictionaries(st.binary(max_size=2) | st.sampled_from([b"0", b"1", b"2"]), st.none() | st.binary(max_size=255))
)
def test_anything_is_a_peer_or_an_error(pairs: dict[bytes, bytes | None]) -> None:
    try:
        found = announced(pairs, None, NOW)
    except RemoteError:
        return
    assert found is not None and descriptor.verify(found.descriptor.signed, NOW)
