"""This node's private keys, in one file that only its owner can read.

Layout of ``node.keys``, 136 bytes::

    8 bytes   "qnetkey1"
    32 bytes  Ed25519 seed: identity, signs descriptors
    32 bytes  X25519: Noise static key
    32 bytes  X25519: cover key, recognises members in a ClientHello
    32 bytes  cover secret

One file, linked into place when complete: there is no moment at which half of the keys exist.
"""

import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.wire.errors import LocalError

FILE_NAME = "node.keys"
_MAGIC = b"qnetkey1"
_LENGTH = len(_MAGIC) + 4 * 32


class KeyFileError(LocalError):
    """The key file cannot be used."""

    code = "keys"
    exit_code = 77


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """Everything secret that makes this node itself; ``repr`` shows none of it."""

    identity: Ed25519PrivateKey = field(repr=False)
    noise: X25519PrivateKey = field(repr=False)
    cover: X25519PrivateKey = field(repr=False)
    cover_secret: bytes = field(repr=False)


def load_or_create(folder: Path) -> NodeKeys:
    """The keys in ``folder``, made on first use; raises ``KeyFileError``, never replaces a file that is there."""
    path = folder / FILE_NAME
    try:
        return _parse(_read(path))
    except FileNotFoundError:
        pass
    try:
        _create(path)
        return _parse(_read(path))
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made ({error.strerror})", "Check the folder's owner and space") from None


def _create(path: Path) -> None:
    """Write new keys beside ``path`` and link them there; whoever links first wins."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=FILE_NAME + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + os.urandom(4 * 32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    """The file's content; raises ``FileNotFoundError`` where there is none, else ``KeyFileError``."""
    try:
        # O_NONBLOCK: a pipe in the file's place must not hang us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_private(path, os.fstat(handle))
            return os.read(handle, _LENGTH + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read ({error.strerror})", "Check that it is your own file") from None


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is not a file", "Move it away; new keys are made")
    if found.st_uid != os.geteuid():
        raise KeyFileError(f"{path} belongs to another user", f"Run: chown {os.geteuid()} {path}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyFileError(f"others can read {path}", f"Run: chmod 600 {path}")


def _parse(content: bytes) -> NodeKeys:
    if len(content) != _LENGTH or not content.startswith(_MAGIC):
        raise KeyFileError(
            f"{FILE_NAME} is damaged", "Restore it from a backup, or move it away; new keys make a new node"
        )
    identity, noise, cover, secret = (content[at : at + 32] for at in range(len(_MAGIC), _LENGTH, 32))
    return NodeKeys(
        Ed25519PrivateKey.from_private_bytes(identity),
        X25519PrivateKey.from_private_bytes(noise),
        X25519PrivateKey.from_private_bytes(cover),
        secret,
    )
