"""Keeping a relay on the lists of its operators' directories."""

import base64
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.directory import HEARTBEAT_SECONDS
from qnet.roles.directory_http import REQUEST_SECONDS, DirectoryError, Source, refusal, request
from qnet.wire import descriptor as descriptors
from qnet.wire import heartbeat as heartbeats
from qnet.wire.descriptor import Descriptor

_log = logging.getLogger(__name__)


class Registrar:
    """Keeps a relay listed: descriptor first, then a heartbeat every 30 s, with every directory. Clients have none.

    ``describe`` gives the signed descriptor issued at a time; ``endorsed`` the signed endorsements; ``load`` ‰ in use.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        describe: Callable[[float], bytes],
        endorsed: Callable[[], list[bytes]],
        sources: Sequence[Source],
        load: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.problems: dict[bytes, str] = {}
        """By operator: why this node is not listed there, in words."""
        self._key = key
        self._describe = describe
        self._endorsed = endorsed
        self._sources = list(sources)
        self._load = load
        self._clock = clock
        self._seq = 0
        self._descriptor: Descriptor | None = None
        self._words: list[bytes] = []
        self._told: dict[bytes, bytes] = {}

    async def run(self) -> None:
        """Beat until cancelled; sooner than in 30 s after a failure, at first in 1 s."""
        failed = 0
        while True:
            await self.beat()
            failed = failed + 1 if self.problems else 0
            await anyio.sleep(min(HEARTBEAT_SECONDS, 2.0 ** (failed - 1)) if failed else HEARTBEAT_SECONDS)

    def changed(self) -> None:
        """The node's own description has changed: send a new one with the next heartbeat."""
        self._descriptor = None

    async def beat(self) -> None:
        """One heartbeat to each directory, all at once; what fails stands in ``problems``."""
        self._renew()
        async with anyio.create_task_group() as group:
            for source in self._sources:
                group.start_soon(self._beat_one, source)

    def _renew(self) -> None:
        """Sign the descriptor anew when its content has changed or half of its life is over."""
        now, words, current = self._clock(), self._endorsed(), self._descriptor
        if (
            current is None
            or words != self._words
            or now > (current.issued + current.expires) / 2
            or now < current.issued - 120
        ):
            # Directories order descriptors by whole seconds.
            at = now if current is None else max(now, current.issued + 1)
            self._descriptor, self._words = descriptors.verify(self._describe(at), at), words

    async def _beat_one(self, source: Source) -> None:
        assert self._descriptor is not None  # noqa: S101
        with_descriptor = self._told.get(source.operator) != self._descriptor.signed
        try:
            with anyio.fail_after(REQUEST_SECONDS):
                try:
                    await self._register(source, with_descriptor=with_descriptor)
                except DirectoryError as error:
                    if error.reason not in ("unknown-peer", "expired") or with_descriptor:
                        raise
                    await self._register(source, with_descriptor=True)
        except TimeoutError:
            self._fail(source, "the directory does not answer in time")
        except DirectoryError as error:
            self._told.pop(source.operator, None)
            self._fail(source, str(error))
        else:
            self._told[source.operator] = self._descriptor.signed
            self.problems.pop(source.operator, None)

    def _fail(self, source: Source, problem: str) -> None:
        if self.problems.get(source.operator) != problem:
            _log.warning("an operator's directory does not list this node: %s", problem)
        self.problems[source.operator] = problem

    async def _register(self, source: Source, *, with_descriptor: bool) -> None:
        assert self._descriptor is not None  # noqa: S101
        now = self._clock()
        self._seq = max(self._seq + 1, int(now * 1000))
        beat = heartbeats.Heartbeat(self._descriptor.peer_id, self._seq, int(now), min(max(self._load(), 0), 1000))
        body: dict[str, Any] = {"heartbeat": _base64(heartbeats.sign(beat, self._key))}
        if with_descriptor:
            body["descriptor"] = _base64(self._descriptor.signed)
            body["endorsements"] = [_base64(word) for word in self._words]
        status, _, answer = await request(source, "POST", "/api/relay/register", json=body)
        if status != 200:
            raise refusal(status, answer, now)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
