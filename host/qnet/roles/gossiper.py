"""Keeping an operator's directory in step with the others: every 10 s a conversation with one of them, at random."""

import logging
import random
import time
from collections.abc import Callable, Sequence

import anyio

from qnet.mesh.gossip import INTERVAL, Gossip
from qnet.roles.directory_http import Source, refusal, request
from qnet.wire.errors import RemoteError

MAX_MESSAGES = 200
"""Messages in one conversation: some 9,000 peers; a new directory learns more of them in the next one."""

ROUND_SECONDS = 120.0
_random = random.SystemRandom()
_log = logging.getLogger(__name__)


class Gossiper:
    """``sources``: the other operators' directories; ``problems``: by operator, in words."""

    def __init__(self, gossip: Gossip, sources: Sequence[Source], clock: Callable[[], float] = time.time) -> None:
        self.problems: dict[bytes, str] = {}
        self._gossip = gossip
        self._sources = list(sources)
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while self._sources:
            await self.converse(_random.choice(self._sources))
            await anyio.sleep(INTERVAL * _random.uniform(0.8, 1.2))

    async def converse(self, source: Source) -> None:
        """One conversation; what fails stands in ``problems``."""
        try:
            with anyio.fail_after(ROUND_SECONDS):
                await self._converse(source)
        except TimeoutError:
            self.problems[source.operator] = "the other directory does not answer in time"
        except RemoteError as error:
            self.problems[source.operator] = str(error)
        else:
            self.problems.pop(source.operator, None)
            return
        _log.info("no gossip with another directory: %s", self.problems[source.operator])

    async def _converse(self, source: Source) -> None:
        message: bytes | None = self._gossip.begin(source.operator, self._clock())
        for _ in range(MAX_MESSAGES):
            status, _, answer = await request(source, "POST", "/api/gossip", content=message)
            if status != 200:
                raise refusal(status, answer)
            assert message is not None  # noqa: S101
            message = self._gossip.proceed(message, answer, self._clock())
            if message is None:
                return
