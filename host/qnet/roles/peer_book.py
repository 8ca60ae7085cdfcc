"""The peers that this node has joined: one signed descriptor a file in the data folder, 0600.

A descriptor is a capability, so the folder is as private as the keys. Unreadable or expired entries are passed over,
never deleted: they may be fetched again, or the clock may be wrong.
"""

from dataclasses import dataclass
from pathlib import Path

from qnet.settings import replace_file
from qnet.wire.descriptor import LIMIT, Descriptor, DescriptorExpiredError, verify
from qnet.wire.errors import LocalError, RemoteError

SUFFIX = ".qnet"
_MAX_PEERS = 4096


class JoinError(LocalError):
    """The file is not a usable descriptor."""

    code = "join"
    exit_code = 65


@dataclass(frozen=True, slots=True)
class PeerBook:
    """``folder`` need not exist yet."""

    folder: Path

    def peers(self, now: float) -> list[Descriptor]:
        """Every usable descriptor; ``now`` in unix seconds."""
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}"))[:_MAX_PEERS]:
            try:
                found.append(verify(_read(path), now))
            except (RemoteError, OSError):
                continue
        return found

    def join(self, source: Path, now: float) -> Descriptor:
        """Take the descriptor in ``source``; raises ``JoinError``."""
        try:
            data = _read(source)
        except OSError as error:
            raise JoinError(f"{source} cannot be read ({error.strerror})", "check the name") from None
        try:
            descriptor = verify(data, now)
        except DescriptorExpiredError:
            raise JoinError(f"{source} has expired", "ask for a new one, and check this computer's clock") from None
        except RemoteError as error:
            raise JoinError(f"{source} is not a QNet descriptor ({error})", "ask for it again") from None
        path = self.folder / f"{descriptor.peer_id.hex()[:32]}{SUFFIX}"
        if _issued(path, now) > descriptor.issued:
            raise JoinError(f"{source} is older than what is known of this peer", "nothing needs to be done")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, data)
        except OSError as error:
            raise JoinError(
                f"{self.folder} cannot be written ({error.strerror})", "check its owner and space"
            ) from None
        return descriptor


def _issued(path: Path, now: float) -> int:
    """When the descriptor in ``path`` was issued; 0 if there is none that can be used."""
    try:
        return verify(_read(path), now).issued
    except (RemoteError, OSError):
        return 0


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIMIT + 1)
