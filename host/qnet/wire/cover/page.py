"""N2 as a page of the decoy's would come: in records of a script's sizes. Those behind it are made before it is."""

from qnet.wire.channel import record
from qnet.wire.cover.auth import WRAP_OVERHEAD, Wrap
from qnet.wire.cover.inner import SECOND
from qnet.wire.script import Script


class Page:
    """``key``: the wrap key of the peer's records. Without a script N2 is one record, as large as it has to be."""

    def __init__(self, script: Script | None, key: bytes) -> None:
        sizes = [step.size for step in script.down[: script.page]] if script else []
        self._sizes: list[int] = []
        left = SECOND
        while sizes and left > 0:
            self._sizes.append(sizes.pop(0))
            left -= self._sizes[-1] - WRAP_OVERHEAD
        self._key = key
        wrap = Wrap(key, len(self._sizes))
        behind = (wrap.seal(b"", size, more=number < len(sizes)) for number, size in enumerate(sizes, 1))
        self._padding = b"".join(map(record, behind))

    def records(self, second: bytes) -> bytes:
        """All of it, with N2 in it."""
        wrap = Wrap(self._key)
        *others, last = self._sizes or [0]
        said = b""
        for size in others:
            room = size - WRAP_OVERHEAD
            said += record(wrap.seal(second[:room], size, more=True))
            second = second[room:]
        return said + record(wrap.seal(second, last, more=bool(self._padding))) + self._padding
