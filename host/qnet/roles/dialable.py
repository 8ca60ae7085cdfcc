"""Where a node may dial a peer whose descriptor a stranger gave it."""

from qnet.mesh.exit_policy import ExitPolicy, carried, permitted
from qnet.net.client_link import places
from qnet.net.dial import DialError, own_among, resolve
from qnet.wire.descriptor import Descriptor
from qnet.wire.frames import Reset

MAX_PLACES = 4
"""Addresses of a peer that are tried."""


async def dialable(policy: ExitPolicy, peer: Descriptor) -> list[tuple[str, int]]:
    """The peer's addresses and ports that ``policy`` permits, in its own order, at least one; raises ``DialError``.

    Whoever hands in a descriptor could otherwise let this node knock anywhere.
    """
    allowed: list[tuple[str, int]] = []
    for host, port in places(peer):
        try:
            found = await resolve(host, port)
        except DialError:
            continue
        allowed += [(address, port) for address in permitted(policy, found, port, own_among(carried(found)))]
    if not allowed:
        raise DialError(Reset.POLICY)
    return allowed[:MAX_PLACES]
