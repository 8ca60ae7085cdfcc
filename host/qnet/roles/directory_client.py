"""Asking operators' directories for peers.

Order of a query: directories of the network file, the next one started a moment after the last without waiting for
it, until enough have answered; then what an earlier query left on disk; then the operators themselves. A directory is
believed nothing: every descriptor and endorsement is verified here, sizes and times are bounded, and a silent, lying
or broken one costs no more than its moment.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
from anyio import to_thread

from qnet.mesh.directory import MAX_ENDORSEMENTS
from qnet.mesh.eligibility import CONFIRMED_FROM, Eligible, Listed, eligible
from qnet.roles.directory_http import DirectoryError, Source, refusal, request
from qnet.settings import replace_file
from qnet.wire import descriptor as descriptors
from qnet.wire import endorsement as endorsements
from qnet.wire.cbor import decode, encode
from qnet.wire.descriptor import Descriptor
from qnet.wire.endorsement import Endorsement
from qnet.wire.errors import RemoteError
from qnet.wire.network_file import NetworkFile

DISCOVERY_SECONDS = 1.5
STAGGER_SECONDS = 0.25
MAX_PEERS = 4096
"""Most peers taken from one answer."""

TAG_SECONDS = 600.0
"""How long an answer's tag is used: it names what one network was shown; told from elsewhere, it would link us."""

CACHE_LIMIT = 64 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a query gave. ``origin``: ``directory``, ``cache`` or ``operators``; ``problems``: by operator, in words."""

    peers: list[Eligible]
    origin: str
    problems: dict[bytes, str]


class _Item(msgspec.Struct):
    descriptor: bytes
    endorsements: list[bytes] = []


_Peer = tuple[Descriptor, tuple[Endorsement, ...]]


@dataclass(slots=True)
class _Listing:
    """What one directory showed us ``at`` a time. ``tag``: its name for that."""

    peers: dict[bytes, _Peer] = field(default_factory=dict)
    tag: str = ""
    at: float = 0.0


def read_listing(body: bytes, before: dict[bytes, _Peer], now: float) -> dict[bytes, _Peer]:
    """The peers that an answer shows, ``before`` those of the answer it adds to; raises ``DirectoryError``.

    Single bad items are passed over.
    """
    try:
        answer = msgspec.json.decode(body, type=dict[str, list[_Item | str]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DirectoryError(f"the answer is no list of peers: {error}") from None
    known = {peer.signed: (peer, words) for peer, words in before.values()}
    gone = {each for each in answer.pop("gone", ["everything"]) if isinstance(each, str)}
    peers = {} if "everything" in gone else {key: peer for key, peer in before.items() if key.hex() not in gone}
    items = [item for items in answer.values() for item in items if isinstance(item, _Item)]
    if len(items) > MAX_PEERS:
        raise DirectoryError(f"the answer has more than {MAX_PEERS} peers")
    for item in items:
        peer = known.get(item.descriptor) or _verify(item.descriptor, item.endorsements, now)
        if peer is not None:
            peers[peer[0].peer_id] = peer
    return peers


def _verify(data: bytes, words: Sequence[bytes], now: float) -> _Peer | None:
    try:
        found = descriptors.verify(data, now)
    except RemoteError:
        return None
    good = []
    for word in words[:MAX_ENDORSEMENTS]:
        try:
            good.append(endorsements.verify(word, now))
        except RemoteError:
            continue
    return found, tuple(good)


class DirectoryClient:
    """Finds peers of one network. ``cache``: a file of ours; ``clock``: unix seconds."""

    def __init__(
        self,
        network: NetworkFile,
        sources: Sequence[Source],
        cache: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._network = network
        self._sources = list(sources)
        self._cache = cache
        self._clock = clock
        self._listings: dict[bytes, _Listing] = {}
        self._needed = 2 if len(network.operator_keys) >= CONFIRMED_FROM else 1

    async def discover(self, seconds: float = DISCOVERY_SECONDS) -> Found:
        """Ask; gives what there is after ``seconds`` at the latest, and never raises for a directory's sake."""
        problems: dict[bytes, str] = {}
        answered: set[bytes] = set()
        enough = anyio.Event()
        random.shuffle(self._sources)

        async def ask(source: Source) -> None:
            try:
                await self._ask(source)
            except DirectoryError as error:
                problems[source.operator] = str(error)
                return
            answered.add(source.operator)
            if len(answered) >= self._needed and self._eligible(answered):
                enough.set()

        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for source in self._sources:
                    group.start_soon(ask, source)
                    with anyio.move_on_after(STAGGER_SECONDS):
                        await enough.wait()
                    if enough.is_set():
                        break
                while not enough.is_set() and len(answered) + len(problems) < len(self._sources):
                    with anyio.move_on_after(0.05):
                        await enough.wait()
                group.cancel_scope.cancel()
        for source in self._sources:
            if source.operator not in answered and not enough.is_set():
                problems.setdefault(source.operator, "the directory does not answer in time")
        if found := self._eligible(answered):
            await self._remember()
            return Found(found, "directory", problems)
        # What an earlier query gave, in this life or the last; a directory that is silent now counts as it did then.
        ours = {source.operator for source in self._sources}
        kept = await to_thread.run_sync(read_cache, self._cache, self._clock())
        self._listings = {operator: kept[operator] for operator in kept.keys() & ours} | self._listings
        if found := self.remembered():
            return Found(found, "cache", problems)
        return Found(self._operators(), "operators", problems)

    def remembered(self) -> list[Eligible]:
        """What earlier queries gave, as far as it is still good, without asking anyone."""
        return self._eligible(set(self._listings))

    async def _ask(self, source: Source) -> None:
        listing = self._listings.get(source.operator, _Listing())
        fresh = 0 <= self._clock() - listing.at < TAG_SECONDS
        params = {"since": listing.tag} if listing.tag and fresh else {}
        status, tag, body = await request(source, "GET", "/api/relays/by-country", params=params)
        if status != 200:
            raise refusal(status, body)
        now = self._clock()
        peers = await to_thread.run_sync(read_listing, body, listing.peers, now, abandon_on_cancel=True)
        if not peers:
            raise DirectoryError("the directory lists nobody")  # what is known from before stays
        self._listings[source.operator] = _Listing(peers, tag, now)

    def _eligible(self, operators: set[bytes]) -> list[Eligible]:
        merged: dict[bytes, Listed] = {}
        for operator in operators:
            for key, (peer, words) in self._listings[operator].peers.items():
                known = merged.get(key)
                if known is None:
                    merged[key] = Listed(peer, words, frozenset({operator}))
                elif peer.issued > known.descriptor.issued:
                    merged[key] = Listed(peer, words, known.directories | {operator})
                else:
                    merged[key] = Listed(known.descriptor, known.endorsements, known.directories | {operator})
        return eligible(merged.values(), self._network, self._clock())

    def _operators(self) -> list[Eligible]:
        now, keys = self._clock(), self._network.operator_keys
        known = self._network.known_peers(now)
        return eligible([Listed(peer, (), keys) for peer in known if peer.identity in keys], self._network, now)

    async def _remember(self) -> None:
        content = [
            [
                operator,
                [[peer.signed, [word.signed for word in words]] for peer, words in listing.peers.values()],
            ]
            for operator, listing in sorted(self._listings.items())
        ]
        try:
            await to_thread.run_sync(lambda: replace_file(self._cache, encode(content)))
        except OSError as error:
            _log.warning("what directories answered cannot be kept on disk (%s)", error.strerror)


def read_cache(path: Path, now: float) -> dict[bytes, _Listing]:
    """What is still good of the listings on disk; nothing if the file is missing or damaged."""
    try:
        with path.open("rb") as file:
            found = decode(file.read(CACHE_LIMIT), CACHE_LIMIT)
    except FileNotFoundError:
        return {}
    except (OSError, RemoteError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        _log.warning("what directories answered earlier cannot be read from disk (%s)", reason)
        return {}
    listings = {}
    for row in found if isinstance(found, list) else ():
        match row:
            case [bytes() as operator, list() as rows]:
                peers: dict[bytes, _Peer] = {}
                for each in rows:
                    match each:
                        case [bytes() as data, list() as words] if all(isinstance(word, bytes) for word in words):
                            peer = _verify(data, words, now)
                            if peer is not None:
                                peers[peer[0].peer_id] = peer
                listings[operator] = _Listing(peers)
    return listings
