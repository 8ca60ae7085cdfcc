"""The TLS 1.3 client's handshake (RFC 8446 §2, appendix A.1).

Conversation:

1. → ClientHello, made from a template, its session_id filled in by the caller; its PSK binder is filled in here
2. ← HelloRetryRequest; → ChangeCipherSpec, second ClientHello (at most once)
3. ← ServerHello, ChangeCipherSpec
4. ← {EncryptedExtensions} {CertificateRequest}? {Certificate | CompressedCertificate} {CertificateVerify} {Finished},
   or, where the server resumes, {EncryptedExtensions} {Finished}, in any number of protected records; the last 16
   bytes of the first one may carry a mark (see below)
5. done: the result's ``flight`` is what the client writes next; bytes after the server's Finished are ``trailing``

The mark: with ``unmark``, the first protected record is tried with ``unmark(hello messages)`` xored onto its last
16 bytes; if it opens, the result is ``proven``. Then as it came; if that opens, the result is not proven.
"""

from collections.abc import Callable
from enum import Enum, auto
from hmac import compare_digest

from cryptography import x509

from qnet.wire.steps import Done, Entropy, Receive, Send
from qnet.wire.tls import answers, codes
from qnet.wire.tls.certificate import decompress_certificate, pull_certificate, verify_signature
from qnet.wire.tls.codec import MessageBuffer, handshake_message, vector
from qnet.wire.tls.errors import (
    BadRecordError,
    CertificateError,
    DecodeError,
    FinishedError,
    IllegalParameterError,
    PeerAlertError,
    RecordOverflowError,
    TlsError,
    UnexpectedMessageError,
)
from qnet.wire.tls.hello import ServerHello
from qnet.wire.tls.record import (
    CHANGE_CIPHER_SPEC_RECORD,
    HEADER,
    PLAINTEXT_LIMIT,
    TAG,
    RecordReader,
    TrafficKeys,
    plain_record,
)
from qnet.wire.tls.retry import retry_hello
from qnet.wire.tls.schedule import SUITES, KeySchedule, Suite
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.template import HelloDraft
from qnet.wire.tls.verify import Verifier

CHANGE_CIPHER_SPEC_LIMIT = 8
"""ChangeCipherSpec records that are ignored; an honest server sends one or two."""

CERTIFICATE_UNKNOWN = 46


class State(Enum):
    """Which message the client waits for."""

    SERVER_HELLO = auto()
    ENCRYPTED_EXTENSIONS = auto()
    CERTIFICATE_OR_REQUEST = auto()
    CERTIFICATE = auto()
    CERTIFICATE_VERIFY = auto()
    FINISHED = auto()
    DONE = auto()


class TlsClient:
    """A ``Handshake[TlsSession]``; see the module. Raises ``TlsError``, and nothing else for any input."""

    def __init__(
        self,
        draft: HelloDraft,
        verifier: Verifier,
        entropy: Entropy,
        unmark: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._hello = draft.hello
        self._offer = draft.offer
        self._resumed = False
        self._keys = draft.keys
        self._record_version = draft.record_version
        self._verifier = verifier
        self._entropy = entropy
        self._unmark = unmark
        self._records = RecordReader()
        self._messages = MessageBuffer()
        self._state = State.SERVER_HELLO
        self._outgoing = b""
        self._started = False
        self._retry: ServerHello | None = None
        self._spec_changes = 0
        self._transcript = bytearray()
        self._hellos = b""
        self._server_prefix = bytearray()
        self._first_protected = True
        self._proven = False
        self._read: TrafficKeys | None = None
        self._write: TrafficKeys | None = None
        self._certificate_requested = False
        self._session: TlsSession | None = None
        self._certificates: list[x509.Certificate] = []
        # Set by the ServerHello
        self._suite: Suite
        self._cipher_suite = 0
        self._schedule: KeySchedule
        self._group = 0
        self._server_secret = self._client_secret = b""
        self._parameters = answers.ServerParameters()

    def step(self, received: bytes) -> Send | Receive | Done[TlsSession]:
        """Take what arrived and say what to do next; raises ``TlsError``."""
        self._records.feed(received)
        if not self._started:
            self._started = True
            if self._offer is not None:
                self._hello = self._offer.bind(self._hello)
            message = self._hello.message()
            self._transcript += message
            self._hellos = message
            return Send(plain_record(codes.HANDSHAKE, message, self._record_version))
        while self._session is None:
            record = self._records.next()
            if record is None:
                return Receive()
            self._on_record(record)
            if self._outgoing:
                data, self._outgoing = self._outgoing, b""
                return Send(data)
        return Done(self._session, self._records.rest())

    def alert(self, error: TlsError) -> bytes:
        """What a browser writes when it gives up for ``error``; nothing when the server has given up itself.

        Measured: Chromium writes its ChangeCipherSpec first and calls every refused certificate "unknown"; Firefox
        writes the alert alone and says why.
        """
        if not error.code:
            return b""
        chromium = codes.is_grease(self._hello.extensions[0][0])
        code = CERTIFICATE_UNKNOWN if chromium and isinstance(error, CertificateError) else error.code
        body = bytes([2, code])
        if self._write is None:
            return plain_record(codes.ALERT, body)
        prefix = CHANGE_CIPHER_SPEC_RECORD if chromium and self._retry is None else b""
        return prefix + self._write.seal(codes.ALERT, body)

    # --- records

    def _on_record(self, record: bytes) -> None:
        kind, body = record[0], record[HEADER:]
        if self._read is None or self._first_protected:
            self._server_prefix += record
        if kind == codes.CHANGE_CIPHER_SPEC:
            self._on_change_cipher_spec(body)
            return
        if self._read is not None:
            if kind != codes.APPLICATION_DATA:
                raise UnexpectedMessageError(f"a plain record of type {kind} after the ServerHello")
            kind, body = self._open(self._read, record)
        elif len(body) > PLAINTEXT_LIMIT:
            raise RecordOverflowError(f"a plain record of {len(body)} bytes")
        if kind == codes.ALERT:
            if len(body) != 2:
                raise DecodeError("an alert that is not two bytes")
            raise PeerAlertError(body[1])
        if kind != codes.HANDSHAKE:
            raise UnexpectedMessageError(f"a record of type {kind} in the handshake")
        self._messages.feed(body)
        while (message := self._messages.next()) is not None:
            self._on_message(message)

    def _on_change_cipher_spec(self, body: bytes) -> None:
        self._spec_changes += 1
        if body != b"\x01" or self._spec_changes > CHANGE_CIPHER_SPEC_LIMIT or not self._messages.empty:
            raise UnexpectedMessageError("a ChangeCipherSpec that is not the harmless one")

    def _open(self, keys: TrafficKeys, record: bytes) -> tuple[int, bytes]:
        if not self._first_protected:
            return keys.open(record)
        self._first_protected = False
        if self._unmark is None or len(record) < HEADER + TAG:
            return keys.open(record)
        mark = self._unmark(self._hellos)
        unmarked = record[:-TAG] + bytes(a ^ b for a, b in zip(record[-TAG:], mark, strict=True))
        try:
            opened = keys.open(unmarked)
        except BadRecordError:
            return keys.open(record)
        self._proven = True
        self._server_prefix[-TAG:] = unmarked[-TAG:]
        return opened

    # --- messages

    def _on_message(self, message: bytes) -> None:
        kind = message[0]
        match self._state, kind:
            case State.SERVER_HELLO, codes.SERVER_HELLO:
                self._on_server_hello(message)
            case State.ENCRYPTED_EXTENSIONS, codes.ENCRYPTED_EXTENSIONS:
                self._parameters = answers.pull_encrypted_extensions(message, self._hello)
                self._advance(message, State.FINISHED if self._resumed else State.CERTIFICATE_OR_REQUEST)
            case State.CERTIFICATE_OR_REQUEST, codes.CERTIFICATE_REQUEST:
                answers.check_certificate_request(message)
                self._certificate_requested = True
                self._advance(message, State.CERTIFICATE)
            case State.CERTIFICATE_OR_REQUEST | State.CERTIFICATE, codes.CERTIFICATE | codes.COMPRESSED_CERTIFICATE:
                self._on_certificate(message)
            case State.CERTIFICATE_VERIFY, codes.CERTIFICATE_VERIFY:
                self._on_certificate_verify(message)
            case State.FINISHED, codes.FINISHED:
                self._on_finished(message)
            case _:
                raise UnexpectedMessageError(f"a message of type {kind} in state {self._state.name}")

    def _advance(self, message: bytes, state: State) -> None:
        self._transcript += message
        self._state = state

    def _on_server_hello(self, message: bytes) -> None:
        hello = ServerHello.parse(message)
        answers.check_server_hello(hello, self._hello, self._retry)
        if not self._messages.empty:
            raise UnexpectedMessageError("a ServerHello that does not end its record")
        self._cipher_suite = hello.cipher_suite
        self._suite = SUITES[hello.cipher_suite]
        if hello.is_hello_retry_request:
            self._on_hello_retry_request(message, hello)
            return
        share = hello.key_share
        if share is None or share[0] not in self._hello.key_shares() or codes.is_grease(share[0]):
            raise IllegalParameterError("a key share for a group that was not offered")
        self._group = share[0]
        self._hellos += message
        self._advance(message, State.ENCRYPTED_EXTENSIONS)
        self._resumed = answers.check_resumption(hello, self._offer)
        psk = self._offer.ticket.secret if self._offer is not None and self._resumed else b""
        self._schedule = KeySchedule(self._suite, psk)
        self._client_secret, self._server_secret = self._schedule.handshake(
            self._keys.agree(*share), self._transcript_hash()
        )
        self._read = TrafficKeys(self._suite, self._server_secret)
        self._write = TrafficKeys(self._suite, self._client_secret)

    def _on_hello_retry_request(self, message: bytes, request: ServerHello) -> None:
        self._hello = retry_hello(self._hello, request, self._keys, self._entropy)
        self._retry = request
        before = handshake_message(codes.MESSAGE_HASH, self._transcript_hash()) + message
        if self._offer is not None and self._offer.suite.hash_name != self._suite.hash_name:
            self._offer = None  # its key is of no use with the suite that the server has settled on
        if self._offer is not None:
            self._hello = self._offer.bind(self._hello, before)
        second = self._hello.message()
        self._transcript = bytearray(before + second)
        self._hellos += message + second
        self._outgoing = CHANGE_CIPHER_SPEC_RECORD + plain_record(codes.HANDSHAKE, second)

    def _on_certificate(self, message: bytes) -> None:
        offered = {kind for kind, _ in self._hello.extensions}
        if message[0] == codes.COMPRESSED_CERTIFICATE:
            body = decompress_certificate(message, self._hello.code_list(codes.COMPRESS_CERTIFICATE, 1))
        else:
            body = message[4:]
        self._certificates = [entry.load() for entry in pull_certificate(body, offered)]
        self._advance(message, State.CERTIFICATE_VERIFY)

    def _on_certificate_verify(self, message: bytes) -> None:
        offered = self._hello.code_list(codes.SIGNATURE_ALGORITHMS)
        verify_signature(message, self._certificates[0], self._transcript_hash(), offered)
        self._verifier(self._certificates, self._hello.server_name() or "")
        self._advance(message, State.FINISHED)

    def _on_finished(self, message: bytes) -> None:
        expected = self._suite.finished(self._server_secret, self._transcript_hash())
        if not compare_digest(message[4:], expected):
            raise FinishedError
        if not self._messages.empty:
            raise UnexpectedMessageError("a Finished that does not end its record")
        self._advance(message, State.DONE)
        client_secret, server_secret = self._schedule.application(self._transcript_hash())
        flight = self._flight()
        self._session = TlsSession(
            flight=flight,
            proven=self._proven,
            server_prefix=bytes(self._server_prefix),
            alpn=self._parameters.alpn,
            cipher_suite=self._cipher_suite,
            group=self._group,
            resumed=self._resumed,
            certificates=self._certificates,
            record_limit=self._parameters.record_limit,
            suite=self._suite,
            read_keys=TrafficKeys(self._suite, server_secret),
            write_keys=TrafficKeys(self._suite, client_secret),
            resumption_secret=self._schedule.resumption(self._transcript_hash()),
        )

    def _flight(self) -> bytes:
        """The client's last flight; leaves the transcript ending with the client's Finished."""
        assert self._write is not None  # noqa: S101 - set with the ServerHello; for the type checker
        before = answers.application_settings(self._parameters)
        if self._certificate_requested:
            before += handshake_message(codes.CERTIFICATE, b"\0" + vector(3, b""))
        self._transcript += before
        verify_data = self._suite.finished(self._client_secret, self._transcript_hash())
        finished = handshake_message(codes.FINISHED, verify_data)
        self._transcript += finished
        prefix = CHANGE_CIPHER_SPEC_RECORD if self._retry is None else b""
        return prefix + self._write.seal(codes.HANDSHAKE, before + finished)

    def _transcript_hash(self) -> bytes:
        return self._suite.hash(bytes(self._transcript))
