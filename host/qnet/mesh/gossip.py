"""Gossip between operators' directories: register with one, appear in all.

Conversation, over any transport; each message is signed by an operator for the other:

1. → COMPARE: summaries, our own and the newest of others; ← DIFFER: the same, and of each bucket whose hash
   differs the ids and times there
2. → EXCHANGE: what only we have, and which we want; ← RECORDS: those. Again until nothing is left.

Descriptors form a set that only grows, newer ones in place of older, until each expires everywhere at one time.
It is compared by 256 buckets (first byte of the id), each with a hash of its ``(id, issued)``. A *summary* is one
directory's hashes, and per bucket a bitmap of the peers it heard lately itself, in the order of their ids. It is
signed and passed on as it is; its bits count where the hashes agree. So no directory can keep a dead peer
alive by hearsay, and a network of n directories agrees after O(log n) rounds.

Message: kind ``qnet-gossip-1`` of ``signed``; 1 operator, 2 to, 3 number (unix milliseconds, greater than in any
earlier request of that operator, an answer's its request's), 4 step, 5 body (deterministic CBOR, an array).
Summary: kind ``qnet-liveness-1``; 1 operator, 2 issued, 3 hashes (256 × 8 bytes), 4 bitmaps (array of 256).
"""

import hashlib
from bisect import bisect_left
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.directory import HEARTBEAT_SECONDS, Directory, check_newer
from qnet.wire import descriptor as descriptors
from qnet.wire.cbor import decode, encode
from qnet.wire.errors import RemoteError
from qnet.wire.signed import SKEW, Field, Kind, Reason, SignedError, is_key, is_time

INTERVAL = 10.0
"""Seconds between two rounds."""

BUCKETS = 256
LIMIT = 1 << 20
"""Largest message in bytes."""

FRESH = 1.5 * HEARTBEAT_SECONDS
"""A bit says that the last heartbeat was at most this long ago, in seconds."""

MAX_RECORDS = 100
MAX_DIFFERING = 64
"""Buckets told in full at once."""

_HASH = 8
_ITEM = 32 + 5


class GossipError(SignedError):
    """The other directory's message is not acceptable."""


class Step(IntEnum):
    """Where in the conversation a message belongs."""

    COMPARE = 0
    DIFFER = 1
    EXCHANGE = 2
    RECORDS = 3


@dataclass(frozen=True, slots=True)
class Summary:
    """One directory's set, and whom of it it heard lately."""

    operator: bytes
    issued: int
    hashes: bytes
    bitmaps: tuple[bytes, ...]
    signed: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Message:
    operator: bytes
    to: bytes
    number: int
    step: int
    body: bytes


_SUMMARY = Kind(
    name="summary",
    context=b"qnet-liveness-1",
    limit=1 << 16,
    fields={
        "operator": Field(1, is_key),
        "issued": Field(2, is_time),
        "hashes": Field(3, lambda value: isinstance(value, bytes) and len(value) == BUCKETS * _HASH),
        "bitmaps": Field(
            4,
            lambda value: (
                isinstance(value, list) and len(value) == BUCKETS and all(isinstance(each, bytes) for each in value)
            ),
        ),
    },
    signer="operator",
    error=GossipError,
)
_MESSAGE = Kind(
    name="gossip message",
    context=b"qnet-gossip-1",
    limit=LIMIT,
    fields={
        "operator": Field(1, is_key),
        "to": Field(2, is_key),
        "number": Field(3, lambda value: type(value) is int and 0 <= value < 1 << 53),
        "step": Field(4, lambda value: type(value) is int and 0 <= value <= 3),
        "body": Field(5, lambda value: isinstance(value, bytes)),
    },
    signer="operator",
    error=GossipError,
)


class _Catalogue:
    """The directory's open set at one moment, in buckets."""

    def __init__(self, directory: Directory) -> None:
        self.ids: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        for entry in directory.open_entries():
            peer = entry.descriptor.peer_id
            self.ids[peer[0]].append(peer)
        self.items: list[bytes] = []
        for ids in self.ids:
            ids.sort()
            self.items.append(
                b"".join(peer + directory.entries[peer].descriptor.issued.to_bytes(5, "big") for peer in ids)
            )
        self.hashes = [hashlib.sha256(items).digest()[:_HASH] for items in self.items]

    def differing(self, hashes: bytes) -> list[int]:
        return [at for at in range(BUCKETS) if self.hashes[at] != hashes[at * _HASH : (at + 1) * _HASH]]


class Gossip:
    """One directory's side. ``key``: its operator's identity."""

    def __init__(self, directory: Directory, key: Ed25519PrivateKey) -> None:
        self._directory = directory
        self._key = key
        self._identity = key.public_key().public_bytes_raw()
        self._summaries: dict[bytes, Summary] = {}
        self._numbers: dict[bytes, int] = {}
        self._more: set[bytes] = set()

    # --- who asks

    def begin(self, to: bytes, now: float) -> bytes:
        """The first message to the operator ``to``; give each answer to ``proceed``."""
        return self._message(to, self._number(now), Step.COMPARE, self._own_summaries(now))

    def proceed(self, request: bytes, answer: bytes, now: float) -> bytes | None:
        """The next message after ``answer`` to our ``request``, none at the end; raises ``GossipError``.

        The caller bounds how often: another side that keeps nothing of what it is given would go on for ever.
        """
        asked, message = _Message(**_MESSAGE.verify(request)), _Message(**_MESSAGE.verify(answer))
        if (message.operator, message.to, message.number) != (asked.to, self._identity, asked.number):
            raise GossipError("not the answer to what was asked")
        if message.step != asked.step + 1:
            raise GossipError("step")
        body = _array(message.body)
        if message.step == Step.RECORDS:
            self._take(body, now)
            self._apply_summaries(now)
            return self.begin(asked.to, now) if asked.to in self._more else None
        if not body or not isinstance(body[-1], dict):
            raise GossipError("body")
        self._hear(body[:-1], now)
        give, want = self._compare(body[-1])
        self._apply_summaries(now)
        if not give and not want:
            return None
        more = len(body[-1]) == MAX_DIFFERING or max(len(give), len(want)) > MAX_RECORDS
        (self._more.add if more else self._more.discard)(asked.to)
        exchange = [[self._record(peer) for peer in give[:MAX_RECORDS]], want[:MAX_RECORDS]]
        return self._message(message.operator, self._number(now), Step.EXCHANGE, exchange)

    def _number(self, now: float) -> int:
        number = max(int(now * 1000), self._numbers.get(self._identity, 0) + 1)
        self._numbers[self._identity] = number
        return number

    def _compare(self, theirs: dict[Any, Any]) -> tuple[list[bytes], list[bytes]]:
        """What only we have or have newer, and what they have so."""
        give, want = [], []
        entries = self._directory.entries
        ours = _Catalogue(self._directory)
        for at, items in theirs.items():
            if type(at) is not int or not 0 <= at < BUCKETS or not isinstance(items, bytes) or len(items) % _ITEM:
                raise GossipError("body")
            there = {
                items[start : start + 32]: int.from_bytes(items[start + 32 : start + _ITEM], "big")
                for start in range(0, len(items), _ITEM)
            }
            for peer, issued in there.items():
                known = entries.get(peer)
                if known is None or (not known.descriptor.invite_only and known.descriptor.issued < issued):
                    want.append(peer)
            give += [peer for peer in ours.ids[at] if there.get(peer, -1) < entries[peer].descriptor.issued]
        return give, want

    # --- who is asked

    def answer(self, request: bytes, now: float) -> bytes:
        """The answer to a message of another operator; raises ``GossipError``."""
        message = _Message(**_MESSAGE.verify(request))
        if message.operator not in self._directory.policy.operators or message.operator == self._identity:
            raise GossipError("not an operator of this network", Reason.SIGNATURE)
        if message.to != self._identity:
            raise GossipError("meant for another directory")
        if abs(message.number / 1000 - now) > SKEW or message.number <= self._numbers.get(message.operator, 0):
            raise GossipError("an old message, or a wrong clock", Reason.EXPIRED)
        self._numbers[message.operator] = message.number
        body = _array(message.body)
        if message.step == Step.COMPARE:
            self._hear(body, now)
            self._apply_summaries(now)
            answer = [*self._own_summaries(now), self._differences(message.operator)]
            return self._message(message.operator, message.number, Step.DIFFER, answer)
        if message.step != Step.EXCHANGE:
            raise GossipError("step")
        match body:
            case [list() as given, list() as wanted] if len(wanted) <= MAX_RECORDS:
                self._take(given, now)
                self._apply_summaries(now)
                entries = self._directory.entries
                records = [
                    self._record(peer)
                    for peer in wanted
                    if isinstance(peer, bytes) and peer in entries and not entries[peer].descriptor.invite_only
                ]
                return self._message(message.operator, message.number, Step.RECORDS, records)
        raise GossipError("body")

    def _differences(self, operator: bytes) -> dict[int, bytes]:
        theirs = self._summaries.get(operator)
        if theirs is None:
            raise GossipError("no summary of its own")
        ours = _Catalogue(self._directory)
        differing = ours.differing(theirs.hashes)
        start = bisect_left(differing, self._numbers[operator] % BUCKETS)  # not always the same ones first
        return {at: ours.items[at] for at in (differing[start:] + differing[:start])[:MAX_DIFFERING]}

    # --- both

    def _message(self, to: bytes, number: int, step: Step, body: list[Any]) -> bytes:
        return _MESSAGE.sign(_Message(self._identity, to, number, int(step), encode(body)), self._key)

    def _record(self, peer: bytes) -> list[Any]:
        entry = self._directory.entries[peer]
        return [entry.descriptor.signed, [each.signed for each in entry.endorsements]]

    def _own_summaries(self, now: float) -> list[bytes]:
        catalogue, entries = _Catalogue(self._directory), self._directory.entries
        bitmaps = []
        for ids in catalogue.ids:
            bits = sum(1 << at for at, peer in enumerate(ids) if entries[peer].seen > now - FRESH)
            bitmaps.append(bits.to_bytes(-(-len(ids) // 8), "little"))
        summary = Summary(self._identity, int(now), b"".join(catalogue.hashes), tuple(bitmaps))
        others = [each.signed for each in self._summaries.values() if each.issued > now - SKEW]
        return [_SUMMARY.sign(summary, self._key), *others]

    def _hear(self, summaries: list[Any], now: float) -> None:
        """Keep the newest summary of each operator."""
        if len(summaries) > len(self._directory.policy.operators):
            raise GossipError("more summaries than operators")
        for data in summaries:
            if not isinstance(data, bytes):
                raise GossipError("body")
            known = {each.signed for each in self._summaries.values()}
            if data in known:
                continue
            summary = Summary(**_SUMMARY.verify(data), signed=data)
            _SUMMARY.check_issued(summary.issued, now)
            if summary.operator == self._identity or summary.operator not in self._directory.policy.operators:
                continue
            newest = self._summaries.get(summary.operator)
            if newest is None or newest.issued < summary.issued:
                self._summaries[summary.operator] = summary

    def _take(self, records: list[Any], now: float) -> None:
        """Add what is good of another directory's records; what is not is passed over, as if it had not been sent."""
        if len(records) > MAX_RECORDS:
            raise GossipError("too many records")
        directory = self._directory
        for record in records:
            match record:
                case [bytes() as data, list() as endorsed] if all(isinstance(each, bytes) for each in endorsed):
                    try:
                        found = descriptors.verify(data, now)
                        if found.invite_only:
                            continue
                        known = directory.entries.get(found.peer_id)
                        if known is not None:
                            check_newer(known, found)
                        entry = directory.take(found, directory.check_endorsements(found, endorsed, now))
                        directory.enlist(entry, now)
                    except RemoteError:
                        continue
                case _:
                    raise GossipError("record")

    def _apply_summaries(self, now: float) -> None:
        """Let every summary's bits count in the buckets that are the same here."""
        catalogue, directory = _Catalogue(self._directory), self._directory
        for summary in self._summaries.values():
            different = set(catalogue.differing(summary.hashes))
            for at, ids in enumerate(catalogue.ids):
                bits = int.from_bytes(summary.bitmaps[at], "little")
                if at in different or not bits:
                    continue
                for position, peer in enumerate(ids):
                    if bits >> position & 1:
                        entry = directory.entries[peer]
                        entry.heard = max(entry.heard, min(summary.issued, now) - FRESH)
                        directory.enlist(entry, now)


def _array(body: bytes) -> list[Any]:
    found = decode(body, LIMIT)
    if not isinstance(found, list):
        raise GossipError("body")
    return found
