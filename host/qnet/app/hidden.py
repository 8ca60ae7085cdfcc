"""A node that nobody can dial: what it does for others, the connections it keeps for that, how it describes itself."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio.to_thread
from anyio.abc import TaskGroup

from qnet.app.directory import Api
from qnet.app.membership import Public
from qnet.app.modes import Capabilities, ModeError
from qnet.app.public import PublicNode, present, renew
from qnet.keys import KeyRing
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.client_link import Disguise
from qnet.roles.discovery import Discovery
from qnet.roles.exit import Exit
from qnet.roles.hidden import Hidden
from qnet.roles.peer import DESCRIPTOR_SECONDS, LISTED_SECONDS, describe
from qnet.roles.prover import Prover
from qnet.roles.relay import Relay
from qnet.roles.services import Services
from qnet.settings import Folders, Settings, replace_file
from qnet.wire.descriptor import LIMIT, Descriptor, DescriptorError, verify
from qnet.wire.errors import RemoteError
from qnet.wire.scratch import Scratch


async def serve_hidden(
    group: TaskGroup,
    settings: Settings,
    folders: Folders,
    can: Capabilities,
    disguise: Disguise,
    scratch: Scratch,
    exit: Exit | None,
    policy: ExitPolicy,
    api: Api,
    discovery: Discovery,
    changed: Callable[[], None],
) -> tuple[PublicNode, Hidden]:
    """Begin in ``group`` to be reached through ``settings.via``; raises ``LocalError``. It listens nowhere."""
    assert settings.via is not None  # noqa: S101 - the caller's condition
    public = read_public(Path(settings.via))
    ring = KeyRing(folders.data)
    keys = ring.keys
    services = Services(exit, Relay(policy, disguise, 0))
    find = partial(_newest, Path(settings.via), public, discovery)
    hidden = Hidden(keys, find, disguise, scratch, services, changed)
    presentation = present(settings, can, "", public.peer_id)

    def issue(now: float, seconds: int) -> bytes:
        return describe(ring.keys, presentation, now, seconds)

    try:
        descriptor = issue(time.time(), DESCRIPTOR_SECONDS)
    except DescriptorError as error:
        raise ModeError(f"this node cannot be described: {error}", "correct that setting") from None
    replace_file(folders.data / "descriptor.qnet", descriptor)
    group.start_soon(renew, folders, ring, lambda: issue(time.time(), DESCRIPTOR_SECONDS))
    group.start_soon(hidden.run)
    prove = Prover(policy, disguise, scratch, keys.identity.public_key().public_bytes_raw()).prove
    membership = Public(keys, api, prove, lambda now: issue(now, LISTED_SECONDS))
    return PublicNode(None, services, membership), hidden


def read_public(path: Path) -> Descriptor:
    """The public relay in the descriptor file ``path``; raises ``ModeError``."""
    try:
        with path.open("rb") as file:
            found = verify(file.read(LIMIT + 1), time.time())
    except OSError as error:
        raise ModeError(f"--via: {path} cannot be read ({error.strerror})", "check the name") from None
    except RemoteError as error:
        raise ModeError(f"--via: {path} is no usable descriptor ({error})", "ask that relay for a new one") from None
    if found.via or "relay" not in found.roles:
        raise ModeError("--via: that node is no relay that can be dialled", "choose another")
    return found


async def _newest(path: Path, first: Descriptor, discovery: Discovery) -> Descriptor:
    """The public relay's newest descriptor: the file may be replaced, and directories may list it."""
    return await anyio.to_thread.run_sync(_look, path, first, discovery)


def _look(path: Path, first: Descriptor, discovery: Discovery) -> Descriptor:
    found = [first, *(each for each in discovery.peers(time.time()) if each.peer_id == first.peer_id)]
    try:
        again = read_public(path)
    except ModeError:
        again = first  # it was good when the node started; its addresses may still be
    if again.peer_id == first.peer_id:
        found.append(again)
    return max(found, key=lambda each: each.issued)
