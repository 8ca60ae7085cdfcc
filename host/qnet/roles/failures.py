"""What a person is told when a tunnel is not made, and by what it failed."""

from qnet.net.circuit import ExtendError
from qnet.net.client_link import UnreachablePeerError, UnusablePeerError, WrongClockError
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.errors import Place, RemoteError
from qnet.wire.messages import ErrorInfo
from qnet.wire.tls.errors import CertificateError

NO_PEERS = ErrorInfo(
    code="no-peers",
    message="No peer is known.",
    hint="Join a network: qnet join FILE",
    place=Place.HOST,
)
NO_EXIT_THERE = ErrorInfo(
    code="no-exit-there",
    message="No exit is known in the country chosen.",
    hint="Choose another country, or any.",
    place=Place.MESH,
)
TOO_FEW_PEERS = ErrorInfo(
    code="too-few-peers",
    message="Too few peers are known for a route of this length.",
    hint="Join more peers that stand in different networks, or choose fewer hops.",
    place=Place.HOST,
)
PATH_BIAS = ErrorInfo(
    code="path-bias",
    message="Unusually many routes through your first peer break off.",
    hint="It may be overloaded, or choosing which routes live. Joining further peers helps.",
    place=Place.MESH,
)
# What a person is told for each way an attempt can fail; the first that fits.
_EXPLANATIONS: tuple[tuple[type[RemoteError], ErrorInfo], ...] = (
    (
        UnreachablePeerError,
        ErrorInfo(
            code="peer-unreachable",
            message="The peer does not answer.",
            hint="Check that this computer is online. The peer may be down or blocked; another may work.",
            place=Place.LOCAL_NETWORK,
        ),
    ),
    (
        CertificateError,
        ErrorInfo(
            code="certificate",
            message="The cover site's certificate is not valid here.",
            hint="Somebody may be intercepting this network, or this computer's clock is wrong. Nothing was sent.",
            place=Place.LOCAL_NETWORK,
        ),
    ),
    (
        WrongClockError,
        ErrorInfo(
            code="wrong-clock",
            message="This computer's clock is wrong by more than a day.",
            hint="Set its date and time, then connect again.",
            place=Place.HOST,
        ),
    ),
    (
        UnprovenPeerError,
        ErrorInfo(
            code="peer-unproven",
            message="The peer did not recognise this computer.",
            hint="Check this computer's clock, or ask for a new invitation.",
            place=Place.MESH,
        ),
    ),
    (
        UnusablePeerError,
        ErrorInfo(
            code="peer-unusable",
            message="What is known of the peer is not usable.",
            hint="Ask for a new invitation.",
            place=Place.MESH,
        ),
    ),
    (
        ExtendError,
        ErrorInfo(
            code="route-failed",
            message="The route broke off behind the first peer.",
            hint="Another route is tried by itself.",
            place=Place.MESH,
        ),
    ),
    (
        RemoteError,
        ErrorInfo(
            code="peer-failed",
            message="The connection to the peer broke off.",
            hint="It is tried again by itself.",
            place=Place.MESH,
        ),
    ),
)


def explain(error: RemoteError) -> ErrorInfo:
    """What a person is told of ``error``."""
    return next(info for kind, info in _EXPLANATIONS if isinstance(error, kind))
