"""The only home of msgpack: strict MessagePack, both ways."""

import msgpack

from schemas.errors import BadPayload


def unpack(payload: bytes) -> object:
    """The value of a message. Raises BadPayload when it is none, nested too deep, or has keys that no value has."""
    try:
        value: object = msgpack.unpackb(payload, strict_map_key=False, timestamp=3)
    except (msgpack.StackError, RecursionError) as error:
        raise BadPayload("the payload is nested too deep for MessagePack to be read") from error
    except msgpack.FormatError as error:  # says nothing itself
        raise BadPayload("the payload is no MessagePack: it has a byte that begins no value") from error
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayload(f"the payload is no MessagePack: {error}") from error
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
