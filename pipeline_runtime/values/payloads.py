"""How messages become values and values become messages: strict JSON, both ways."""

import orjson

from schemas.errors import BadPayload

_DUMP = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def decode(payload: bytes) -> object:
    """The JSON value of a message.

    Raises:
        BadPayload: it is no JSON (NaN and Infinity are none), or nested too deep.
    """
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadPayload(f"the payload is no JSON: {error}" if payload else "the payload is empty") from error
    return value


def encode(value: object) -> bytes:
    """A value as JSON: arrays become lists, tuples too, and NaN and infinite numbers null.

    Raises:
        BadPayload: it holds something that JSON has no form for, or is nested too deep.
    """
    try:
        return orjson.dumps(value, option=_DUMP)
    except orjson.JSONEncodeError as error:
        raise BadPayload(f"the result cannot be written as JSON: {error}") from error


def shown(value: object, characters: int) -> str:
    """A value for people's eyes: JSON as far as it goes, text as it is, cut after that many characters."""
    if isinstance(value, bytes):
        text = value[: 4 * characters].decode(errors="replace")
    else:
        try:
            text = orjson.dumps(value, default=repr, option=_DUMP).decode()
        except orjson.JSONEncodeError:  # nested too deep
            text = repr(value)
    return text if len(text) <= characters else f"{text[:characters]}…"
