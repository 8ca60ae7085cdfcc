"""``python3 tools/dev.py conformance DESCRIPTOR [--at ADDRESS:PORT] [--next DESCRIPTOR]``: a peer against the document.

One line a check of docs/PROTOCOL.md; exit code 0 only if all pass. It needs the peer's descriptor, as every client
does. ``--next``: another peer, which the first may reach: a circuit is then built through both.
"""

import argparse
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from tools.conformance import cover
from tools.conformance.cover import Inner, Keys, Peer, Wrap, frame, frames, read_descriptor, record
from tools.conformance.tls import Handshake, Hello

SECONDS = 5.0
REQUEST = 463
"""Of a browser's first request record, in bytes (section 4.2)."""
PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x18\4\0\0\0\0\0\0\1\0\1\0\0\0\2\0\0\0\0\0\4\0\x60\0\0\0\6\0\4\0\0"
    b"\0\0\4\x08\0\0\0\0\0\0\xef\0\1"
)
OUTDATED = 300


class FailedError(Exception):
    """The peer does something else than the document says."""


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise FailedError(otherwise)


class Connection:
    """One connection to the peer: TLS up to the server's Finished."""

    def __init__(self, place: tuple[str, int], peer: Peer, dated: float = 0, hello: Hello | None = None) -> None:
        self.peer = peer
        self.hello = hello or Hello(peer.decoy)
        self.keys = Keys(self.hello.x25519, peer.cover, peer.cover_secret, self.hello.random)
        if hello is None:
            when = int(time.time() + dated)
            self.hello.session_id = self.keys.session_id(self.hello.message(), when, os.urandom(10))
        self.socket = socket.create_connection(place, SECONDS)
        self.tls = Handshake(self.hello)
        self.up = b""
        self._send(b"\x16\x03\x01" + struct.pack(">H", len(self.tls.first)) + self.tls.first)
        while not self.tls.receive(self._receive(), self.keys.mark):
            pass

    def _send(self, data: bytes) -> None:
        self.up += data
        self.socket.sendall(data)

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 16)
        expect(data, "the connection ended")
        return data

    def body(self) -> bytes:
        """The next record's body, of type 23."""
        while (found := self.tls.records.next()) is None:
            self.tls.records.buffer += self._receive()
        expect(found[0] == 23, f"a record of type {found[0]}")
        return found[5:]

    # --- the tunnel

    def tunnel(self) -> None:
        """Sections 4 and 5: up to the peer's first frames."""
        self._send(self.tls.flight + self.tls.write.seal(23, PREFACE))
        inner = Inner(self.peer, cover.digests(self.up, self.tls.server_prefix))
        wrap, unwrap = Wrap(self.keys.client), Wrap(self.keys.server)
        self._send(wrap.seal(inner.first(), REQUEST) + wrap.seal(b"", 26))
        second = b""
        while True:
            opened = unwrap.open(self.body())
            if opened is not None:
                second += opened[0]
                if not opened[1]:
                    break
        ciphertext = inner.second(second)
        expect(len(ciphertext) == 1088, "N2's payload is no ML-KEM-768 ciphertext")
        settings = frame(cover.SETTINGS, 0, cbor2.dumps({0: 1, 1: 16385}, canonical=True))
        self._send(wrap.seal(inner.third(self.hello.mlkem.decapsulate(ciphertext), settings)))
        self.out, self.into = inner.channels()

    def say(self, *said: bytes) -> None:
        self._send(self.out.seal(b"".join(said)))

    def forward(self, body: bytes) -> None:
        """On circuit 1."""
        self._send(self.out.seal(struct.pack(">BH", cover.FORWARD, 1) + body))

    def hear(self, kind: int) -> tuple[int, bytes]:
        """Circuit and body of the next frame of this kind."""
        while True:
            plain = self.into.open(self.body())
            expect(plain is not None, "a record does not open")
            for found, circuit, body in frames(plain or b""):
                if found == kind:
                    return circuit, body
                if found == cover.REKEY:
                    self.into.rekey()


@contextmanager
def connection(place: tuple[str, int], peer: Peer, **more: object) -> Iterator[Connection]:
    made = Connection(place, peer, **more)  # type: ignore[arg-type]
    with made.socket:
        yield made


# --- the checks


def the_decoy_answers_strangers(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer, hello=Hello(peer.decoy)) as made:
        expect(made.tls.marked is False, "a flight for a stranger is marked")


def the_key_is_answered_with_the_mark(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        expect(made.tls.marked, "the flight is not marked")


def a_hello_counts_once(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        expect(made.tls.marked, "the flight is not marked")
    with connection(place, peer, hello=made.hello) as again:
        expect(again.tls.marked is False, "a replayed hello is marked")


def an_old_hello_meets_the_decoy(place: tuple[str, int], peer: Peer) -> None:
    for dated in (-OUTDATED, OUTDATED):
        with connection(place, peer, dated=dated) as made:
            expect(made.tls.marked is False, f"a hello dated {dated} s off is marked")


def the_tunnel_says_its_settings(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        _, body = made.hear(cover.SETTINGS)
        settings = cbor2.loads(body)
        expect(settings.get(0) == 1 and settings.get(1, 0) >= 1024, "SETTINGS of another form")


def a_ping_comes_back(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        made.say(frame(cover.PING, 0, b"12345678"))
        expect(made.hear(cover.PONG) == (0, b"12345678"), "another PONG than the PING")


def keys_change_in_the_middle(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        made.say(frame(cover.REKEY))
        made.out.rekey()
        made.say(frame(cover.PING, 0, b"new key."))
        expect(made.hear(cover.PONG)[1] == b"new key.", "no PONG under the new key")


def what_is_private_is_refused(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        made.say(frame(cover.OPEN, 1, struct.pack(">IH", 1, 22) + b"127.0.0.1"))
        circuit, body = made.hear(cover.RESET)
        expect((circuit, body[:4]) == (1, struct.pack(">I", 1)), "RESET of another stream")


def an_unknown_frame_ends_the_link(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        made.say(frame(99))
        _expect_end(made)


def a_bad_record_is_the_decoys(place: tuple[str, int], peer: Peer) -> None:
    with connection(place, peer) as made:
        made.tunnel()
        made.hear(cover.SETTINGS)
        made._send(record(os.urandom(60)))
        last = made.body()
        expect(made.into.open(last) is None, "the peer itself answers a bad record")
        _expect_end(made)


def a_circuit_goes_on(place: tuple[str, int], peer: Peer, following: bytes) -> None:
    """Section 4.3: two layers, the inner with the next peer."""
    there, mlkem = read_descriptor(following), MLKEM768PrivateKey.generate()
    with connection(place, peer) as made:
        made.tunnel()
        made.say(frame(cover.EXTEND, 1, following))
        _, told = made.hear(cover.EXTENDED)
        expect(len(told) == 64, "EXTENDED has no two digests")
        inner = Inner(there, told)
        made.forward(inner.first(mlkem.public_key().public_bytes_raw()))
        ciphertext = inner.second(made.hear(cover.FORWARD)[1])
        settings = frame(cover.SETTINGS, 0, cbor2.dumps({0: 1, 1: 16385 - 19}, canonical=True))
        made.forward(inner.third(mlkem.decapsulate(ciphertext), settings))
        out, into = inner.channels()
        made.forward(out.seal(frame(cover.PING, 0, b"far away").ljust(64, b"\0"))[5:])
        while True:
            plain = into.open(made.hear(cover.FORWARD)[1])
            expect(plain is not None, "a forwarded record does not open")
            if (cover.PONG, 0, b"far away") in frames(plain or b""):
                return


def _expect_end(made: Connection) -> None:
    try:
        while made.socket.recv(1 << 16):
            pass
    except ConnectionResetError:
        return
    except TimeoutError:
        raise FailedError("the connection stays open") from None


CHECKS: dict[str, Callable[[tuple[str, int], Peer], None]] = {
    "a stranger meets the decoy (3.3)": the_decoy_answers_strangers,
    "whoever holds the key is answered with the mark (3.3)": the_key_is_answered_with_the_mark,
    "a hello counts once (3.4)": a_hello_counts_once,
    "a wrong clock meets the decoy (3.4)": an_old_hello_meets_the_decoy,
    "the inner handshake ends in SETTINGS (4, 6)": the_tunnel_says_its_settings,
    "PING comes back (6)": a_ping_comes_back,
    "REKEY (5)": keys_change_in_the_middle,
    "an exit refuses what is private to it (6)": what_is_private_is_refused,
    "an unknown frame ends the link (6)": an_unknown_frame_ends_the_link,
    "a record that does not open is answered by the decoy (4.4)": a_bad_record_is_the_decoys,
}


def main(arguments: list[str]) -> int:
    """Run every check; returns 0 if all pass."""
    parser = argparse.ArgumentParser("conformance", description="A running peer against docs/PROTOCOL.md.")
    parser.add_argument("descriptor", type=Path)
    parser.add_argument("--at", metavar="ADDRESS:PORT", help="where the peer is, if not where its descriptor says")
    parser.add_argument("--next", type=Path, metavar="DESCRIPTOR", help="a peer that it may reach, for a circuit")
    options = parser.parse_args(arguments)
    peer = read_descriptor(options.descriptor.read_bytes())
    host, _, port = (options.at or peer.addresses[0]).rpartition(":")
    checks = dict(CHECKS)
    if options.next:
        checks["a circuit goes on through it (4.3)"] = partial(a_circuit_goes_on, following=options.next.read_bytes())
    failed = 0
    for name, check in checks.items():
        try:
            check((host.strip("[]"), int(port)), peer)
            print(f"ok     {name}", flush=True)
        except (FailedError, OSError, ValueError, InvalidTag) as error:
            failed += 1
            print(f"FAILED {name}: {error or type(error).__name__}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} checks pass.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
