"""The records of a session that are not all its own: those of a script (see ``shaping``), on a link of its own.

Conversation, beyond the link's first script: → VISIT(seed), in the first record of another; ← its part down. Both
ends play the script of that seed, as if the person had gone to another page. Only who opened the link may ask for it.
"""

from collections.abc import Callable

from qnet.wire import frames
from qnet.wire.channel import RECORD_HEADER, put_header, record
from qnet.wire.events import Forwarded
from qnet.wire.frames import FORWARD_HEADER, HEADER, Frame, FrameError
from qnet.wire.layers import Layer
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import RECORD_ROOM, Scratch
from qnet.wire.script import SEED, Script
from qnet.wire.shaping import BACKLOG, Joiner, Sealed, Shaper


class Shaped(Layer):
    """A layer whose records may be shaped. ``initiator``: whose end opened the link."""

    def __init__(
        self, keys: TransportKeys, scratch: Scratch, outer: "Layer | None", circuit: int, *, initiator: bool
    ) -> None:
        super().__init__(keys, scratch, outer, circuit)
        self._initiator = initiator
        self._joiner = Joiner()
        self._script: Script | None = None

    def shape(
        self, shaper: Shaper, script: Script, padding: int = 0, check: Callable[[bytes], None] | None = None
    ) -> None:
        """Let the first records be those of ``script``, as ``shaper`` plays it.

        ``padding``: N2's records still to come; ``check`` raises ``BadRecordError`` for the body of one that is none.
        """
        self._shaper, self._script, self._padding, self._check = shaper, script, padding, check

    @property
    def is_shaped(self) -> bool:
        """Whether a script is being played."""
        return self._shaper is not None

    @property
    def can_visit(self) -> bool:
        """Whether another script may begin."""
        return self._script is not None and not self.is_shaped and not self._closed

    def visit(self, seed: bytes, now: float) -> int:
        """Play another script; gives its bytes, both ways. Raises ``RuntimeError`` unless ``can_visit``."""
        if not self.can_visit or self._script is None:
            raise RuntimeError("no script may begin")
        script = self._script.another(seed)
        self._shaper, _ = script.both(now)
        self._shaper.put(memoryview(frames.frame(Frame.VISIT, 0, seed)))
        return sum(RECORD_HEADER + step.size for step in (*script.up, *script.down))

    def _visit_frame(self, seed: bytes, now: float) -> None:
        if self._initiator or self._script is None or len(seed) != SEED:
            raise FrameError("VISIT")
        if self._shaper is None:  # else one is still being played here, and the client's will be over soon
            _, self._shaper = self._script.another(seed).both(now)

    # --- receiving

    def _open_pieces(self, fragment: memoryview, now: float) -> None:
        """Part of plaintexts that did not travel as records of their own; raises ``FrameError``."""
        if self._outer is not None:
            raise FrameError("PIECE inside a circuit")
        for plain in self._joiner.receive(fragment):
            kind, circuit, _ = HEADER.unpack_from(plain)
            if kind == Frame.PIECE:
                raise FrameError("PIECE in a PIECE")
            if kind != Frame.FORWARD:
                self._read_frames(memoryview(plain), now)
                continue
            body = plain[FORWARD_HEADER.size :]
            inner = self._inner.get(circuit)
            if inner is not None:
                inner._open_inner(memoryview(body), now)
            elif circuit in self._extended:
                self._events.append(Forwarded(circuit, memoryview(bytearray(record(body)))))

    # --- sending

    @property
    def held_back(self) -> bool:
        """Whether so much waits for the script's records that nobody should say more."""
        return self._shaper is not None and self._shaper.waiting > BACKLOG

    def shaped(self, now: float) -> list[bytes]:
        """The script's records that are due, each to be written by itself."""
        records: list[bytes] = []
        shaper = self._shaper
        if shaper is None:
            return records
        out = memoryview(bytearray(RECORD_ROOM))
        while (plain := shaper.take(now)) is not None:
            if isinstance(plain, Sealed):
                records.append(plain.record)
                continue
            length = self._sealer.seal_into(memoryview(plain), out, RECORD_HEADER)
            put_header(out, 0, length)
            records.append(bytes(out[: RECORD_HEADER + length]))
        if shaper.finished:
            self._shaper = None
        return records

    def next_timer(self) -> float | None:
        """When ``shaped`` has more, if nothing comes before."""
        return None if self._shaper is None else self._shaper.next_timer()
