"""This node's private keys, in one file that only its owner can read.

Layout of ``node.keys``::

    8 bytes   "qnetkey2"
    32 bytes  Ed25519 seed: identity, signs descriptors
    32 bytes  X25519: Noise static key
    32 bytes  cover secret
    n times   cover keys, which recognise members in a ClientHello: period(4) until(8) seed(32)

One file, put into place when complete: there is no moment at which half of the keys exist. A file of the first layout
("qnetkey1", with one cover key between the Noise key and the secret) is read, too.

Cover keys come and go: who seizes a node shall not be able to tell from recordings who used it. There is one for each
week, which descriptors of up to a week name, and one for each quarter of 13 weeks, for those of operators, which stand
in network files for 90 days. This week's and the next, this quarter's and the next exist, so that a descriptor names
keys for all of its life. A day after its end a private half is overwritten and gone. Each follows from the seed of the
one before it by a hash, so nodes that have copies of one file keep in step, and nobody can go back.
"""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from qnet.wire.errors import LocalError

FILE_NAME = "node.keys"
WEEK = 7 * 86400
QUARTER = 13 * WEEK
OVERLAP = 86400
"""Seconds for which a cover key is still good after its end: clocks differ, and connections take their time."""

_MAGIC, _FIRST_MAGIC = b"qnetkey2", b"qnetkey1"
_HEAD = len(_MAGIC) + 3 * 32
_ENTRY = 4 + 8 + 32
_MAX_ENTRIES = 16
_LIMIT = _HEAD + _MAX_ENTRIES * _ENTRY


class KeyFileError(LocalError):
    """The key file cannot be used."""

    code = "keys"
    exit_code = 77


@dataclass(frozen=True, slots=True)
class CoverKey:
    """A private cover key. ``until``: when its time ends, unix seconds; ``period``: for how long it is the one, or 0
    for one that none follows, whose seed is the key itself.
    """

    period: int
    until: int
    seed: bytes = field(repr=False)
    private: X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = self._derive(b"key") if self.period else self.seed
        object.__setattr__(self, "private", X25519PrivateKey.from_private_bytes(key))

    @property
    def public(self) -> bytes:
        """C, 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    def next(self) -> "CoverKey":
        """The one that follows."""
        return CoverKey(self.period, self.until + self.period, self._derive(b"next"))

    def _derive(self, what: bytes) -> bytes:
        return HKDFExpand(SHA256(), 32, b"qnet cover " + what).derive(self.seed)


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """Everything secret that makes this node itself; ``repr`` shows none. ``covers``: the soonest to end first."""

    identity: Ed25519PrivateKey = field(repr=False)
    noise: X25519PrivateKey = field(repr=False)
    cover_secret: bytes = field(repr=False)
    covers: tuple[CoverKey, ...] = field(repr=False)

    @property
    def cover_privates(self) -> tuple[X25519PrivateKey, ...]:
        """Every key by which somebody may be recognised now."""
        return tuple(each.private for each in self.covers)

    def chain(self, now: float, end: float) -> Iterator[tuple[int, bytes]]:
        """Which cover key is to be used from when on, from ``now`` to ``end``: (unix seconds, C)."""
        at = now
        for each in self.covers:
            if each.until > at:
                yield int(at), each.public
                at = each.until
                if at >= end:
                    return

    def rotated(self, now: float) -> "NodeKeys":
        """The same with the cover keys of this time: what has ended a day ago is gone, what is due is new."""
        covers = list(self.covers)
        for period in (WEEK, QUARTER):
            due = _next(now, period)
            last = max((each for each in covers if each.period == period), key=_until, default=None)
            if last is None:
                last = CoverKey(period, due, os.urandom(32))
                covers.append(last)
            while last.until < due + period:
                last = last.next()
                covers.append(last)
        return replace(self, covers=tuple(sorted((each for each in covers if now < each.until + OVERLAP), key=_until)))


def _until(key: CoverKey) -> int:
    return key.until


def _next(now: float, period: int) -> int:
    return (int(now) // period + 1) * period


class KeyRing:
    """A running node's keys, kept in time; raises ``KeyFileError``. ``clock``: unix seconds."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE_NAME
        self._clock = clock
        self.keys = load_or_create(folder, clock)
        self.refresh()

    def reload(self) -> None:
        """Take what another process of this node has rotated; raises ``KeyFileError``."""
        self.keys = load_or_create(self._path.parent, self._clock)

    def refresh(self) -> bool:
        """Rotate what is due, in the file first; whether anything was. Raises ``KeyFileError``."""
        rotated = self.keys.rotated(self._clock())
        if rotated.covers == self.keys.covers:
            return False
        try:
            _replace(self._path, _encode(rotated))
        except OSError as error:
            raise KeyFileError(
                f"{self._path} cannot be written ({error.strerror})", "Check the folder's owner and space"
            ) from None
        self.keys = rotated
        return True


def load_or_create(folder: Path, clock: Callable[[], float] = time.time) -> NodeKeys:
    """The keys in ``folder``, made on first use; raises ``KeyFileError``, never replaces a file that is there."""
    path = folder / FILE_NAME
    try:
        return _parse(_read(path), clock())
    except FileNotFoundError:
        pass
    try:
        _create(path, _encode(_generate(clock())))
        return _parse(_read(path), clock())
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made ({error.strerror})", "Check the folder's owner and space") from None


def _generate(now: float) -> NodeKeys:
    return NodeKeys(Ed25519PrivateKey.generate(), X25519PrivateKey.generate(), os.urandom(32), ()).rotated(now)


def _create(path: Path, content: bytes) -> None:
    """Write new keys beside ``path`` and link them there; whoever links first wins."""
    name = _write(path, content)
    try:
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    _sync(path.parent)


def _replace(path: Path, content: bytes) -> None:
    """Put ``content`` in the place of the file at ``path``, whose own bytes are overwritten.

    What the file system or the disk has copied elsewhere is beyond our reach.
    """
    name = _write(path, content)
    try:
        before = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            Path(name).replace(path)
            _sync(path.parent)
            os.pwrite(before, bytes(os.fstat(before).st_size), 0)
            os.fsync(before)
        finally:
            os.close(before)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> str:
    """A new file beside ``path`` with ``content``; gives its name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=FILE_NAME + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink()
        raise
    return name


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    """The file's content; raises ``FileNotFoundError`` where there is none, else ``KeyFileError``."""
    try:
        # O_NONBLOCK: a pipe in the file's place must not hang us.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_private(path, os.fstat(handle))
            return os.read(handle, _LIMIT + 1)
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


def _encode(keys: NodeKeys) -> bytes:
    covers = b"".join(
        each.period.to_bytes(4, "big") + each.until.to_bytes(8, "big") + each.seed for each in keys.covers
    )
    return _MAGIC + keys.identity.private_bytes_raw() + keys.noise.private_bytes_raw() + keys.cover_secret + covers


def _parse(content: bytes, now: float) -> NodeKeys:
    fields = [content[at : at + 32] for at in range(len(_MAGIC), len(content), 32)]
    entries, rest = divmod(len(content) - _HEAD, _ENTRY)
    if content.startswith(_FIRST_MAGIC) and len(content) == len(_FIRST_MAGIC) + 4 * 32:
        identity, noise, cover, secret = fields
        # Descriptors that name it may live as long as any that are issued now.
        covers = [CoverKey(0, _next(now, QUARTER) + QUARTER, cover)]
    elif content.startswith(_MAGIC) and rest == 0 and 0 < entries <= _MAX_ENTRIES:
        identity, noise, secret = fields[:3]
        covers = [
            CoverKey(
                int.from_bytes(content[at : at + 4], "big"),
                int.from_bytes(content[at + 4 : at + 12], "big"),
                content[at + 12 : at + _ENTRY],
            )
            for at in range(_HEAD, len(content), _ENTRY)
        ]
    else:
        raise KeyFileError(
            f"{FILE_NAME} is damaged", "Restore it from a backup, or move it away; new keys make a new node"
        )
    return NodeKeys(
        Ed25519PrivateKey.from_private_bytes(identity),
        X25519PrivateKey.from_private_bytes(noise),
        secret,
        tuple(covers),
    )
