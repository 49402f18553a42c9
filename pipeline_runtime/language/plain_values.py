"""Copies of values as JSON has them, whatever is in them."""

import orjson

from schemas.errors import BadPayload

_GENEROUS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def json_copy(value: object) -> object:
    """The value as JSON: arrays become lists, keys texts; what JSON has no form for, bytes for one, becomes null.

    Raises:
        BadPayload: it is nested too deep.
    """
    try:
        return orjson.loads(orjson.dumps(value, default=_listed, option=_GENEROUS))
    except (orjson.JSONEncodeError, orjson.JSONDecodeError) as error:
        raise BadPayload(f"the input cannot be written as JSON: {error}") from error


def _listed(value: object) -> object:
    """An array whose numbers do not lie in order is a list all the same."""
    return value.tolist() if hasattr(value, "tolist") else None
