"""The two families of failure, and the places a person is told about.

``RemoteError``: the other side broke the protocol; it carries the wire code to answer with.
``LocalError``: something on this machine prevents the work; it says what, and what to do.
"""

from enum import StrEnum


class Place(StrEnum):
    """Where on the way a failure happened: what the popup tells a person."""

    HOST = "host"
    LOCAL_NETWORK = "local network"
    MESH = "mesh"
    EXIT = "exit"
    DESTINATION = "destination"


class QNetError(Exception):
    """Base of every error that this package raises on purpose."""


class RemoteError(QNetError):
    """The other side broke the protocol.

    ``code`` is the wire code to answer with, in the numbering of the protocol that raised it
    (a TLS alert, a SOCKS reply, a stream reset); 0 where that protocol answers nothing.
    """

    code = 0

    def __init__(self, message: str = "", code: int | None = None) -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)
        if code is not None:
            self.code = code


class LocalError(QNetError):
    """Something on this machine prevents the work; ``message`` says what, ``hint`` what to do.

    ``code`` names the kind in status messages; ``exit_code`` is the process's when it ends by this error.
    """

    code = "local"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
