"""The operator's directory: who is listed, and why not. Pure: time is an argument, unix seconds.

Conversation, the peer on the left:

1. → descriptor, endorsements, heartbeat; ← registered, new
2. → heartbeat, every 30 s; ← registered, not new
3. nothing for 120 s: not handed out any more; taken off the list at the next pruning, every 60 s

A peer that was taken off is remembered until its descriptor expires: an older descriptor or heartbeat of it never
counts again. What other directories have seen (``gossip``) counts as our own sight, at its own time.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from qnet.mesh.buckets import Buckets
from qnet.wire import descriptor as descriptors
from qnet.wire import endorsement as endorsements
from qnet.wire import heartbeat as heartbeats
from qnet.wire.descriptor import Descriptor
from qnet.wire.endorsement import Endorsement
from qnet.wire.errors import RemoteError
from qnet.wire.heartbeat import Heartbeat
from qnet.wire.signed import SignedError

TTL = 120.0
PRUNE_SECONDS = 60.0
HEARTBEAT_SECONDS = 30.0
CAPACITY = 1 << 16
ENDORSER_QUOTA = 1 << 14
"""Peers that one operator may have listed by its endorsement, here and through gossip."""

MAX_ENDORSEMENTS = 4
UNKNOWN_COUNTRY = "ZZ"

T = TypeVar("T")


class Refusal(StrEnum):
    """Why a registration is refused, beyond ``signed.Reason``."""

    OLDER = "older"
    REPLAYED = "replayed"
    UNKNOWN_PEER = "unknown-peer"
    UNENDORSED = "unendorsed"
    UNPROVEN = "unproven"
    QUOTA = "quota"
    FULL = "full"


class RefusedError(RemoteError):
    """The directory does not take it; ``reason`` is a ``Refusal`` or ``signed.Reason``, ``what`` it concerns."""

    def __init__(self, reason: str, what: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.what = what


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose word counts. ``open``: peers without an endorsement are listed as well."""

    operators: frozenset[bytes]
    open: bool = False
    capacity: int = CAPACITY
    endorser_quota: int = ENDORSER_QUOTA


@dataclass(slots=True)
class Entry:
    """What is known of one peer. ``seen``: its last heartbeat, here or at another front end; ``heard``: elsewhere."""

    descriptor: Descriptor
    endorsements: tuple[Endorsement, ...]
    seq: int = -1
    seen: float = 0.0
    heard: float = 0.0
    load: int = 0
    listed: bool = False

    def is_live(self, now: float) -> bool:
        """Whether it may be handed out."""
        return max(self.seen, self.heard) + TTL > now and self.descriptor.expires > now


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registration whose signatures hold. ``changed``: its keys or addresses are new here, and to be proven."""

    descriptor: Descriptor
    endorsements: tuple[Endorsement, ...]
    heartbeat: Heartbeat
    changed: bool


class Directory:
    """Every peer known, and the list. ``secret``: 32 bytes, the order of the buckets."""

    def __init__(self, policy: Policy, secret: bytes) -> None:
        self.policy = policy
        self.entries: dict[bytes, Entry] = {}
        """Changes with the list."""
        self._buckets = Buckets(secret)
        self._endorsed: Counter[bytes] = Counter()
        self._listed = 0

    @property
    def size(self) -> int:
        """How many are listed."""
        return self._listed

    # --- registration

    def examine(self, descriptor: bytes | None, endorsed: Sequence[bytes], heartbeat: bytes, now: float) -> Candidate:
        """Verify a registration without taking it; raises ``RefusedError``.

        ``descriptor``: none if the directory has it; ``endorsed`` counts only beside it.
        """
        known: Entry | None = None
        if descriptor is None:
            beat = _verified("heartbeat", lambda: heartbeats.verify(heartbeat, self._identity, now))
            known = self.entries[beat.peer_id]
            if known.descriptor.expires <= now:
                raise RefusedError("expired", "descriptor", "the descriptor has expired; send a new one")
            self._check_beat(known, beat)
            if self._needs_endorsement(known.descriptor) and all(each.expires <= now for each in known.endorsements):
                raise RefusedError("expired", "endorsement", "the endorsement has expired; send a new one")
            return Candidate(known.descriptor, known.endorsements, beat, changed=False)
        found = _verified("descriptor", lambda: descriptors.verify(descriptor, now))
        known = self.entries.get(found.peer_id)
        if known is not None:
            check_newer(known, found)
        beat = _verified("heartbeat", lambda: heartbeats.verify(heartbeat, lambda _: found.identity, now))
        if beat.peer_id != found.peer_id:
            raise RefusedError("signature", "heartbeat", "the heartbeat is another peer's")
        if known is not None:
            self._check_beat(known, beat)
        vouched = self.check_endorsements(found, endorsed, now)
        return Candidate(found, vouched, beat, known is None or _face(known.descriptor) != _face(found))

    def admit(self, candidate: Candidate, now: float) -> bool:
        """Take a registration and say whether the peer is new on the list; raises ``RefusedError``.

        What ``examine`` checked is checked again: another of the same peer may have come in between.
        """
        known = self.entries.get(candidate.descriptor.peer_id)
        if known is not None:
            check_newer(known, candidate.descriptor)
            self._check_beat(known, candidate.heartbeat)
        new = known is None or not known.listed
        entry = self.take(candidate.descriptor, candidate.endorsements)
        entry.seq, entry.seen, entry.load = candidate.heartbeat.seq, now, candidate.heartbeat.load
        self.enlist(entry, now)
        return new

    def register(self, descriptor: bytes | None, endorsed: Sequence[bytes], heartbeat: bytes, now: float) -> bool:
        """Both of the above, where the keys need no proof."""
        return self.admit(self.examine(descriptor, endorsed, heartbeat, now), now)

    def _identity(self, peer: bytes) -> bytes:
        if peer not in self.entries:
            raise RefusedError(Refusal.UNKNOWN_PEER, "heartbeat", "the peer is not known here; send its descriptor")
        return self.entries[peer].descriptor.identity

    def _check_beat(self, known: Entry, beat: Heartbeat) -> None:
        if beat.seq <= known.seq:
            raise RefusedError(Refusal.REPLAYED, "heartbeat", "this heartbeat, or a later one, was already received")

    def _needs_endorsement(self, found: Descriptor) -> bool:
        """An operator vouches for itself."""
        return not self.policy.open and found.identity not in self.policy.operators

    def check_endorsements(self, found: Descriptor, endorsed: Sequence[bytes], now: float) -> tuple[Endorsement, ...]:
        """Those of ``endorsed`` that count; raises ``RefusedError`` if one is bad, or none counts and one must."""
        if len(endorsed) > MAX_ENDORSEMENTS:
            raise RefusedError("oversized", "endorsement", f"more than {MAX_ENDORSEMENTS} endorsements")
        counting: dict[bytes, Endorsement] = {}
        for data in endorsed:
            each = _verified("endorsement", lambda data=data: endorsements.verify(data, now))  # type: ignore[misc]
            if each.endorser in self.policy.operators and each.covers(found):
                counting[each.endorser] = each
        if not counting and self._needs_endorsement(found):
            raise RefusedError(
                Refusal.UNENDORSED, "descriptor", "no operator of this network endorses the peer as it describes itself"
            )
        return tuple(counting.values())

    # --- the catalogue

    def take(self, found: Descriptor, vouched: tuple[Endorsement, ...]) -> Entry:
        """Put a verified descriptor, newer than what is known, into the catalogue; raises ``RefusedError``.

        Endorsements change only with the descriptor, by whose time directories and clients compare what they have.
        """
        key = found.peer_id
        known = self.entries.get(key)
        if known is not None and known.descriptor.signed == found.signed:
            return known
        mine = {each.endorser for each in known.endorsements} if known is not None else set()
        for each in vouched:
            if each.endorser not in mine and self._endorsed[each.endorser] >= self.policy.endorser_quota:
                raise RefusedError(Refusal.QUOTA, "endorsement", "its operator has endorsed as many peers as it may")
        if known is None:
            if len(self.entries) >= self.policy.capacity and not self._make_room():
                raise RefusedError(Refusal.FULL, "descriptor", "this directory is full")
            known = self.entries[key] = Entry(found, vouched)
        else:
            self._delist(known)
            self._endorsed.subtract(each.endorser for each in known.endorsements)
            known.descriptor, known.endorsements = found, vouched
        self._endorsed.update(each.endorser for each in vouched)
        return known

    def enlist(self, entry: Entry, now: float) -> None:
        """Hand the peer out from now on, if it lives. An invite-only peer is on the list, and never handed out."""
        if not entry.listed and entry.is_live(now):
            entry.listed = True
            self._listed += 1
            if not entry.descriptor.invite_only:
                self._buckets.add(entry.descriptor)

    def _delist(self, entry: Entry) -> None:
        if entry.listed:
            entry.listed = False
            self._listed -= 1
            if not entry.descriptor.invite_only:
                self._buckets.remove(entry.descriptor)

    def prune(self, now: float) -> int:
        """Take off the list who has not been heard of; forget what has expired. Says how many left the list."""
        before = self._listed
        for key, entry in list(self.entries.items()):
            if entry.listed and not entry.is_live(now):
                self._delist(entry)
            if entry.descriptor.expires <= now:
                self._forget(key)
        return before - self._listed

    def _forget(self, key: bytes) -> None:
        self._endorsed.subtract(each.endorser for each in self.entries.pop(key).endorsements)

    def _make_room(self) -> bool:
        """Forget, before their time, all that are not on the list."""
        gone = (
            [key for key, entry in self.entries.items() if not entry.listed] if self._listed < len(self.entries) else []
        )
        for key in gone:
            self._forget(key)
        return bool(gone)

    # --- queries

    def by_country(self, network: str, country: str | None, now: float) -> dict[str, list[Entry]]:
        """What a client in ``network`` is shown, by country, peers in the order of their ids."""
        entries = self.entries
        wanted = "" if country == UNKNOWN_COUNTRY else country
        shown = sorted(self._buckets.hand_out(network, wanted, lambda peer: entries[peer].is_live(now)))
        found: dict[str, list[Entry]] = {}
        for peer in shown:
            entry = entries[peer]
            place = entry.descriptor.country or UNKNOWN_COUNTRY
            if country in (None, place):
                found.setdefault(place, []).append(entry)
        return dict(sorted(found.items()))

    def open_entries(self) -> Iterator[Entry]:
        """Everything that other directories may learn."""
        return (entry for entry in self.entries.values() if not entry.descriptor.invite_only)


def check_newer(known: Entry, found: Descriptor) -> None:
    """Raise ``RefusedError`` unless ``found`` is what is known of the peer, or replaces it."""
    if found.issued < known.descriptor.issued:
        raise RefusedError(Refusal.OLDER, "descriptor", "a newer descriptor of this peer is known")
    if found.issued == known.descriptor.issued and found.signed != known.descriptor.signed:
        raise RefusedError(Refusal.OLDER, "descriptor", "another descriptor of the same second is known")


def _face(found: Descriptor) -> tuple[object, ...]:
    return found.noise, found.cover, found.later, found.cover_secret, found.addresses, found.decoy, found.via


def _verified(what: str, verify: Callable[[], T]) -> T:
    try:
        return verify()
    except SignedError as error:
        raise RefusedError(error.reason, what, f"{what}: {error}") from None
