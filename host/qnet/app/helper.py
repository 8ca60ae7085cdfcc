"""The helper: the roles that a mode asks for, assembled and run until somebody stops it."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from ipaddress import ip_address
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from qnet import __version__
from qnet.app.exit_node import make_exit, serve_notice
from qnet.app.membership import Membership, Public
from qnet.app.modes import Capabilities, ModeError, capabilities
from qnet.app.profile import load_profile
from qnet.app.trust import load_roots, web_trust
from qnet.app.workers import share
from qnet.browser.rules.keeper import RuleKeeper
from qnet.browser.rules.store import RuleStore
from qnet.browser.rules.subscribed import SubscriptionStore
from qnet.mesh.exit_policy import Address, ExitPolicy, parse_allowance
from qnet.net.client_link import Disguise
from qnet.net.control import ControlServer
from qnet.net.failures import QuietTeller
from qnet.net.files import raise_file_limit
from qnet.net.listen import bind, serve
from qnet.roles.control import Control
from qnet.roles.discovery import Discovery
from qnet.roles.exit import Exit
from qnet.roles.log_ring import LogRing
from qnet.roles.peer_book import PeerBook
from qnet.roles.preferences import Preferences
from qnet.roles.proxy import Proxy
from qnet.roles.rates import RateMeter
from qnet.roles.subscriptions import Subscriptions
from qnet.roles.tunnel import Tunnel, TunnelView
from qnet.roles.wardrobe import Wardrobe
from qnet.settings import Folders, Settings, split_address
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.errors import LocalError
from qnet.wire.messages import State, Status, StatusEvent, Traffic
from qnet.wire.scratch import Scratch
from qnet.wire.streams import Budget
from qnet.wire.tls.template import Template

if TYPE_CHECKING:
    import httpx
    from starlette.types import ASGIApp

    from qnet.roles.hidden import Hidden
    from qnet.roles.services import Services

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
        self,
        settings: Settings,
        folders: Folders,
        *,
        connect: bool,
        ready: Callable[[], None] = lambda: None,
        ring: LogRing | None = None,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._connect = connect
        self._ready = ready
        self._scratch = Scratch(Budget(share(settings).window_budget << 20))
        self._stop = anyio.Event()
        self._started = time.time()
        self._serves_since = 0.0
        self._ring = ring
        self._meter = RateMeter()
        self._discovery: Discovery | None = None
        self._tunnel: Tunnel | None = None
        self._rules: RuleKeeper | None = None
        self._proxy: Proxy | None = None
        self._exit: Exit | None = None
        self._services: Services | None = None
        self._hidden: Hidden | None = None
        self._servers: list[asyncio.Server] = []
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Serve until ``stop``, SIGINT or SIGTERM; raises ``LocalError`` when it cannot start."""
        can = self._can = capabilities(self._settings)
        asyncio.get_running_loop().set_exception_handler(QuietTeller())
        disguise = load_disguise(self._settings)
        shaped = replace(disguise, profile=load_profile) if self._settings.shaping else disguise
        control = Control(self.status, self._stop.set, self._on_rules)
        server = ControlServer(self._folders.control, control)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._wait_for_signal)
                await group.start(server.serve)
                discovery = self._discovery = Discovery(PeerBook(self._folders.data / "peers"), self._on_change)
                tunnel = self._tunnel = Tunnel(
                    discovery.eligible_peers,
                    shaped,
                    self._scratch,
                    self._on_change,
                    hops=self._settings.hops,
                    guards=self._folders.data / "guards.json",
                    cover_rate=self._settings.cover_traffic * 1e6 / 3600,
                )
                tunnel.choose(self._settings.hops, self._settings.exit_country)
                membership = Membership(
                    self._settings, self._folders, can, shaped, self._scratch, discovery, self._in_use
                )
                status_socket = bind(LOOPBACK, self._settings.status_port, what="the status", option="--status-port")
                if can.relays:
                    membership.public = await self._serve_public(group, can, disguise, status_socket)
                if self._exit is not None:
                    group.start_soon(self._exit.run)
                    group.start_soon(serve_notice, self._settings)
                browsers = bind(LOOPBACK, 0, what="the browsers' proxy", option="--socks-port")
                port: int = browsers.getsockname()[1]
                rules = self._rules = RuleKeeper(RuleStore(self._folders.data / "rules"), port)
                if can.proxies:
                    self._proxy = Proxy(tunnel, rules.verdict)
                    await self._serve_programs(self._proxy, browsers)
                preferences = Preferences(self._folders, self._settings, discovery, tunnel)
                lists = Subscriptions(
                    SubscriptionStore(self._folders.data / "subscriptions"),
                    lambda sections: control.change(lambda: rules.follow(sections)),
                    lambda: self._web(tunnel),
                    lambda: tunnel.view().state is State.CONNECTED,
                )
                wardrobe = Wardrobe(self._folders.data, shaped, bundled_template)
                await group.start(lists.run)  # who is told that the helper runs counts on its lists
                control.ready(tunnel, rules, port, preferences, lists, wardrobe)
                group.start_soon(self._announce, server)
                group.start_soon(membership.run)
                if can.proxies:
                    group.start_soon(tunnel.run)
                    if self._connect:
                        tunnel.lease("command line")
                _log.info("ready as %s", self._settings.mode)
                self._ready()
                if can.proxies and self._settings.shaping:
                    # A tenth of a second, which the first link would wait for.
                    group.start_soon(anyio.to_thread.run_sync, load_profile, disguise.look.family)
                if not can.relays:
                    group.start_soon(self._serve_status, status_socket, None)
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
            server.hang_up()

    def status(self) -> Status:
        """The present status."""
        assert self._tunnel is not None  # noqa: S101
        view = self._tunnel.view()
        state, since = self._state(view)
        exits = self._exit.counts if self._exit else None
        carried = exits.traffic if exits else Traffic()
        passed = Traffic(up=view.traffic.up + carried.up, down=view.traffic.down + carried.down)
        return Status(
            state=state,
            mode=self._settings.mode,
            version=__version__,
            since=since,
            started=self._started,
            peers=view.peers,
            online=0 if view.resting else len(view.hops),
            circuits=0 if view.resting else len(view.routes),
            resting=view.resting,
            streams=view.streams,
            leases=view.leases,
            hops=view.hops,
            routes=view.routes,
            warning=view.warning,
            traffic=view.traffic,
            rates=self._meter.update(time.monotonic(), passed),
            reconnection_attempts=view.attempts,
            last_error=view.last_error,
            exit=exits,
            pac_hash=self._rules.pac.hash if self._rules else "",
            rules_generation=self._rules.generation if self._rules else 0,
        )

    def _state(self, view: TunnelView) -> tuple[State, float]:
        """The state, and since when. A node that only serves others has no tunnel to tell of."""
        if self._can.proxies:
            return view.state, view.since
        if self._hidden is not None:
            return State.CONNECTED if self._hidden.waiting else State.CONNECTING, self._hidden.since
        if self._serves_since:
            return State.CONNECTED, self._serves_since
        return State.CALIBRATING, self._started

    async def _serve_status(self, bound: object, api: "ASGIApp | None") -> None:
        # Imported here: the proxy and the control socket are ready before the web framework is.
        from qnet.roles.directory import no_directory
        from qnet.roles.status import StatusServer, status_app

        app = status_app(self.status, settings=self._settings, log=self._ring, api=api or no_directory())
        await StatusServer(app).serve(sockets=[bound])  # type: ignore[list-item]

    async def _serve_programs(self, proxy: Proxy, browsers: socket.socket) -> None:
        """The proxy for programs, and one for browsers on a port of its own."""
        programs = bind(LOOPBACK, self._settings.socks_port, what="the proxy", option="--socks-port")
        self._servers.append(await serve(lambda: proxy.protocol(is_browser=False), programs))
        self._servers.append(await serve(lambda: proxy.protocol(is_browser=True), browsers))

    async def _serve_public(
        self, group: TaskGroup, can: Capabilities, disguise: Disguise, status_socket: socket.socket
    ) -> Public:
        # Imported here: a client has no use for the web framework before its status page has.
        from qnet.app.directory import Api
        from qnet.app.hidden import serve_hidden
        from qnet.app.public import serve_public

        settings, api = self._settings, Api()
        raise_file_limit()
        # Before the decoy is measured: the page says that this is being done.
        group.start_soon(self._serve_status, status_socket, api)
        if can.exits:
            self._exit = make_exit(share(settings), exit_policy(settings), self._folders.data)
        policy = relay_policy(settings)
        if settings.via is not None:
            assert self._discovery is not None  # noqa: S101
            node, self._hidden = await serve_hidden(
                group,
                settings,
                self._folders,
                can,
                disguise,
                self._scratch,
                self._exit,
                policy,
                api,
                self._discovery,
                self._on_change,
            )
        else:
            node = await serve_public(
                group, settings, self._folders, can, disguise, self._scratch, self._exit, policy, api
            )
        if node.server is not None:
            self._servers.append(node.server)
        self._services = node.services
        self._serves_since = time.time()
        if can.exits:
            _log.warning(LEGAL_NOTICE)
        return node.public

    def _web(self, tunnel: Tunnel) -> "httpx.AsyncBaseTransport":
        """To sites that the helper itself asks."""
        # Imported here: only who subscribed to a list needs an HTTP client.
        from qnet.roles.tunnel_http import WebTransport

        return WebTransport(tunnel.open, web_trust(self._settings.decoy_roots))

    def _in_use(self) -> bool:
        """Whether somebody uses the tunnel, or wants to."""
        if self._tunnel is None:
            return False
        view = self._tunnel.view()
        return (view.state is not State.OFFLINE or view.leases > 0) and not view.resting

    def _on_rules(self) -> None:
        if self._proxy is not None:
            self._proxy.rules_changed()
        self._on_change()

    def _on_change(self) -> None:
        if self._discovery is not None and self._in_use():
            self._discovery.use()
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


def load_disguise(settings: Settings) -> Disguise:
    """The bundled capture of a browser, and the roots that a decoy's certificate must come from."""
    name = settings.browser_template
    return Disguise(bundled_template(name), APPEARANCES[name], load_roots(settings.decoy_roots))


def bundled_template(name: str) -> Template:
    """The capture of ``chromium`` or ``firefox`` that comes with QNet."""
    record = resources.files("qnet").joinpath("data", "templates", f"{name}.hello").read_bytes()
    return Template.from_record(record, name)


def exit_policy(settings: Settings) -> ExitPolicy:
    """The policy that ``settings`` describe; raises ``ModeError`` for what cannot be read."""
    try:
        allowances = tuple(parse_allowance(text) for text in settings.exit_allow)
        denied = tuple(parse_allowance(text) for text in settings.exit_deny)
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
        denied=denied,
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
