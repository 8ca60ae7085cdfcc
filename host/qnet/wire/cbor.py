"""Deterministic CBOR (RFC 8949 §4.2.1): one encoding per value, and nothing else is accepted.

What is signed or compared must have one encoding only, so ``decode`` encodes again and refuses a difference: wrong
key order, longer integers, indefinite lengths, duplicate keys. Only plain data is taken: no tags, no floats.
"""

from typing import Any

import cbor2

from qnet.wire.errors import RemoteError

MAX_DEPTH = 8


class CborError(RemoteError):
    """The bytes are not one deterministic CBOR item of plain data."""


def encode(value: Any) -> bytes:
    """The deterministic encoding."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, limit: int) -> Any:
    """The item in ``data``, which it must fill; raises ``CborError``. ``limit``: most bytes accepted."""
    if len(data) > limit:
        raise CborError(f"more than {limit} bytes")
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise CborError(type(error).__name__) from None
    _check_plain(value, MAX_DEPTH)
    if encode(value) != data:
        raise CborError("not deterministic")
    return value


def _check_plain(value: Any, depth: int) -> None:
    if depth == 0:
        raise CborError("too deep")
    match value:
        case None | bool() | int() | str() | bytes():
            return
        case list():
            for item in value:
                _check_plain(item, depth - 1)
        case dict():
            for key, item in value.items():
                if isinstance(key, bool) or not isinstance(key, int | str):
                    raise CborError("key type")
                _check_plain(item, depth - 1)
        case _:
            raise CborError(f"type {type(value).__name__}")
