"""The shape of every handshake core: ``step(received) -> Send | Receive | Done``.

Conversation with a driver:

1. the driver calls ``step(b"")``;
2. ``Send(data, pause)``: write ``data`` in one write, ``pause`` seconds after now, or after what waits to be written
   before it, but with the next that has no pause at the latest; call ``step(b"")`` again at once;
3. ``Receive()``: wait for bytes (any number), then call ``step(bytes)``;
4. ``Done(result, trailing)``: the handshake is over; ``trailing`` are received bytes that belong to whoever
   speaks next. They are never dropped.

A core raises ``RemoteError`` when the other side breaks the protocol, and nothing else for any input.
"""

from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

Entropy: TypeAlias = Callable[[int], bytes]
"""``entropy(n)`` gives ``n`` cryptographically random bytes (``os.urandom`` in production)."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write ``data`` in one write, after ``pause`` seconds at most, and step again with nothing at once."""

    data: bytes
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Receive:
    """Nothing to do until bytes arrive."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The handshake's result, and the bytes already received that follow it."""

    result: T
    trailing: bytes


class Handshake(Protocol[T]):
    """A handshake core."""

    def step(self, received: bytes) -> "Send | Receive | Done[T]":
        """Take what arrived and say what to do next."""
        ...


class Conversation(Generic[T]):
    """A handshake written down in the order of its conversation: ``_run`` yields steps and is sent what arrives.

    Set ``trailing`` before returning the result.
    """

    def __init__(self) -> None:
        self.trailing = b""
        self._steps: Generator[Send | Receive, bytes, T] | None = None

    def step(self, received: bytes) -> Send | Receive | Done[T]:
        """See the module."""
        try:
            if self._steps is None:
                self._steps = self._run()
                return next(self._steps)
            return self._steps.send(received)
        except StopIteration as stop:
            return Done(stop.value, self.trailing)

    @abstractmethod
    def _run(self) -> Generator[Send | Receive, bytes, T]:
        """The conversation."""
