"""The only home of msgpack: strict MessagePack, both ways."""

import msgpack

from schemas.errors import BadPayload


def unpack(payload: bytes) -> object:
    """The value of a message. Raises BadPayload when it is no MessagePack, or has keys that cannot be any."""
    try:
        value: object = msgpack.unpackb(payload, strict_map_key=False, timestamp=3)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise BadPayload(f"the payload is no MessagePack: {error or type(error).__name__}") from error
    return value


def pack(value: object) -> bytes:
    """A value as MessagePack; arrays become lists. Raises BadPayload for what has no form there."""
    try:
        packed: bytes = msgpack.packb(value, default=_plain, datetime=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadPayload(f"the result cannot be written as MessagePack: {error}") from error
    return packed


def _plain(value: object) -> object:
    to_list = getattr(value, "tolist", None)  # NumPy's arrays and numbers
    if to_list is None:
        raise TypeError(f"{type(value).__name__} has no form there")
    return to_list()
