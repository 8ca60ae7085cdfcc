"""What can go wrong with the other side of a TLS connection; ``code`` is the alert to answer with (RFC 8446 §6).

Code 0 means: answer nothing.
"""

from qnet.wire.errors import RemoteError


class TlsError(RemoteError):
    """The server broke TLS 1.3."""

    code = 80


class DecodeError(TlsError):
    """A message is cut short, too long, or has a length that does not fit."""

    code = 50


class IllegalParameterError(TlsError):
    """A field has a value that the RFC forbids here."""

    code = 47


class UnexpectedMessageError(TlsError):
    """A record or message came where it has no place."""

    code = 10


class MissingExtensionError(TlsError):
    """A required extension is absent."""

    code = 109


class UnsupportedExtensionError(TlsError):
    """The server answers an extension that was not offered."""

    code = 110


class RecordOverflowError(TlsError):
    """A record is longer than the RFC permits."""

    code = 22


class BadRecordError(TlsError):
    """A protected record does not open under the current keys."""

    code = 20


class UnsupportedVersionError(TlsError):
    """The server chose TLS 1.2 or older."""

    code = 70


class UnsupportedGroupError(TlsError):
    """The server insists on a key-exchange group that is offered but not implemented here."""

    code = 40


class FinishedError(TlsError):
    """The server's Finished does not match the transcript: the handshake was tampered with."""

    code = 51


class CertificateSignatureError(TlsError):
    """The server does not hold the private key of its certificate, or signed something else."""

    code = 51


class CertificateError(TlsError):
    """The server's certificate is refused."""

    code = 42


class CertificateTypeError(CertificateError):
    """The certificate's public key is of a kind that browsers do not accept from a server."""

    code = 43


class CertificateExpiredError(CertificateError):
    """A certificate is not valid at this time."""

    code = 45


class CertificateNameError(CertificateError):
    """The certificate belongs to another name."""

    code = 46


class CertificateUntrustedError(CertificateError):
    """No chain leads from the certificate to a trusted root."""

    code = 48


class PeerAlertError(TlsError):
    """The server ended the handshake with an alert; ``description`` is its code."""

    code = 0

    def __init__(self, description: int) -> None:
        super().__init__(f"the server sent alert {description}")
        self.description = description
