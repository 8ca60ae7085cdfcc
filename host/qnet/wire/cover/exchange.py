"""Whoever made a cover carries the inner handshake's three messages across it, between the decoy's own records.

Conversation, after the opening:

1. → N1 in records of the size of the browser's first request (one, unless it carries an ML-KEM key)
2. ← the decoy's own records (tickets, SETTINGS); after N1 and SETTINGS → an imitation ACK, swallowed by the peer
3. ← N2; where a script shapes the link (see ``shaping``), in as many records as its page, the last ones padding only
4. → N3; from here on records belong to the secure channel

A client does this for its first hop, a relay for the hops behind it. Every record is tried as N2 first and then as
the decoy's, so that nothing depends on their order.
"""

from qnet.wire.channel import BadRecordError, record
from qnet.wire.cover import appearance
from qnet.wire.cover.auth import WRAP_OVERHEAD, NotAuthenticError, Wrap
from qnet.wire.cover.inner import SECOND
from qnet.wire.cover.opening import Opened
from qnet.wire.errors import RemoteError
from qnet.wire.tls.errors import TlsError
from qnet.wire.tls.session import SessionTicket

_HEADER = 5
_MAX_RECORD = 16640
_HANDSHAKE, _ALERT = 22, 21
_BAD_RECORD_MAC = 20
_MAX_PAGE = 1024
"""Records that carry N2."""
_MAX_DECOY_RECORDS = 64
"""Records of the decoy before N2; nginx sends two to four."""


class CoverError(RemoteError):
    """The peer ended the cover handshake in a way that neither a peer nor a decoy does."""


class Exchange:
    """Session shape: ``receive`` gives N2 when it is there; what to write meanwhile collects in ``take_output``."""

    def __init__(self, opened: Opened, trailing: bytes) -> None:
        self._session = opened.session
        self._size = opened.script.up[0].size if opened.script else opened.request_body
        self._outgoing, self._incoming = Wrap(opened.keys.wrap_client), Wrap(opened.keys.wrap_server)
        self._buffer = bytearray(trailing)
        self._output = bytearray()
        self._first_sent = self._settings_seen = self._acknowledged = False
        self._decoy_records = 0
        self._second = b""
        self.page: list[int] = []
        """Bodies of the records that have carried N2 or padded it, in bytes."""
        self.complete = False
        """Whether no more of them come."""

    def first(self, message: bytes) -> None:
        """Send N1."""
        most = self._size - WRAP_OVERHEAD
        pieces = [message[start : start + most] for start in range(0, len(message), most)]
        for number, piece in enumerate(pieces, 1):
            self._output += record(self._outgoing.seal(piece, self._size, more=number < len(pieces)))
        self._first_sent = True
        self._acknowledge()

    def third(self, message: bytes, size: int = 0) -> None:
        """Send N3, in a record body of at least ``size`` bytes."""
        self._output += record(self._outgoing.seal(message, size))

    def take_output(self) -> bytes:
        """What is to be written, in one write."""
        output, self._output = bytes(self._output), bytearray()
        return output

    @property
    def trailing(self) -> bytes:
        """Bytes received after N2."""
        return bytes(self._buffer)

    @property
    def tickets(self) -> list[SessionTicket]:
        """What the decoy gave to resume with."""
        return self._session.tickets

    def alert(self) -> bytes:
        """How a browser ends on a record that does not open."""
        return self._session.alert(_BAD_RECORD_MAC)

    def receive(self, data: bytes) -> bytes | None:
        """N2, or None while it has not come; raises ``TlsError`` or ``CoverError``.

        Once it has, it is given at every call until nothing more of it can come.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER and not self.complete:
            length = _HEADER + int.from_bytes(self._buffer[3:5], "big")
            if length > _HEADER + _MAX_RECORD:
                raise TlsError("record length")
            if len(self._buffer) < length:
                break
            arrived = bytes(self._buffer[:length])
            del self._buffer[:length]
            try:
                piece, more = self._incoming.open(arrived[_HEADER:])
            except NotAuthenticError:
                self._decoy_record(arrived)
            else:
                self._page_record(piece, more, length - _HEADER)
        return self._second if self.complete or len(self._second) >= SECOND else None

    def padding(self, body: bytes) -> None:
        """The body of a further record of N2's page, when N2 is read; raises ``BadRecordError`` if it is none."""
        try:
            piece, _ = self._incoming.open(body)
        except NotAuthenticError:
            raise BadRecordError from None
        if piece:
            raise BadRecordError

    def _page_record(self, piece: bytes, more: bool, size: int) -> None:
        self._second += piece
        self.page.append(size)
        self.complete = not more
        if len(self.page) > _MAX_PAGE or len(self._second) > SECOND:
            raise CoverError("N2 size")

    def _decoy_record(self, arrived: bytes) -> None:
        self._decoy_records += 1
        if self._decoy_records > _MAX_DECOY_RECORDS:
            raise CoverError("no N2")
        content_type, plaintext = self._session.open_record(arrived)
        if content_type == _HANDSHAKE:
            self._output += self._session.receive_handshake(plaintext)
        elif content_type == _ALERT:
            raise CoverError("alert before N2")
        elif appearance.has_settings(plaintext):
            self._settings_seen = True
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._first_sent and self._settings_seen and not self._acknowledged:
            self._acknowledged = True
            self._output += record(self._outgoing.seal(b"", appearance.SETTINGS_ACK_BODY))
