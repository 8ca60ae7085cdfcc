"""The helper: the roles that a mode asks for, assembled and run until somebody stops it."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from ipaddress import ip_address

import anyio

from qnet import __version__
from qnet.app.modes import Capabilities, ModeError, capabilities
from qnet.app.trust import load_roots
from qnet.browser.rules.keeper import RuleKeeper
from qnet.browser.rules.store import RuleStore
from qnet.keys import load_or_create
from qnet.mesh.exit_policy import Address, ExitPolicy, parse_allowance
from qnet.net.client_link import Disguise
from qnet.net.control import ControlServer
from qnet.net.listen import bind, serve
from qnet.roles.control import Control
from qnet.roles.exit import Exit
from qnet.roles.peer import PeerPlace, Presentation, describe, serve_peer
from qnet.roles.peer_book import PeerBook
from qnet.roles.proxy import Proxy
from qnet.roles.relay import Relay
from qnet.roles.services import Services
from qnet.roles.tunnel import Tunnel
from qnet.settings import Folders, Settings, replace_file, split_address
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.descriptor import DescriptorError
from qnet.wire.errors import LocalError
from qnet.wire.messages import Status, StatusEvent
from qnet.wire.scratch import Scratch
from qnet.wire.streams import Budget
from qnet.wire.tls.template import Template

LOOPBACK = "127.0.0.1"
STATUS_INTERVAL = 1.0
"""Seconds between status events while the numbers in them change."""

_log = logging.getLogger(__name__)

LEGAL_NOTICE = (
    "This node connects to the internet for other people. Its operator may be held responsible for what they do. "
    "Know the law where you are, keep the abuse address reachable, and stop with: qnet stop"
)


class Helper:
    """One helper process."""

    def __init__(
        self, settings: Settings, folders: Folders, *, connect: bool, ready: Callable[[], None] = lambda: None
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._connect = connect
        self._ready = ready
        self._scratch = Scratch(Budget(settings.window_budget << 20))
        self._stop = anyio.Event()
        self._started = time.time()
        self._tunnel: Tunnel | None = None
        self._rules: RuleKeeper | None = None
        self._proxy: Proxy | None = None
        self._exit: Exit | None = None
        self._services: Services | None = None
        self._servers: list[asyncio.Server] = []
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Serve until ``stop``, SIGINT or SIGTERM; raises ``LocalError`` when it cannot start."""
        can = capabilities(self._settings)
        disguise = load_disguise(self._settings)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._wait_for_signal)
                control = Control(self.status, self._stop.set, self._on_rules)
                server = ControlServer(self._folders.control, control)
                await group.start(server.serve)
                book = PeerBook(self._folders.data / "peers")
                tunnel = self._tunnel = Tunnel(
                    book.peers,
                    disguise,
                    self._scratch,
                    self._on_change,
                    hops=self._settings.hops,
                    guards=self._folders.data / "guards.json",
                )
                status_socket = bind(LOOPBACK, self._settings.status_port, what="the status", option="--status-port")
                if can.relays:
                    await self._serve_public(can, disguise)
                browsers = bind(LOOPBACK, 0, what="the browsers' proxy", option="--socks-port")
                port: int = browsers.getsockname()[1]
                rules = self._rules = RuleKeeper(RuleStore(self._folders.data / "rules"), port)
                if can.proxies:
                    self._proxy = Proxy(tunnel, rules.verdict)
                    await self._serve_programs(self._proxy, browsers)
                control.ready(tunnel, rules, port)
                group.start_soon(self._announce, server)
                if can.proxies:
                    group.start_soon(tunnel.run)
                    if self._connect:
                        tunnel.lease("command line")
                _log.info("ready as %s", self._settings.mode)
                self._ready()
                group.start_soon(_serve_status, self.status, status_socket)
                await self._stop.wait()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            # One role that cannot start is the reason for all; the others were only cancelled.
            local = errors.subgroup(LocalError)
            if local is None:
                raise
            while isinstance(local, BaseExceptionGroup):
                local = local.exceptions[0]  # type: ignore[assignment]
            raise local from None
        finally:
            for each in self._servers:
                each.close()
            if self._services is not None:
                self._services.close()

    def status(self) -> Status:
        """The present status."""
        assert self._tunnel is not None  # noqa: S101
        view = self._tunnel.view()
        return Status(
            state=view.state,
            mode=self._settings.mode,
            version=__version__,
            since=view.since,
            peers=view.peers,
            circuits=len(view.routes),
            streams=view.streams,
            leases=view.leases,
            hops=view.hops,
            routes=view.routes,
            warning=view.warning,
            traffic=view.traffic,
            reconnection_attempts=view.attempts,
            last_error=view.last_error,
            exit=self._exit.counts if self._exit else None,
            pac_hash=self._rules.pac.hash if self._rules else "",
            rules_generation=self._rules.generation if self._rules else 0,
        )

    async def _serve_programs(self, proxy: Proxy, browsers: socket.socket) -> None:
        """The proxy for programs, and one for browsers on a port of its own."""
        programs = bind(LOOPBACK, self._settings.socks_port, what="the proxy", option="--socks-port")
        self._servers.append(await serve(lambda: proxy.protocol(optimistic=False), programs))
        self._servers.append(await serve(lambda: proxy.protocol(optimistic=True), browsers))

    async def _serve_public(self, can: Capabilities, disguise: Disguise) -> None:
        settings = self._settings
        assert settings.listen is not None and settings.decoy is not None  # noqa: S101 - capabilities() checked
        keys = load_or_create(self._folders.data)
        decoy_name, decoy_port = split_address(settings.decoy)
        decoy = split_address(settings.decoy_address) if settings.decoy_address else (decoy_name, decoy_port)
        place = PeerPlace(split_address(settings.listen), decoy_name, decoy)
        if can.exits:
            self._exit = Exit(exit_policy(settings), settings.exit_max_connections)
        relay = Relay(relay_policy(settings), disguise)
        self._services = Services(self._exit, relay)
        self._servers.append(await serve_peer(place, keys, disguise, self._scratch, self._services))
        roles = ("entry", "relay", "exit") if can.exits else ("entry", "relay")
        presentation = Presentation(
            settings.address or settings.listen, decoy_name, roles, settings.nickname, settings.country
        )
        try:
            descriptor = describe(keys, presentation, time.time())
        except DescriptorError as error:
            raise ModeError(f"this node cannot be described: {error}", "correct that setting") from None
        replace_file(self._folders.data / "descriptor.qnet", descriptor)
        if can.exits:
            _log.warning(LEGAL_NOTICE)

    def _on_rules(self) -> None:
        if self._proxy is not None:
            self._proxy.rules_changed()
        self._on_change()

    def _on_change(self) -> None:
        self._changed.set()

    async def _announce(self, server: ControlServer) -> None:
        """Tell every session what changed: states at once, numbers once a second."""
        last: Status | None = None
        while True:
            with anyio.move_on_after(STATUS_INTERVAL):
                await self._changed.wait()
            self._changed = anyio.Event()
            status = self.status()
            if status != last:
                last = status
                server.broadcast(StatusEvent(status=status))

    async def _wait_for_signal(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                self._stop.set()


async def _serve_status(status: Callable[[], Status], bound: object) -> None:
    # Imported here: the proxy and the control socket are ready before the web framework is.
    from qnet.roles.status import StatusServer, status_app

    await StatusServer(status_app(status)).serve(sockets=[bound])  # type: ignore[list-item]


def load_disguise(settings: Settings) -> Disguise:
    """The bundled capture of a browser, and the roots that a decoy's certificate must come from."""
    name = settings.browser_template
    record = resources.files("qnet").joinpath("data", "templates", f"{name}.hello").read_bytes()
    return Disguise(Template.from_record(record, name), APPEARANCES[name], load_roots(settings.decoy_roots))


def exit_policy(settings: Settings) -> ExitPolicy:
    """The policy that ``settings`` describe; raises ``ModeError`` for what cannot be read."""
    try:
        allowances = tuple(parse_allowance(text) for text in settings.exit_allow)
        mapped = {split_address(name): split_address(address) for name, address in settings.exit_map.items()}
    except ValueError as error:
        raise ModeError(
            f"exit rule: {error}", "write --exit-allow CIDR:PORT, --exit-map NAME:PORT=ADDRESS:PORT"
        ) from None
    if allowances or mapped:
        _log.warning("this exit reaches addresses that exits must not reach: for test networks only")
    return ExitPolicy(
        ports=frozenset(settings.exit_allowed_ports),
        allowances=allowances,
        mapped=mapped,
        own=_public_addresses(settings),
        only=settings.exit_only,
    )


def relay_policy(settings: Settings) -> ExitPolicy:
    """What this node dials when a circuit goes on: public addresses at any port, and what ``relay_allow`` adds."""
    try:
        allowances = tuple(parse_allowance(text) for text in settings.relay_allow)
    except ValueError as error:
        raise ModeError(f"relay rule: {error}", "write --relay-allow CIDR:PORT, or CIDR:* for any port") from None
    return ExitPolicy(ports=range(1, 65536), allowances=allowances, own=_public_addresses(settings))


def _public_addresses(settings: Settings) -> frozenset[Address]:
    """Where the public reaches this node, as far as the settings say it in numbers."""
    found = set()
    for text in filter(None, (settings.listen, settings.address)):
        with suppress(ValueError):
            found.add(ip_address(split_address(text)[0]))
    return frozenset(found)
