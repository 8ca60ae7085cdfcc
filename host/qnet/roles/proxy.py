"""The local proxy: programs on this computer to streams of the tunnel."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast
from weakref import WeakKeyDictionary

from qnet.browser.rules.ruleset import RuleSet, Verdict
from qnet.net.handshake import HandshakeProtocol
from qnet.net.stream import StreamSocket
from qnet.roles.tunnel import NoTunnelError, Tunnel
from qnet.wire.frames import Reset
from qnet.wire.messages import RuleAction
from qnet.wire.proxy import FailureReason, ProxyError, ProxyHandshake, ProxyRequest, failure, success
from qnet.wire.steps import Done

HANDSHAKE_SECONDS = 30.0
OPEN_SECONDS = 30.0
MAX_CONNECTIONS = 4096
TLS_PORT = 443

_ANYWHERE = RuleSet().verdict
"""Without rules everything goes through the tunnel."""

_log = logging.getLogger(__name__)
_REASONS = {
    Reset.REFUSED: FailureReason.REFUSED,
    Reset.UNREACHABLE: FailureReason.UNREACHABLE,
    Reset.NAME_NOT_FOUND: FailureReason.NAME_NOT_FOUND,
    Reset.TIMEOUT: FailureReason.TIMEOUT,
    Reset.POLICY: FailureReason.POLICY,
    Reset.LIMIT: FailureReason.LIMIT,
    Reset.LINK_LOST: FailureReason.NO_TUNNEL,
}


class Proxy:
    """Answers on any number of ports. On a browser's port a TLS destination is confirmed before the exit has it.

    ``verdict`` is asked for each destination. What a rule blocks is refused, and so is what wants another tunnel than
    there is. Going out directly is for the browser to do: whatever comes here goes through the tunnel or nowhere.
    """

    def __init__(self, tunnel: Tunnel, verdict: Callable[[str, int], Verdict] = _ANYWHERE) -> None:
        self._tunnel = tunnel
        self._verdict = verdict
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes = 0
        self._carried: WeakKeyDictionary[asyncio.Transport, tuple[ProxyRequest, StreamSocket]] = WeakKeyDictionary()

    def protocol(self, *, is_browser: bool) -> asyncio.BaseProtocol:
        """The protocol of a new connection.

        ``is_browser``: it sends its TLS hello with the request, which saves a round trip of the whole way; if the exit
        cannot connect, it sees the connection end instead of a proxy's refusal. What it leaves open ends when a person
        disconnects; a program's connections stay.
        """
        return _Connection(self, is_browser)

    def accept(self, connection: "_Connection") -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            connection.result.cancel()
            connection.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: "_Connection") -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                done = await connection.result
        except TimeoutError:
            connection.abort()
        except ProxyError as error:
            connection.refuse(error.answer)
        except Exception:
            connection.abort()
        else:
            await self._open(connection, done)

    async def _open(self, connection: "_Connection", done: Done[ProxyRequest]) -> None:
        request, asked = done.result, self._changes
        verdict = self._verdict(request.host, request.port)
        if verdict.action is RuleAction.BLOCK:
            connection.refuse(failure(request, FailureReason.BLOCKED))
            return
        try:
            stream = await self._tunnel.open(
                request.host,
                request.port,
                country=verdict.country,
                hops=verdict.hops or None,
                lasting=not connection.is_browser,
            )
        except NoTunnelError as error:
            connection.refuse(failure(request, FailureReason.NO_ROUTE if error.unmet else FailureReason.NO_TUNNEL))
            return
        if connection.is_browser and request.port == TLS_PORT and request.kind != "http":
            stream.send_first(done.trailing)
            self._carry(connection, stream, request, asked)
            return
        trailing = done.trailing
        if request.body is not None:
            # A program may send its next request on the same connection; it could be for another site.
            trailing = trailing[: request.body]
            stream.limit_input(request.body - len(trailing))
        stream.send_first(request.first + trailing)
        reason = await self._outcome(stream)
        if reason is None:
            self._carry(connection, stream, request, asked)
        else:
            connection.refuse(failure(request, _REASONS.get(reason, FailureReason.INTERNAL)))

    def _refusal(self, request: ProxyRequest, stream: StreamSocket) -> FailureReason | None:
        """Why ``request`` may not go on ``stream``, which it has."""
        verdict = self._verdict(request.host, request.port)
        if verdict.action is RuleAction.BLOCK:
            return FailureReason.BLOCKED
        if not verdict.is_particular:
            return None
        return None if self._tunnel.meets(stream, verdict.country, verdict.hops) else FailureReason.NO_ROUTE

    def _carry(self, connection: "_Connection", stream: StreamSocket, request: ProxyRequest, asked: int) -> None:
        """Connect program and stream, unless the rules have come to refuse it since they were ``asked``."""
        if asked != self._changes and (refused := self._refusal(request, stream)):
            stream.give_up(Reset.CLOSED)
            connection.refuse(failure(request, refused))
            return
        if connection.transport is not None:
            self._carried[connection.transport] = (request, stream)
        connection.hand_over(stream, success(request))

    def rules_changed(self) -> None:
        """End what the rules no longer let through: a browser asks for many pages on a connection that it has."""
        self._changes += 1
        for transport, (request, stream) in list(self._carried.items()):
            if not transport.is_closing() and self._refusal(request, stream):
                transport.abort()

    async def _outcome(self, stream: StreamSocket) -> Reset | None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await stream.opened
        except TimeoutError:
            stream.give_up(Reset.TIMEOUT)
            return Reset.TIMEOUT


def unmet(verdict: Verdict, tunnel: Tunnel) -> bool:
    """Whether the rule wants a route that the known peers do not make."""
    return verdict.is_particular and not tunnel.offers(verdict.country, verdict.hops)


class _Connection(HandshakeProtocol[ProxyRequest]):
    def __init__(self, proxy: Proxy, is_browser: bool) -> None:
        super().__init__(lambda _: ProxyHandshake())
        self._proxy = proxy
        self.is_browser = is_browser

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._proxy.accept(self)
        super().connection_made(transport)

    def hand_over(self, stream: StreamSocket, answer: bytes) -> None:
        """From here on the socket belongs to the stream."""
        transport = self.transport
        assert transport is not None  # noqa: S101
        if transport.is_closing():
            stream.give_up(Reset.CLOSED)
            return
        transport.write(answer)
        transport.set_protocol(stream)
        stream.connection_made(transport)

    def refuse(self, answer: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
