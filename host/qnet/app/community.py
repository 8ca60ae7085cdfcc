"""What a person does about networks: found, invite, join, endorse, accept. Each works on files; no helper need run.

A helper that runs notices by itself: a network within a second, an endorsement with its next heartbeat.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qnet.keys import load_or_create
from qnet.roles.networks import ENDORSEMENTS, NetworkError, Networks, Proposal, endorse
from qnet.roles.peer_book import PeerBook
from qnet.settings import Folders, replace_file
from qnet.wire import descriptor as descriptors
from qnet.wire import endorsement as endorsements
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.network_file import LIMIT, SCHEME, NetworkFile, Operator


class EndorsementFileError(LocalError):
    """The endorsement cannot be used or written."""

    code = "endorsement"
    exit_code = 65


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """An operator as named on the command line: the file of its descriptor, and its directory's URL or ""."""

    path: Path
    url: str = ""


def found_network(folders: Folders, name: str, operators: Sequence[OperatorFile], *, open_to_all: bool) -> NetworkFile:
    """Found a network, or issue ours anew, and join it; raises ``NetworkError``."""
    given = [Operator(_descriptor(each.path), each.url) for each in operators]
    return Networks(folders.data).init(name, given, time.time(), open_to_all=open_to_all)


def invite(folders: Folders, peers: Sequence[Path]) -> str:
    """The link to the network joined, with invite-only ``peers``; raises ``NetworkError``."""
    return Networks(folders.data).invite(time.time(), [_descriptor(path) for path in peers])


def look_at(folders: Folders, source: str) -> Proposal | None:
    """What joining the network in ``source``, a link or a file, would mean; none if that is a single descriptor.

    Raises ``NetworkError``.
    """
    if not source.strip().startswith(SCHEME):
        data = _read(Path(source))
        if _is_descriptor(data):
            return None
        if data.lstrip().startswith(SCHEME.encode()):  # a link that somebody saved
            source = data.decode("ascii", "replace")
    return Networks(folders.data).examine(source, time.time())


def join_network(folders: Folders, proposal: Proposal, *, replace: bool) -> None:
    """Join after the person has agreed; raises ``NetworkError``."""
    Networks(folders.data).accept(proposal, time.time(), replace=replace)


def join_peer(folders: Folders, source: Path) -> Descriptor:
    """Take a single peer's descriptor; raises ``JoinError``."""
    return PeerBook(folders.data / "peers").join(source, time.time())


def endorse_peer(folders: Folders, source: Path, target: Path) -> Descriptor:
    """Write this node's endorsement of the peer in ``source`` to ``target``.

    Raises ``NetworkError`` or ``EndorsementFileError``.
    """
    data = _descriptor(source)
    word = endorse(load_or_create(folders.data).identity, data, time.time())
    _write(target, word)
    return descriptors.verify(data, time.time())


def accept_endorsement(folders: Folders, source: Path) -> None:
    """Keep an endorsement of this node, to show it to directories; raises ``EndorsementFileError``."""
    own = descriptors.peer_id(load_or_create(folders.data).identity.public_key().public_bytes_raw())
    try:
        word = endorsements.verify(_read(source), time.time())
    except RemoteError as error:
        raise EndorsementFileError(f"{source} is no usable endorsement ({error})", "ask the operator again") from None
    if word.peer_id != own:
        raise EndorsementFileError(f"{source} endorses another node", "accept it there")
    folder = folders.data / ENDORSEMENTS
    # One file for each operator: a later word takes the place of an earlier one.
    _write(folder / word.endorser.hex(), word.signed)


def _is_descriptor(data: bytes) -> bool:
    try:
        descriptors.identity_of(data)
    except RemoteError:
        return False
    return True


def _descriptor(path: Path) -> bytes:
    data = _read(path)
    if not _is_descriptor(data):
        raise NetworkError(f"{path} is not a QNet descriptor", "make one on that node: qnet descriptor FILE")
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2 * LIMIT)
    except OSError as error:
        raise NetworkError(f"{path} cannot be read ({error.strerror})", "check the name") from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise EndorsementFileError(f"{path} cannot be written ({error.strerror})", "choose another place") from None
