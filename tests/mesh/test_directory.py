"""Who is listed and who is not: every refusal, time to live, pruning, countries."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.mesh.directory import MAX_ENDORSEMENTS, Directory, RefusedError
from qnet.wire.descriptor import LIMIT
from tests.support.directories import DAY, NOW, Peer, closed_directory, open_directory

OPERATOR = Ed25519PrivateKey.generate()
HERE = "192.0.0.0/16"


def shown(directory: Directory, now: float = NOW, country: str | None = None) -> dict[str, set[bytes]]:
    found = directory.by_country(HERE, country, now)
    return {place: {entry.descriptor.peer_id for entry in entries} for place, entries in found.items()}


def refused(directory: Directory, *registration: object, now: float = NOW) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        directory.register(*registration, now)  # type: ignore[arg-type]
    assert str(caught.value)
    return caught.value.what, caught.value.reason


def test_register_then_beat() -> None:
    directory, peer = open_directory(), Peer()
    assert directory.register(peer.descriptor(), [], peer.heartbeat(), NOW) is True
    assert directory.register(None, [], peer.heartbeat(NOW + 30, load=500), NOW + 30) is False
    assert directory.register(peer.descriptor(), [], peer.heartbeat(NOW + 60), NOW + 60) is False
    assert shown(directory) == {"US": {peer.id}}
    assert directory.size == 1


def test_an_entry_is_updated_not_duplicated() -> None:
    directory, peer = open_directory(), Peer()
    directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    peer.country, peer.roles = "NL", ("entry", "exit")
    assert directory.register(peer.descriptor(NOW + 1), [], peer.heartbeat(NOW + 1), NOW + 1) is False
    assert shown(directory, NOW + 1) == {"NL": {peer.id}}
    assert directory.size == len(directory.entries) == 1


def test_a_silent_peer_is_gone_after_120_seconds() -> None:
    directory, peer = open_directory(), Peer()
    directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    assert shown(directory, NOW + 119.9) and directory.prune(NOW + 119.9) == 0
    assert shown(directory, NOW + 120) == {}, "not handed out even before the pruning"
    assert directory.prune(NOW + 120) == 1
    assert directory.prune(NOW + 120) == 0
    assert directory.size == 0
    assert directory.register(None, [], peer.heartbeat(NOW + 130), NOW + 130) is True, "back, and new on the list"


def test_a_pruned_peer_is_remembered_until_its_descriptor_expires() -> None:
    directory, peer = open_directory(), Peer()
    old, new = peer.descriptor(NOW - 10), peer.descriptor()
    beat = peer.heartbeat(NOW + 119)
    directory.register(new, [], beat, NOW)
    directory.prune(NOW + 200)
    assert refused(directory, None, [], beat, now=NOW + 200) == ("heartbeat", "replayed")
    assert refused(directory, old, [], peer.heartbeat(NOW + 200), now=NOW + 200) == ("descriptor", "older")
    directory.prune(NOW + DAY)
    assert directory.entries == {}
    assert refused(directory, None, [], peer.heartbeat(NOW + DAY), now=NOW + DAY) == ("heartbeat", "unknown-peer")


def changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("descriptor", "what", "reason"),
    [
        (lambda peer: peer.descriptor(NOW - 2 * DAY), "descriptor", "expired"),
        (lambda peer: peer.descriptor(NOW + 121), "descriptor", "future"),
        (lambda peer: changed(peer.descriptor()), "descriptor", "signature"),
        (lambda peer: b"\x82" + peer.descriptor()[1:-66], "descriptor", "malformed"),
        (lambda peer: peer.descriptor()[:-66] + b"\x40", "descriptor", "signature"),
        (lambda peer: bytes(LIMIT + 1), "descriptor", "oversized"),
        (lambda peer: Peer().descriptor(), "heartbeat", "signature"),
    ],
    ids=["expired", "future", "forged", "malformed", "unsigned", "oversized", "another's"],
)
def test_bad_descriptors(descriptor, what: str, reason: str) -> None:
    directory, peer = open_directory(), Peer()
    assert refused(directory, descriptor(peer), [], peer.heartbeat()) == (what, reason)
    assert directory.entries == {}


def test_an_older_descriptor_never_replaces_a_newer() -> None:
    directory, peer = open_directory(), Peer()
    older, newer = peer.descriptor(NOW - 5), peer.descriptor()
    directory.register(newer, [], peer.heartbeat(), NOW)
    assert refused(directory, older, [], peer.heartbeat()) == ("descriptor", "older")
    twin = peer.descriptor(nickname="twin")
    assert refused(directory, twin, [], peer.heartbeat()) == ("descriptor", "older")
    assert directory.entries[peer.id].descriptor.signed == newer


def test_an_older_descriptor_that_overtakes_a_newer_is_refused() -> None:
    """Between examination and admission of one registration, another of the same peer may be taken."""
    directory, peer = open_directory(), Peer()
    slow = directory.examine(peer.descriptor(NOW - 5), [], peer.heartbeat(), NOW)
    directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    with pytest.raises(RefusedError) as caught:
        directory.admit(slow, NOW)
    assert caught.value.reason == "older"


@pytest.mark.parametrize(
    ("beat", "reason"),
    [
        (lambda peer: peer.heartbeat(seq=1), "replayed"),
        (lambda peer: peer.heartbeat(seq=0), "replayed"),
        (lambda peer: peer.heartbeat(NOW - 121), "expired"),
        (lambda peer: peer.heartbeat(NOW + 121), "future"),
        (lambda peer: changed(peer.heartbeat()), "signature"),
        (lambda peer: b"", "malformed"),
        (lambda peer: Peer().heartbeat(), "unknown-peer"),
        (lambda peer: Peer().heartbeat(peer_id=peer.id), "signature"),
    ],
    ids=["replayed", "earlier", "stale", "future", "forged", "empty", "unknown", "another's"],
)
def test_bad_heartbeats(beat, reason: str) -> None:
    directory, peer = open_directory(), Peer()
    directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    assert refused(directory, None, [], beat(peer)) == ("heartbeat", reason)
    assert directory.entries[peer.id].seen == NOW


def test_a_heartbeat_cannot_outlive_the_descriptor() -> None:
    directory, peer = open_directory(), Peer()
    directory.register(peer.descriptor(expires=NOW + 60), [], peer.heartbeat(), NOW)
    assert refused(directory, None, [], peer.heartbeat(NOW + 60), now=NOW + 60) == ("descriptor", "expired")
    assert shown(directory, NOW + 60) == {}


@pytest.mark.parametrize(
    "words",
    [
        lambda peer: [],
        lambda peer: [peer.endorsed(Ed25519PrivateKey.generate())],
        lambda peer: [Peer().endorsed(OPERATOR)],
        lambda peer: [peer.endorsed(OPERATOR, country="NL")],
        lambda peer: [peer.endorsed(OPERATOR, addresses=("198.51.100.7:443",))],
    ],
    ids=["none", "a stranger's", "another peer's", "another country", "another address"],
)
def test_only_endorsed_peers_are_listed(words) -> None:
    directory, peer = closed_directory(OPERATOR), Peer()
    assert refused(directory, peer.descriptor(), words(peer), peer.heartbeat()) == ("descriptor", "unendorsed")
    assert directory.register(peer.descriptor(), [peer.endorsed(OPERATOR)], peer.heartbeat(), NOW)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (lambda peer: [changed(peer.endorsed(OPERATOR))], "signature"),
        (lambda peer: [peer.endorsed(OPERATOR, expires=NOW)], "expired"),
        (lambda peer: [peer.endorsed(OPERATOR)] * (MAX_ENDORSEMENTS + 1), "oversized"),
    ],
    ids=["forged", "expired", "too many"],
)
def test_bad_endorsements(words, reason: str) -> None:
    directory, peer = closed_directory(OPERATOR), Peer()
    assert refused(directory, peer.descriptor(), words(peer), peer.heartbeat()) == ("endorsement", reason)


def test_an_operator_needs_nobody_elses_word() -> None:
    operator = Peer()
    directory = closed_directory(operator.key)
    assert directory.register(operator.descriptor(), [], operator.heartbeat(), NOW) is True
    assert directory.register(None, [], operator.heartbeat(), NOW) is False


def test_an_endorsement_that_expires_ends_the_heartbeats() -> None:
    directory, peer = closed_directory(OPERATOR), Peer()
    word = peer.endorsed(OPERATOR, expires=NOW + 30)
    directory.register(peer.descriptor(), [word], peer.heartbeat(), NOW)
    assert refused(directory, None, [], peer.heartbeat(NOW + 30), now=NOW + 30) == ("endorsement", "expired")
    fresh = peer.endorsed(OPERATOR, NOW + 31)
    assert directory.register(peer.descriptor(NOW + 31), [fresh], peer.heartbeat(NOW + 31), NOW + 31) is False


def test_an_operator_may_endorse_so_many() -> None:
    directory, peers = closed_directory(OPERATOR, endorser_quota=2), [Peer() for _ in range(3)]
    for peer in peers[:2]:
        directory.register(peer.descriptor(), [peer.endorsed(OPERATOR)], peer.heartbeat(), NOW)
    words = [peers[2].endorsed(OPERATOR)]
    assert refused(directory, peers[2].descriptor(), words, peers[2].heartbeat()) == ("endorsement", "quota")
    first = peers[0]
    renewed = first.descriptor(NOW + 1)
    assert directory.register(renewed, [first.endorsed(OPERATOR)], first.heartbeat(NOW + 1), NOW + 1) is False
    directory.prune(NOW + DAY)
    assert directory.register(peers[2].descriptor(NOW + 1), words, peers[2].heartbeat(NOW + 1), NOW + 1), "room again"


def test_a_full_directory_forgets_who_left_and_refuses_else() -> None:
    directory, peers = open_directory(capacity=2), [Peer() for _ in range(3)]
    for peer in peers[:2]:
        directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    last = peers[2]
    assert refused(directory, last.descriptor(), [], last.heartbeat()) == ("descriptor", "full")
    directory.register(None, [], peers[0].heartbeat(NOW + 100), NOW + 100)
    directory.prune(NOW + 130)
    assert directory.register(last.descriptor(), [], last.heartbeat(NOW + 130), NOW + 130)
    assert set(directory.entries) == {peers[0].id, last.id}


def test_invite_only_peers_are_registered_and_never_shown() -> None:
    directory, peer = open_directory(), Peer()
    hidden = peer.descriptor(invite_only=True)
    assert directory.register(hidden, [], peer.heartbeat(), NOW) is True
    assert directory.register(None, [], peer.heartbeat(), NOW) is False
    assert shown(directory) == shown(directory, country="US") == {}
    assert list(directory.open_entries()) == []
    assert directory.prune(NOW + 120) == 1


def test_by_country() -> None:
    directory = open_directory()
    peers = [Peer(country=country, roles=("entry", "exit")) for country in ("US", "NL", "")]
    guard = Peer(country="NL")
    for peer in [*peers, guard]:
        directory.register(peer.descriptor(), [], peer.heartbeat(), NOW)
    assert shown(directory) == {"NL": {peers[1].id, guard.id}, "US": {peers[0].id}, "ZZ": {peers[2].id}}
    assert shown(directory, country="NL") == {"NL": {peers[1].id, guard.id}}
    assert shown(directory, country="ZZ") == {"ZZ": {peers[2].id}}
    assert shown(directory, country="FR") == {}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["new", "beat", "prune"]), st.integers(0, 90))))
def test_against_a_naive_model(steps: list[tuple[int, str, int]]) -> None:
    """The list is whoever registered or beat less than 120 s ago, whatever the order of things."""
    directory, now = open_directory(), float(NOW)
    peers = [Peer() for _ in range(5)]
    seen: dict[bytes, float] = {}
    for who, action, later in steps:
        now += later
        peer = peers[who]
        if action == "prune":
            directory.prune(now)
        elif action == "new":
            directory.register(peer.descriptor(now), [], peer.heartbeat(now), now) if later else None
            seen.update({peer.id: now} if later else {})
        elif peer.id in seen:
            directory.register(None, [], peer.heartbeat(now), now)
            seen[peer.id] = now
        alive = {key for key, at in seen.items() if at + 120 > now}
        assert shown(directory, now).get("US", set()) == alive
    directory.prune(now)
    assert directory.size == len({key for key, at in seen.items() if at + 120 > now})
