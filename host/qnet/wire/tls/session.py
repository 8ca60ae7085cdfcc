"""A TLS 1.3 connection after its handshake: sealing, opening, tickets and key updates (RFC 8446 §4.6).

Conversation: what ``open_record`` says is of type 22 goes to ``receive_handshake``, whose answer is written at once.

* NewSessionTicket: lifetime(4) age_add(4) nonce(1+n) ticket(2+n) extensions(2+n)
* KeyUpdate: update_requested(1)
"""

from dataclasses import dataclass, field

from cryptography import x509

from qnet.wire.tls import codes
from qnet.wire.tls.codec import MessageBuffer, handshake_message, message_body, pull_extensions
from qnet.wire.tls.errors import IllegalParameterError, UnexpectedMessageError
from qnet.wire.tls.record import TrafficKeys
from qnet.wire.tls.schedule import Suite

TICKET_LIMIT = 8
"""Tickets kept, the newest; browsers keep two."""

_LIFETIME_LIMIT = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class SessionTicket:
    """What resumption needs: ``secret`` is the PSK of this ticket (RFC 8446 §4.6.1); ``lifetime`` in seconds.

    ``early_data``: the server would take some with it.
    """

    lifetime: int
    age_add: int
    identity: bytes
    secret: bytes = field(repr=False)
    cipher_suite: int
    early_data: bool = False


@dataclass(slots=True)
class TlsSession:
    """The result of a handshake whose last flight the caller still has to write.

    ``flight``: what the client writes now: ChangeCipherSpec (unless it went out after a HelloRetryRequest), then one
    record with EncryptedExtensions (ALPS), an empty Certificate (if one was requested) and Finished.
    ``proven``: the first encrypted record opened only with the mark taken away.
    ``server_prefix``: the server's bytes up to and including its first encrypted record, without the mark.
    ``certificates``: the server's own first; none when ``resumed``: the ticket came from who had shown them.
    ``record_limit``: the most content in bytes that the server takes in one record (RFC 8449).
    """

    flight: bytes = field(repr=False)
    proven: bool
    server_prefix: bytes = field(repr=False)
    alpn: bytes | None
    cipher_suite: int
    group: int
    resumed: bool
    certificates: list[x509.Certificate]
    record_limit: int
    suite: Suite = field(repr=False)
    read_keys: TrafficKeys = field(repr=False)
    write_keys: TrafficKeys = field(repr=False)
    resumption_secret: bytes = field(repr=False)
    tickets: list[SessionTicket] = field(default_factory=list, repr=False)
    _messages: MessageBuffer = field(default_factory=MessageBuffer, repr=False)

    def seal(self, content_type: int, plaintext: bytes, body_size: int = 0) -> bytes:
        """One protected record, its body padded to ``body_size`` bytes if it is shorter.

        ``ValueError`` when ``plaintext`` is longer than ``record_limit``.
        """
        if len(plaintext) > self.record_limit:
            raise ValueError(f"{len(plaintext)} bytes where the server takes {self.record_limit} in one record")
        return self.write_keys.seal(content_type, plaintext, body_size)

    def open_record(self, record: bytes) -> tuple[int, bytes]:
        """Content type and content of one whole record with its header.

        Raises ``BadRecordError`` when it does not open: nothing has changed then, another key may be tried on it.
        """
        return self.read_keys.open(record)

    def receive_handshake(self, fragment: bytes) -> bytes:
        """Take the content of a record of type 22; gives bytes to write (often none).

        Raises ``UnexpectedMessageError`` for anything but NewSessionTicket and KeyUpdate.
        """
        answer = b""
        self._messages.feed(fragment)
        while (message := self._messages.next()) is not None:
            if message[0] == codes.NEW_SESSION_TICKET:
                self._on_ticket(message)
            elif message[0] == codes.KEY_UPDATE:
                answer += self._on_key_update(message)
            else:
                raise UnexpectedMessageError(f"a message of type {message[0]} after the handshake")
        return answer

    def alert(self, description: int) -> bytes:
        """A protected alert: ``close_notify`` (0) as a warning, everything else as fatal."""
        return self.write_keys.seal(codes.ALERT, bytes([2 if description else 1, description]))

    def _on_ticket(self, message: bytes) -> None:
        reader = message_body(message, codes.NEW_SESSION_TICKET)
        lifetime, age_add = reader.integer(4), reader.integer(4)
        nonce = reader.vector(1)
        identity = reader.vector(2, 1)
        extensions = dict(pull_extensions(reader.vector(2)))
        reader.finish()
        if lifetime == 0:  # "discard at once"
            return
        secret = self.suite.expand_label(self.resumption_secret, "resumption", nonce, self.suite.hash_length)
        lifetime, early = min(lifetime, _LIFETIME_LIMIT), codes.EARLY_DATA in extensions
        self.tickets.append(SessionTicket(lifetime, age_add, identity, secret, self.cipher_suite, early))
        del self.tickets[:-TICKET_LIMIT]

    def _on_key_update(self, message: bytes) -> bytes:
        reader = message_body(message, codes.KEY_UPDATE)
        requested = reader.integer(1)
        reader.finish()
        if requested > 1:
            raise IllegalParameterError("a KeyUpdate with an unknown request")
        if not self._messages.empty:
            raise UnexpectedMessageError("a KeyUpdate that does not end its record")
        self.read_keys = self.read_keys.updated()
        if not requested:
            return b""
        answer = self.write_keys.seal(codes.HANDSHAKE, handshake_message(codes.KEY_UPDATE, b"\0"))
        self.write_keys = self.write_keys.updated()
        return answer
