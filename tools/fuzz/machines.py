"""What is done with arbitrary bytes by the machines: the peer's front door, the TLS client, link sessions, tickets."""

from collections.abc import Iterator
from functools import cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.wire import frames
from qnet.wire.channel import MIN_PLAINTEXT, TAG, record
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.auth import MARK_SIZE, AuthenticatedHello, Wrap
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.inner import PeerKeys, prologue
from qnet.wire.cover.opening import Guise
from qnet.wire.cover.peer import CoverPeer, Established, Event, PeerConfig, ToClient, ToDecoy
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.frames import Frame, Reset
from qnet.wire.link import MAX_CIRCUITS, LinkSession, settings_frame
from qnet.wire.noise import NoiseHandshake, TransportKeys
from qnet.wire.scratch import Scratch
from qnet.wire.steps import Done, Receive, Send
from qnet.wire.streams import Budget
from qnet.wire.tls import codes
from qnet.wire.tls.codec import handshake_message, u16, vector
from qnet.wire.tls.record import TrafficKeys, plain_record
from qnet.wire.tls.schedule import SUITES
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import Template
from tools.fuzz.parsers import NOW, counter, hello_record, pieces

NAME = "decoy.test"
NOISE = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
COVER = X25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
SECRET = bytes(range(3, 35))
KNOWN = PeerKeys(bytes(32), NOISE.public_key().public_bytes_raw(), COVER.public_key().public_bytes_raw(), SECRET, NAME)
CONFIG = PeerConfig(KNOWN.peer_id, NOISE.private_bytes_raw(), KNOWN.noise, (COVER,), SECRET, NAME, 600, 300)

HELD_LIMIT = 1 << 16
"""Most bytes that the front door may keep of what it was given: a record of the client, or a hello."""

# An operation at the front door: kind(1) length(2) bytes. Kinds: 0 the client says, 1 the decoy says, 2 and 3 they end,
# 4 the client's N1 with the bytes behind it, 5 a second passes.
_KINDS = 5


def operation(kind: int, data: bytes = b"") -> bytes:
    return bytes([kind]) + u16(len(data)) + data


class FrontDoor:
    """A peer's door and what went through it; each method checks that all of it went as it should.

    A stranger's bytes reach the decoy, each once and in order; the decoy's arrive in full length, and unchanged but
    for one mark where the hello held the key. ``inside``: N1 may have opened, and records may stay here from then on.
    """

    def __init__(self) -> None:
        self.peer = CoverPeer(CONFIG, ReplayCache(0), "192.0.2", counter())
        self.now = float(NOW)
        self.client = self.decoy = b""
        self.to_decoy = self.to_client = b""
        self.inside = self.established = False

    def client_says(self, data: bytes) -> None:
        self.client += data
        self._take(self.peer.from_client(data, self.now))

    def client_begins_inside(self, more: bytes = b"") -> None:
        """A genuine N1, which no fuzzer can make, with ``more`` behind it; nothing if the hello was not genuine."""
        if self.peer._hello is not None:
            self.inside = True  # if it opens, it stays here
            self.client_says(_first(self.peer, self.peer._hello) + more)

    def decoy_says(self, data: bytes) -> None:
        self.decoy += data
        self._take(self.peer.from_decoy(data, self.now))

    def client_ends(self) -> None:
        self._take(self.peer.client_eof())

    def decoy_ends(self) -> None:
        self._take(self.peer.decoy_eof())

    def a_second_passes(self) -> None:
        self.now += 1
        self._take(self.peer.timer(self.now))

    def _take(self, events: Iterator[Event]) -> None:
        for event in events:
            match event:
                case ToDecoy(data):
                    self.to_decoy += data
                case ToClient(data):
                    self.to_client += data
                case Established():
                    self.established = True
        self._check()

    def _check(self) -> None:
        peer = self.peer
        assert len(peer._held) <= HELD_LIMIT
        if self.inside:
            return
        assert self.client.startswith(self.to_decoy)
        held = 0 if peer._phase.name == "HELLO" else len(peer._held)
        assert len(self.client) == len(self.to_decoy) + held
        assert 0 <= len(self.decoy) - len(self.to_client) <= MARK_SIZE + 5
        if peer._hello is None:
            assert self.decoy.startswith(self.to_client)


def front_door(data: bytes) -> None:
    """Whatever comes from either side in whatever pieces."""
    door, at = FrontDoor(), 0
    while at + 3 <= len(data) and not door.established:
        kind, length = data[at] % (_KINDS + 1), int.from_bytes(data[at + 1 : at + 3], "big")
        piece = data[at + 3 : at + 3 + length]
        at += 3 + length
        match kind:
            case 0 if piece:
                door.client_says(piece)
            case 1 if piece:
                door.decoy_says(piece)
            case 2:
                door.client_ends()
            case 3:
                door.decoy_ends()
            case 4:
                door.client_begins_inside(piece)
            case _:
                door.a_second_passes()


def _first(peer: CoverPeer, hello: AuthenticatedHello) -> bytes:
    context = prologue(KNOWN.peer_id, KNOWN.noise, peer._client_hash.digest(), peer._flight.digest())
    entropy = counter()
    noise = NoiseHandshake(
        initiator=True, prologue=context, static=entropy(32), ephemeral=entropy(32), remote_static=KNOWN.noise
    )
    return record(Wrap(hello.keys.wrap_client).seal(noise.write(), 463))


@cache
def opening(browser: str) -> bytes:
    """An authentic hello as a record, dated now."""
    core = CoverClient(KNOWN, _guise(browser), counter(), NOW, settings_frame())
    step = core.step(b"")
    assert isinstance(step, Send)
    return step.data


def _guise(browser: str) -> Guise:
    return Guise(Template.from_record(hello_record(browser), browser), APPEARANCES[browser], lambda chain, name: None)


def cover_client(data: bytes) -> None:
    """A server that says anything."""
    core = CoverClient(KNOWN, _guise("firefox" if data[:1] > b"\x7f" else "chromium"), counter(), NOW, b"")
    core.step(b"")
    for piece in pieces(data):
        step = core.step(piece)
        while not isinstance(step, Receive):
            if isinstance(step, Done):
                return
            step = core.step(b"")


def server_hello_record() -> bytes:
    """A ServerHello that fits nothing but its syntax, and the decoy's next records."""
    share = vector(2, u16(codes.X25519) + vector(2, b"\x09" + bytes(31)))
    extensions = u16(codes.SUPPORTED_VERSIONS) + vector(2, u16(codes.TLS_1_3)) + u16(codes.KEY_SHARE) + share
    body = u16(0x0303) + bytes(32) + vector(1, bytes(32)) + u16(0x1301) + b"\0" + vector(2, extensions)
    message = handshake_message(codes.SERVER_HELLO, body)
    return plain_record(22, message) + b"\x14\3\3\0\1\1" + record(bytes(60)) + record(bytes(300))


# --- sessions


@cache
def _scratches() -> tuple[Scratch, Scratch]:
    """Large, so made once."""
    return Scratch(), Scratch()


def _pair() -> tuple[LinkSession, LinkSession]:
    one, two = bytes(range(32)), bytes(range(1, 33))
    near, far = _scratches()
    near.budget, far.budget = Budget(), Budget()
    client = LinkSession(TransportKeys(one, two, b""), initiator=True, scratch=near, now=0)
    peer = LinkSession(TransportKeys(two, one, b""), initiator=False, scratch=far, now=0)
    client.open_circuit(1)
    return client, peer


def _give(session: LinkSession, data: bytes) -> None:
    while data:
        buffer = session.get_buffer()
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        data = data[count:]
        session.received(count, 0.0)


def link_bytes(data: bytes) -> None:
    """Whatever arrives on a link from whoever has no key."""
    _, peer = _pair()
    for piece in pieces(data):
        _give(peer, piece)


def link_frames(data: bytes) -> None:
    """Frames of a client, or of a peer, that has the key and abuses it. The first byte says which."""
    client, peer = _pair()
    speaker, hearer = (peer, client) if data[:1] > b"\x7f" else (client, peer)
    if hearer is client:
        client.open(1, "site.test", 80, 0.0)
        _give(peer, client.flush(0.0))
    for at in range(1, len(data), 1000):
        plain = data[at : at + 1000].ljust(MIN_PLAINTEXT, b"\0")
        length = speaker._sealer.seal_into(memoryview(plain), memoryview(body := bytearray(len(plain) + TAG)), 0)
        _give(hearer, record(bytes(body[:length])))
        hearer.flush(0.0)
    assert len(hearer._circuits) <= MAX_CIRCUITS


def noise_payload(data: bytes) -> None:
    """The frames of Noise message 3."""
    _pair()[1].receive_payload(data, 0.0)


def tickets(data: bytes) -> None:
    """Handshake messages after the handshake."""
    suite = SUITES[0x1301]
    secret = bytes(32)
    session = TlsSession(
        flight=b"",
        proven=False,
        server_prefix=b"",
        alpn=b"h2",
        cipher_suite=0x1301,
        group=codes.X25519,
        resumed=False,
        certificates=[],
        record_limit=1 << 14,
        suite=suite,
        read_keys=TrafficKeys(suite, secret),
        write_keys=TrafficKeys(suite, secret),
        resumption_secret=secret,
    )
    for piece in pieces(data):
        session.receive_handshake(piece)
    assert len(session.tickets) <= 8


def good_frames() -> list[bytes]:
    """One of most kinds, as a client sends them."""
    opened = frames.open_frame(1, 1, "site.test", 80)
    return [
        b"\0" + settings_frame(),
        b"\0" + opened + frames.stream_frame(Frame.FIN, 1, 1),
        b"\0" + opened + frames.reset_frame(1, 1, Reset.REFUSED) + frames.window_frame(1, 1, 1000),
        b"\0" + frames.frame(Frame.EXTEND, 2, bytes(200)) + frames.close_frame(2, Reset.LIMIT),
        b"\0" + frames.frame(Frame.PING, 0, bytes(8)) + frames.frame(Frame.REKEY, 0),
        b"\0" + frames.frame(Frame.RESERVE, 0, bytes(80)),
        b"\xff" + frames.stream_frame(Frame.OPENED, 1, 1) + frames.window_frame(1, 1, 1000),
        b"\xff" + frames.frame(Frame.DATA, 1, (1).to_bytes(4, "big") + b"hello") + frames.credit_frame(1, 1000),
    ]
