"""Founding, inviting and joining: nothing is replaced without a word."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.roles.networks import ENDORSEMENTS, NetworkError, Networks, Relation, endorse
from qnet.wire import descriptor, endorsement
from qnet.wire.network_file import Operator
from tests.support.directories import DAY, NOW, Peer, public

OPERATOR = Peer()


def at(path: Path) -> Networks:
    path.mkdir()
    return Networks(path)


@pytest.fixture
def founder(tmp_path: Path) -> Networks:
    made = at(tmp_path / "founder")
    made.init("meadow", [Operator(OPERATOR.descriptor())], NOW)
    return made


@pytest.fixture
def person(tmp_path: Path) -> Networks:
    return at(tmp_path / "person")


def test_found_invite_join(founder: Networks, person: Networks) -> None:
    assert person.current(NOW) is None
    proposal = person.examine(founder.invite(NOW), NOW)
    assert (proposal.relation, proposal.network.name) == (Relation.FIRST, "meadow")
    assert person.current(NOW) is None, "looking changes nothing"
    person.accept(proposal, NOW)
    assert person.current(NOW) == founder.current(NOW)
    assert person.invite(NOW) == founder.invite(NOW), "whoever joined can pass it on"
    assert person.examine(founder.invite(NOW), NOW).relation is Relation.SAME
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*founder.folder.iterdir(), *person.folder.iterdir()])


def test_a_file_instead_of_a_link(founder: Networks, person: Networks, tmp_path: Path) -> None:
    path = tmp_path / "given"
    network = founder.current(NOW)
    assert network is not None
    path.write_bytes(network.signed)
    person.accept(person.examine(str(path), NOW), NOW)
    assert person.current(NOW) == network


def test_another_network_does_not_replace_the_present_one_silently(
    founder: Networks, person: Networks, tmp_path: Path
) -> None:
    person.accept(person.examine(founder.invite(NOW), NOW), NOW)
    other = at(tmp_path / "other")
    other.init("meadow", [Operator(Peer().descriptor())], NOW + 5)
    proposal = person.examine(other.invite(NOW + 5), NOW + 5)
    assert proposal.relation is Relation.OTHER
    assert proposal.fingerprint != founder.examine(founder.invite(NOW), NOW).fingerprint, "names may be the same"
    with pytest.raises(NetworkError, match="another network"):
        person.accept(proposal, NOW + 5)
    assert person.current(NOW) == founder.current(NOW)
    person.accept(proposal, NOW + 5, replace=True)
    assert person.current(NOW + 5) == other.current(NOW + 5)


def test_newer_files_of_one_network_replace_older_and_never_back(founder: Networks, person: Networks) -> None:
    old = founder.invite(NOW)
    founder.init("meadow", [Operator(OPERATOR.descriptor()), Operator(Peer().descriptor())], NOW)
    proposal = person.examine(founder.invite(NOW), NOW)
    person.accept(proposal, NOW)
    older = person.examine(old, NOW)
    assert older.relation is Relation.OLDER
    with pytest.raises(NetworkError, match="newer file"):
        person.accept(older, NOW, replace=True)
    late = Networks(person.folder)
    assert late.current(NOW) == proposal.network


def test_a_network_that_appeared_meanwhile_is_noticed(founder: Networks, person: Networks, tmp_path: Path) -> None:
    proposal = person.examine(founder.invite(NOW), NOW)
    other = at(tmp_path / "other")
    other.init("hill", [Operator(Peer().descriptor())], NOW)
    person.accept(person.examine(other.invite(NOW), NOW), NOW)
    with pytest.raises(NetworkError):
        person.accept(proposal, NOW)


def test_invitations_to_hidden_peers_are_the_founders(founder: Networks, person: Networks) -> None:
    hidden = Peer()
    link = founder.invite(NOW, [hidden.descriptor(invite_only=True)])
    person.accept(person.examine(link, NOW), NOW)
    network = person.current(NOW)
    assert network is not None and hidden.id in {peer.peer_id for peer in network.known_peers(NOW)}
    with pytest.raises(NetworkError, match="only the founder"):
        founder_of_other = Networks(person.folder)
        (person.folder / "founder.key").write_bytes(bytes(range(32)))
        founder_of_other.invite(NOW, [hidden.descriptor()])


def test_founding_over_somebody_elses_network_is_refused(founder: Networks, person: Networks) -> None:
    person.accept(person.examine(founder.invite(NOW), NOW), NOW)
    with pytest.raises(NetworkError, match="somebody else"):
        person.init("mine", [Operator(OPERATOR.descriptor())], NOW)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("qnet:", "not a network file"),
        ("qnet:!", "link is damaged"),
        ("/nowhere/at/all", "cannot be read"),
        (".", "cannot be read"),
    ],
)
def test_what_is_no_link_is_said(person: Networks, source: str, words: str) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        person.examine(source, NOW)
    assert caught.value.hint


def test_a_link_whose_peers_expired_is_refused(founder: Networks, person: Networks) -> None:
    with pytest.raises(NetworkError, match="has expired"):
        person.examine(founder.invite(NOW), NOW + DAY)


def test_a_cut_or_changed_link_is_refused(founder: Networks, person: Networks) -> None:
    link = founder.invite(NOW)
    for broken in (link[:-10], link[:100] + ("A" if link[100] != "A" else "B") + link[101:]):
        with pytest.raises(NetworkError):
            person.examine(broken, NOW)


def test_a_damaged_network_file_is_said(founder: Networks) -> None:
    (founder.folder / "network.qnet-network").write_bytes(b"junk")
    with pytest.raises(NetworkError, match="cannot be used"):
        founder.current(NOW)


def test_a_full_disk_is_said(founder: Networks) -> None:
    full = Networks(Path("/dev/full"))
    with pytest.raises(NetworkError):
        full.accept(Networks(founder.folder).examine(founder.invite(NOW), NOW), NOW)


def test_secrets_stay_the_same(person: Networks) -> None:
    assert person.bucket_secret() == person.bucket_secret() and len(person.bucket_secret()) == 32
    (person.folder / "buckets.key").write_bytes(b"short")
    with pytest.raises(NetworkError, match="damaged"):
        person.bucket_secret()


def test_endorsing(person: Networks) -> None:
    key, peer = Ed25519PrivateKey.generate(), Peer()
    word = endorse(key, peer.descriptor(), NOW, weight=7, family="meadow")
    found = endorsement.verify(word, NOW)
    assert found.covers(descriptor.verify(peer.descriptor(), NOW)) and found.endorser == public(key)
    assert person.endorsements(NOW) == []
    folder = person.folder / ENDORSEMENTS
    folder.mkdir()
    (folder / "one").write_bytes(word)
    (folder / "two").write_bytes(b"junk")
    assert person.endorsements(NOW) == [word] and person.endorsements(NOW + 91 * DAY) == []
    with pytest.raises(NetworkError, match="cannot be endorsed"):
        endorse(key, peer.descriptor(), NOW + 2 * DAY)
