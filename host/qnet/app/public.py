"""A node that others reach: its cover in front of the decoy, what it does for them, and how it describes itself."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from qnet.app.directory import Api, listen_for_api, serve_api
from qnet.app.membership import Public
from qnet.app.modes import Capabilities, ModeError
from qnet.app.profile import load_profiles
from qnet.app.worker_messages import Setup
from qnet.app.workers import Workers, share
from qnet.keys import KeyFileError, KeyRing
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.client_link import Disguise
from qnet.roles.directory_door import DirectoryDoor
from qnet.roles.exit import Exit
from qnet.roles.peer import (
    DESCRIPTOR_SECONDS,
    LISTED_SECONDS,
    OPERATOR_SECONDS,
    PeerListener,
    PeerPlace,
    Presentation,
    describe,
)
from qnet.roles.prover import Prover
from qnet.roles.relay import Relay
from qnet.roles.replay_journal import ReplayJournal, boot_id
from qnet.roles.services import Services
from qnet.settings import Folders, Settings, replace_file, split_address
from qnet.wire.descriptor import DescriptorError
from qnet.wire.scratch import Scratch

RENEW_SECONDS = 12 * 3600.0
"""How often the descriptor that is given out by hand is issued anew, and at the latest after new cover keys."""

ROTATE_SECONDS = 3600.0
"""How often is looked whether cover keys are due."""

_log = logging.getLogger(__name__)


class PublicNode(NamedTuple):
    """What runs: its listener if it has one, the owner of its links, and what a membership needs of it."""

    server: asyncio.Server | None
    services: Services
    public: Public


async def serve_public(
    group: TaskGroup,
    settings: Settings,
    folders: Folders,
    can: Capabilities,
    disguise: Disguise,
    scratch: Scratch,
    exit: Exit | None,
    policy: ExitPolicy,
    api: Api,
) -> PublicNode:
    """Listen, and begin in ``group`` what goes with it; raises ``LocalError``. ``policy``: what this node dials."""
    ring = KeyRing(folders.data)
    place = peer_place(settings)
    door = DirectoryDoor(api) if can.runs_directory else None
    relay = Relay(policy, disguise, share(settings).reservations)
    services = Services(exit, relay, door)
    given = folders.data / "descriptor.qnet"
    shared = settings.workers > 1
    journal = ReplayJournal(folders.data, time.time(), fresh=not given.exists(), boot=boot_id(), shared=shared)
    listener = PeerListener(place, ring, disguise, load_profiles(), scratch, services, journal.cache, shared=shared)
    calibration = await listener.measure()
    server = await listener.listen(calibration)
    workers = Workers(
        settings.workers - 1,
        lambda: Setup(share(settings), journal.since, calibration.quiet_after, calibration.quiet_after_resumed),
        exit,
    )
    presentation = present(settings, can, place.decoy_name)

    def issue(now: float, seconds: int) -> bytes:
        return describe(ring.keys, presentation, now, seconds)

    lifetime = OPERATOR_SECONDS if can.runs_directory else DESCRIPTOR_SECONDS
    try:
        descriptor = issue(time.time(), lifetime)
    except DescriptorError as error:
        server.close()
        raise ModeError(f"this node cannot be described: {error}", "correct that setting") from None
    replace_file(given, descriptor)
    group.start_soon(journal.keep, workers.run)
    group.start_soon(_learn, listener, workers)
    group.start_soon(renew, folders, ring, lambda: issue(time.time(), lifetime), workers.keys_changed)
    if door is not None:
        group.start_soon(door.run)
        if settings.directory_http is not None:
            group.start_soon(serve_api, api, listen_for_api(settings.directory_http))
    own = ring.keys.identity.public_key().public_bytes_raw()
    prove = Prover(policy, disguise, scratch, own, relay.reservations.has).prove
    return PublicNode(server, services, Public(ring.keys, api, prove, lambda now: issue(now, LISTED_SECONDS)))


def peer_place(settings: Settings) -> PeerPlace:
    """Where ``settings`` put a node that listens."""
    assert settings.listen is not None and settings.decoy is not None  # noqa: S101 - capabilities() checked
    decoy_name, decoy_port = split_address(settings.decoy)
    decoy = split_address(settings.decoy_address) if settings.decoy_address else (decoy_name, decoy_port)
    return PeerPlace(split_address(settings.listen), decoy_name, decoy)


async def _learn(listener: PeerListener, workers: Workers) -> None:
    """How the decoy ends idle connections, for every process."""
    await listener.learn()
    if listener.parting is not None:
        workers.tell(idle_seconds=listener.parting.seconds, sizes=listener.parting.sizes)


def present(settings: Settings, can: Capabilities, decoy: str, via: bytes = b"") -> Presentation:
    """What the node says of itself. ``via``: the id of the relay through which alone it is reached."""
    played = {"entry": not via, "relay": True, "exit": can.exits, "bootstrap": can.runs_directory}
    return Presentation(
        address=settings.address or settings.listen or "",
        decoy=decoy,
        roles=tuple(role for role, plays in played.items() if plays),
        nickname=settings.nickname,
        country=settings.country,
        invite_only=settings.invite_only,
        via=via,
    )


async def renew(
    folders: Folders, ring: KeyRing, issue: Callable[[], bytes], rotated_keys: Callable[[], None] = lambda: None
) -> None:
    """While the node runs: rotate cover keys, and keep the file that ``qnet descriptor`` gives out from expiring.

    ``rotated_keys`` is called when they have been.
    """
    waited = 0.0
    while True:
        await anyio.sleep(ROTATE_SECONDS)
        waited += ROTATE_SECONDS
        try:
            rotated = await anyio.to_thread.run_sync(ring.refresh)
            if rotated:
                rotated_keys()
            if rotated or waited >= RENEW_SECONDS:
                replace_file(folders.data / "descriptor.qnet", issue())
                waited = 0.0
        except OSError as error:
            _log.warning("the descriptor cannot be issued anew (%s)", error.strerror)
        except KeyFileError:
            _log.warning("the cover keys cannot be rotated: the key file cannot be written")
