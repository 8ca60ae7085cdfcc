"""What a person changes while the helper runs: how long the usual route is, where it ends, which network it is of."""

import time
from collections import Counter
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from qnet.roles.discovery import Discovery
from qnet.roles.networks import Networks
from qnet.roles.tunnel import Tunnel
from qnet.settings import Folders, Settings, overlay, read_settings, save_settings
from qnet.wire.errors import LocalError
from qnet.wire.messages import (
    ChangeSettings,
    ExamineNetwork,
    ExitCountry,
    ExitTerms,
    InvitationInfo,
    JoinNetwork,
    NetworkInfo,
    ProposalInfo,
    SettingsInfo,
)
from qnet.wire.network_file import LIMIT, SCHEME, NetworkFile, fingerprint


class LinkError(LocalError):
    """The text is no invitation link, or another one than was shown."""

    code = "link"
    exit_code = 65


class Preferences:
    """``settings``: what the helper started with; changes go to the file, whose other content is kept."""

    def __init__(self, folders: Folders, settings: Settings, discovery: Discovery, tunnel: Tunnel) -> None:
        self._folders = folders
        self._settings = settings
        self._discovery = discovery
        self._tunnel = tunnel
        self._networks = Networks(folders.data)
        self._changing = anyio.Lock()

    async def info(self) -> SettingsInfo:
        """What is in force, and what is known to choose from; raises ``NetworkError``."""
        return await anyio.to_thread.run_sync(self._info)

    async def change(self, request: ChangeSettings) -> SettingsInfo:
        """Raises ``SettingsError`` for what cannot be, or cannot be saved; then nothing has changed."""
        given = {"hops": request.hops, "exit_country": request.exit_country}
        changes = {name: value for name, value in given.items() if value is not None}
        async with self._changing:
            changed = overlay(self._settings, changes, "the new settings")
            await anyio.to_thread.run_sync(self._save, changes)
            self._settings = changed
            self._tunnel.choose(changed.hops, changed.exit_country)
        return await self.info()

    async def examine(self, request: ExamineNetwork) -> ProposalInfo:
        """Raises ``LinkError`` or ``NetworkError``."""
        _check(request.link)
        found = await anyio.to_thread.run_sync(self._networks.examine, request.link, time.time())
        return ProposalInfo(network=_network_info(found.network), relation=found.relation)

    async def join(self, request: JoinNetwork) -> SettingsInfo:
        """Raises ``LinkError`` or ``NetworkError``. A running membership notices by itself."""
        _check(request.link)
        await anyio.to_thread.run_sync(self._join, request)
        return await self.info()

    async def invite(self) -> InvitationInfo:
        """The link to the network joined; raises ``NetworkError`` where there is none."""
        return await anyio.to_thread.run_sync(self._invite)

    def _info(self) -> SettingsInfo:
        now = time.time()
        peers = self._discovery.peers(now)
        network = self._networks.current(now)
        exits = Counter(peer.country for peer in peers if "exit" in peer.roles and peer.country)
        return SettingsInfo(
            hops=self._settings.hops,
            exit_country=self._settings.exit_country,
            peers=len(peers),
            countries=[ExitCountry(country=country, exits=count) for country, count in sorted(exits.items())],
            network=None if network is None else _network_info(network),
            terms=_terms(self._settings) if self._settings.mode in ("exit", "super") else None,
        )

    def _invite(self) -> InvitationInfo:
        # Imported here: few ever invite.
        import segno

        link = self._networks.invite(time.time())
        try:
            code = segno.make_qr(link, error="l")
        except segno.DataOverflowError:
            return InvitationInfo(link=link, qr=[])
        return InvitationInfo(link=link, qr=["".join("1" if dark else "0" for dark in row) for row in code.matrix])

    def _save(self, changes: dict[str, Any]) -> None:
        save_settings(self._folders, msgspec.structs.replace(read_settings(self._folders.settings), **changes))

    def _join(self, request: JoinNetwork) -> None:
        found = self._networks.examine(request.link, time.time())
        if found.fingerprint != request.fingerprint:
            raise LinkError("this is another network than the one that was shown", "look at the link again")
        self._networks.accept(found, time.time(), replace=request.replace)


def _terms(settings: Settings) -> ExitTerms:
    return ExitTerms(
        ports=list(settings.exit_allowed_ports),
        only=settings.exit_only,
        connections=settings.exit_max_connections,
        per_client=settings.exit_connects_per_client,
        gigabytes=settings.exit_monthly_gigabytes,
    )


def _check(link: str) -> None:
    """Whoever speaks for a browser names links, never files."""
    if not link.strip().startswith(SCHEME) or len(link) > 2 * LIMIT:
        raise LinkError("this is no invitation link", f"it begins with {SCHEME}; copy it whole")


def _network_info(network: NetworkFile) -> NetworkInfo:
    return NetworkInfo(name=network.name, fingerprint=fingerprint(network.founder), operators=len(network.operators))
