"""A relay reads several of the decoy's writes at once; it writes them one by one, as the decoy did.

Servers write the handshake's flight in one piece and every later record by itself. On the way each write begins a
packet of its own: who merged them would show another row of packets than the decoy does, and have them count as fewer
against the congestion window.
"""

from collections.abc import Iterator

_HEADER = 5
_APPLICATION_DATA = 23


class DecoyWrites:
    """Cuts what comes from the decoy, of any size, into what is written at once."""

    def __init__(self) -> None:
        self._left = 0
        self._plain = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The same bytes, cut behind each record of application data that is whole, unless ``data`` begins a flight."""
        if self._plain:
            yield data
            return
        start, position, flight = 0, self._left, False
        while position + _HEADER <= len(data):
            kind, length = data[position], int.from_bytes(data[position + 3 : position + 5], "big")
            if data[position + 1] != 3 or not 20 <= kind <= _APPLICATION_DATA:
                break
            flight = flight or kind != _APPLICATION_DATA
            if position > start and not flight:
                yield data[start:position]
                start = position
            position += _HEADER + length
        # A header in two parts: what follows is no longer understood, and passes as it comes.
        self._plain = position < len(data)
        self._left = max(0, position - len(data))
        yield data[start:]
