"""The peer's end of the cover: a byte-exact relay to the decoy that, beside it, recognises who holds the key.

Conversation (client – peer – decoy):

1. → ClientHello; passed on at once, then authenticated. Any failure: splice, for the rest of the connection.
2. ← the decoy's flight, passed on as it comes; the first encrypted record's last 16 bytes are held and marked.
3. → CCS, Finished, preface: passed on. After CCS the first type-23 record is the client's Finished.
4. → N1, one record or several: the first opens under the client's wrap key. From here client records stay here.
5. ← the decoy's own records until their calibrated number of bytes has passed, then N2; the decoy is muted. N2 goes
   in as many records as the page of the script that the hello names (see ``shaping``), so long after the decoy's
   SETTINGS as that says, or in one at once.
6. → imitation ACK (an empty message, swallowed), N3 → ``Established``

A record that does not open, or any other header, ends all this: what was held goes to the decoy, which answers in
its own words. A record is held only while it is incomplete and its header is that of application data; the header of
anything else is passed on as it comes. ``splicing`` says that this object has no more to say: relay bytes.

Session shape; events are made one by one, so that a driver passes bytes on before the next step is computed.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.wire.cover.appearance import SETTINGS_ACK_BODY, name_bytes
from qnet.wire.cover.auth import AuthenticatedHello, NotAuthenticError, Wrap, authenticate
from qnet.wire.cover.flight import Flight
from qnet.wire.cover.inner import prologue
from qnet.wire.cover.page import Page
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.errors import RemoteError
from qnet.wire.noise import NoiseError, NoiseHandshake, TransportKeys
from qnet.wire.script import Profile, Script
from qnet.wire.steps import Entropy
from qnet.wire.tls.hello import ServerHello

_CCS, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_HEADER = 5
_MAX_HELLO_RECORD = 16384
_MIN_RECORD, _MAX_RECORD = 17, 16640
_APPLICATION_HEADER = b"\x17\x03\x03"
_MAX_FIRST = 4096
_ACK = _APPLICATION_HEADER + SETTINGS_ACK_BODY.to_bytes(2, "big")
"""How the decoy's SETTINGS ACK begins (RFC 9113, section 6.5) when it is a record of its own."""
_ACK_SIZE = _HEADER + SETTINGS_ACK_BODY
HOLD_SECONDS = 1.0
"""Longest wait for the decoy's post-handshake records before N2 leaves all the same."""


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A peer's side of its descriptor. ``profiles``: by their versions, of what it can make scripts.

    ``quiet_after``, ``quiet_after_resumed``: the decoy's calibrated post-handshake bytes, after a full handshake and
    after a resumed one.
    """

    peer_id: bytes
    noise_private: bytes
    noise_public: bytes
    cover: tuple[X25519PrivateKey, ...]
    cover_secret: bytes
    server_name: str
    quiet_after: int
    quiet_after_resumed: int
    profiles: Mapping[int, Profile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToDecoy:
    data: bytes


@dataclass(frozen=True, slots=True)
class ToClient:
    data: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """The client has proven itself; ``payload`` came with message 3, ``trailing`` bytes after it.

    ``script``: what shapes the link from here on, if anything does.
    """

    keys: TransportKeys
    payload: bytes
    trailing: bytes
    script: Script | None


Event: TypeAlias = ToDecoy | ToClient | Established


class _Phase(Enum):
    HELLO = auto()
    RELAY = auto()
    INNER = auto()
    TUNNEL = auto()
    SPLICE = auto()


class CoverPeer:
    """One connection. ``source``: the prefix of the client's address, for the replay cache's quota."""

    def __init__(self, config: PeerConfig, replay: ReplayCache, source: str, entropy: Entropy) -> None:
        self._config = config
        self._replay = replay
        self._source = source
        self._entropy = entropy
        self._phase = _Phase.HELLO
        self._held = bytearray()
        self._hello: AuthenticatedHello | None = None
        self._hellos = b""
        self._script: Script | None = None
        self._finished = False
        self._client_hash = hashlib.sha256()
        self._flight = Flight(self)
        self._after_handshake = 0
        self._quiet_after = config.quiet_after
        self._first = self._message = self._second = b""
        self._secret: tuple[bytes, bytes] | None = None
        self._more = False
        self._answered = False
        self._hold_until = 0.0
        self._settled_at: float | None = None
        self._withheld = b""

    @property
    def splicing(self) -> bool:
        """Whether both directions are now plain relaying."""
        return self._phase is _Phase.SPLICE and not self._held

    @property
    def muted(self) -> bool:
        """Whether the decoy's bytes no longer reach the client."""
        return self._answered and self._phase in (_Phase.INNER, _Phase.TUNNEL)

    def next_timer(self) -> float | None:
        """When to call ``timer``, in the clock of ``now``."""
        if self._phase is not _Phase.INNER or self._more or self._answered:
            return None
        if self._settled_at is None or not self._quiet:
            return self._hold_until
        return self._settled_at + (self._script.lead if self._script else 0.0)

    def timer(self, now: float) -> Iterator[Event]:
        """The script's pause is over, or the decoy said less than calibrated: N2 leaves all the same."""
        due = self.next_timer()
        if due is not None and now >= due:
            yield from self._make_second()
            self._answered = self._phase is _Phase.INNER
            if self._answered:
                yield ToClient(self._second)

    # --- from the client

    def from_client(self, data: bytes, now: float) -> Iterator[Event]:
        """Bytes of the client; ``now`` in unix seconds."""
        if self._phase is _Phase.SPLICE:
            self._held += data
            yield from self._splice()
        elif self._phase is _Phase.HELLO:
            yield ToDecoy(data)
            self._held += data
            self._client_hash.update(data)
            self._read_hello(now)
        else:
            self._held += data
            yield from _joined(self._read_records(now))

    def client_eof(self) -> Iterator[Event]:
        """The client sends no more: what is held goes to the decoy as it is."""
        yield from self._splice()

    def splice(self, rest: bytes) -> Iterator[Event]:
        """The tunnel met a record that does not open: the decoy answers it."""
        self._held[:] = rest
        yield from self._splice()

    def _splice(self) -> Iterator[Event]:
        if self._phase is _Phase.HELLO:
            self._held.clear()  # a copy: in this phase everything has been passed on already
        self._phase = _Phase.SPLICE
        yield from self._release()
        held, self._held = bytes(self._held), bytearray()
        if held:
            yield ToDecoy(held)

    def _read_hello(self, now: float) -> None:
        """Authenticate once the first record is complete; its bytes have been passed on already."""
        held = self._held
        if not b"\x16\x03".startswith(held[:2]) or (len(held) > _HEADER and held[_HEADER] != 1):
            self._give_up()
            return
        if len(held) < _HEADER:
            return
        length = int.from_bytes(held[3:5], "big")
        if length > _MAX_HELLO_RECORD or len(held) > _HEADER + length:
            self._give_up()  # a browser sends its hello alone
            return
        if len(held) < _HEADER + length:
            return
        message = bytes(held[_HEADER:])
        config = self._config
        try:
            hello = authenticate(
                message,
                server_name=config.server_name,
                cover_keys=list(config.cover),
                cover_secret=config.cover_secret,
                now=now,
                skew=self._replay.skew(now),
            )
            self._replay.admit(hello.random, hello.credential.time, self._source, now)
        except RemoteError:
            self._give_up()
            return
        self._held.clear()
        self._hello, self._hellos = hello, message
        self._phase = _Phase.RELAY

    def _give_up(self) -> None:
        self._held.clear()
        self._phase = _Phase.SPLICE

    def _read_records(self, now: float) -> Iterator[Event]:
        while self._held and self._phase in (_Phase.RELAY, _Phase.INNER):
            held = self._held
            if self._finished and not self._may_hold(held):
                yield from self._splice()
                return
            if len(held) < _HEADER:
                break
            length = _HEADER + int.from_bytes(held[3:5], "big")
            if not self._finished and not self._plausible(held, length):
                yield from self._splice()
                return
            if len(held) < length:
                break
            data = bytes(held[:length])
            del held[:length]
            yield from self._read_record(data, now)

    @staticmethod
    def _may_hold(held: bytearray) -> bool:
        if len(held) < _HEADER:
            return _APPLICATION_HEADER.startswith(held[:3])
        return held[:3] == _APPLICATION_HEADER and _MIN_RECORD <= int.from_bytes(held[3:5], "big") <= _MAX_RECORD

    @staticmethod
    def _plausible(held: bytearray, length: int) -> bool:
        """Before Finished: CCS, a second hello, or the Finished itself."""
        if held[0] == _CCS:
            return length == _HEADER + 1
        return held[0] in (_HANDSHAKE, _APPLICATION_DATA) and held[1] == 3 and length <= _HEADER + _MAX_RECORD

    def _read_record(self, data: bytes, now: float) -> Iterator[Event]:
        if self._phase is _Phase.INNER:
            yield from self._read_inner(data, now)
            return
        if data[0] == _HANDSHAKE and data[_HEADER : _HEADER + 1] == b"\x01":
            self._hellos += data[_HEADER:]
        elif data[0] == _APPLICATION_DATA:
            if self._finished and self._flight.complete and self._is_first(data):
                self._phase = _Phase.INNER
                self._hold_until = now + HOLD_SECONDS
                yield from self._heed(now)
                return
            self._finished = True
        self._client_hash.update(data)
        yield ToDecoy(data)

    # --- the inner handshake

    def _prepare(self) -> None:
        """What N2 needs and is known before N1: there is time for it until the client answers the flight."""
        hello, config = self._hello, self._config
        if hello is None or not self._flight.complete or self._phase is not _Phase.RELAY:
            return
        if (profile := config.profiles.get(hello.credential.flags)) is not None:
            self._script = profile.script(hello.credential.id, name_bytes(config.server_name))
        self._noise = NoiseHandshake(initiator=False, static=config.noise_private, ephemeral=self._entropy(32))
        with suppress(ValueError):
            self._secret = _encapsulated(hello.mlkem_public)
        self._page = Page(self._script, hello.keys.wrap_server)

    def _is_first(self, data: bytes) -> bool:
        """Whether this record is the first of N1: nobody but the holder of the key can make one."""
        assert self._hello is not None  # noqa: S101 - holds in every phase but HELLO and SPLICE
        self._incoming = Wrap(self._hello.keys.wrap_client)
        try:
            self._message, self._more = self._incoming.open(data[_HEADER:])
        except NotAuthenticError:
            return False
        self._first = data
        return True

    def _make_second(self) -> Iterator[Event]:
        """Have N2 ready; nothing of it is said yet, unless N1 does not open.

        A client whose own hello this is has its ML-KEM key in it; behind a relay, N1 carries the client's.
        """
        if self._second:
            return
        config = self._config
        context = prologue(config.peer_id, config.noise_public, self._client_hash.digest(), self._flight.digest())
        self._noise.begin(context)
        try:
            key = self._noise.read(self._message)
            secret, ciphertext = self._secret if self._secret and not key else _encapsulated(key)
        except (NoiseError, ValueError):
            self._held[:0] = self._first
            yield from self._splice()
            return
        second = self._noise.write(ciphertext)
        self._noise.use_psk(secret)
        self._second = self._page.records(second)

    def _heed(self, now: float) -> Iterator[Event]:
        """What the decoy has said of its own, and N2 if it is time for it.

        The work for N2 waits for the decoy to be quiet: else it would delay what that says.
        """
        if self._settled_at is None and self._after_handshake >= self._quiet_after - _ACK_SIZE:
            self._settled_at = now
        if self._quiet and self.next_timer() is not None:
            yield from self._make_second()
        yield from self.timer(now)

    @property
    def _quiet(self) -> bool:
        """Whether the decoy has said all that is to be seen."""
        left = self._quiet_after - self._after_handshake
        return left <= 0 or (self._withholds and left == _ACK_SIZE)  # a record of another size would be no ACK

    @property
    def _withholds(self) -> bool:
        """Whether the script has the decoy's SETTINGS ACK come along with the page."""
        return self._script is not None and not self._script.acknowledges

    def _read_inner(self, data: bytes, now: float) -> Iterator[Event]:
        try:
            message, more = self._incoming.open(data[_HEADER:])
            if self._more:
                self._message, self._more = self._message + message, more
                self._hold_until = now + HOLD_SECONDS
                if len(self._message) > _MAX_FIRST:
                    raise NotAuthenticError("N1")
            elif message:
                if not self._answered:
                    raise NotAuthenticError("N3 before N2")
                payload = self._noise.read(message)
                self._phase = _Phase.TUNNEL
                trailing, self._held = bytes(self._held), bytearray()
                established = Established(self._noise.keys(), payload, trailing, self._script)
                self._forget()
                yield established
                return
        except (NotAuthenticError, NoiseError):
            self._held[:0] = data
            yield from self._splice()
            return
        yield from self._heed(now)

    def _forget(self) -> None:
        """A tunnel may last for days: what only its handshake needed is not kept so long."""
        self._hello = self._script = self._secret = None
        self._hellos = self._first = self._message = self._second = b""
        self._client_hash = hashlib.sha256()
        del self._noise, self._incoming, self._page

    # --- from the decoy

    def from_decoy(self, data: bytes, now: float) -> Iterator[Event]:
        """Bytes of the decoy; ``now`` in unix seconds."""
        if self.muted:
            return
        if self._phase is _Phase.HELLO or self._phase is _Phase.SPLICE or self._flight.complete:
            yield from self._release()
            passed = self._withhold(data)
            if passed:
                yield ToClient(passed)
        else:
            out = self._flight.receive(data)
            if out:
                yield ToClient(out)
            self._prepare()
        if self._finished and self._flight.complete:
            self._after_handshake += len(data)
            yield from self._heed(now)

    def _withhold(self, data: bytes) -> bytes:
        """``data`` without the decoy's SETTINGS ACK at its end, where the script has it come along with the page.

        A decoy that is asked for its page mostly answers so; this one is not asked. It is the last that a tunnel's
        client hears of it, so nothing that follows depends on it.
        """
        tail = data[-_ACK_SIZE:]
        if not self._withholds or not self._finished or self._phase is _Phase.SPLICE:
            return data
        if len(tail) < _ACK_SIZE or not tail.startswith(_ACK):
            return data
        self._withheld = tail
        return data[:-_ACK_SIZE]

    def _release(self) -> Iterator[Event]:
        """What was withheld, if something follows it after all."""
        withheld, self._withheld = self._withheld, b""
        if withheld:
            yield ToClient(withheld)

    def decoy_eof(self) -> Iterator[Event]:
        """The decoy sends no more: what is held of its flight goes out as it is, and no tunnel begins from here.

        What is held of the client waits for more: a decoy that has closed resets at the next byte, not at those that
        it has read.
        """
        yield from self._release()
        rest = self._flight.release()
        if rest:
            yield ToClient(rest)
        if self._phase is _Phase.HELLO:
            self._held.clear()
        self._phase = _Phase.SPLICE

    # --- what the flight reader asks

    def mark_for(self, server_hello: bytes) -> bytes | None:
        """The mark after ``server_hello`` (a message), or None when this handshake cannot be ours."""
        if self._hello is None:
            return None
        self._hellos += server_hello
        try:
            parsed = ServerHello.parse(server_hello)
        except RemoteError:
            return None
        if parsed.selected_version != 0x0304:
            return None
        if parsed.resumed:
            self._quiet_after = self._config.quiet_after_resumed
        return b"" if parsed.is_hello_retry_request else self._hello.keys.mark(self._hellos)

    def refuse(self) -> None:
        """The decoy's flight is not one that can be marked: splice once the client speaks again."""
        if self._phase is _Phase.RELAY:
            self._phase = _Phase.SPLICE


def _encapsulated(key: bytes) -> tuple[bytes, bytes]:
    """A secret and its ciphertext (FIPS 203); raises ``ValueError`` for what is no key."""
    return MLKEM768PublicKey.from_public_bytes(key).encapsulate()


def _joined(events: Iterator[Event]) -> Iterator[Event]:
    """What goes to the decoy together leaves in one write, as it came: a decoy's answer shows how it was cut."""
    waiting = b""
    for event in events:
        if isinstance(event, ToDecoy):
            waiting += event.data
            continue
        if waiting:
            yield ToDecoy(waiting)
            waiting = b""
        yield event
    if waiting:
        yield ToDecoy(waiting)
