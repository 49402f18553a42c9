"""How the payload of a message becomes a value and a value a payload: each format by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline_runtime.values.payloads import decode, encode
from schemas.errors import BadPayload

Format = Literal["json", "msgpack", "text", "bytes", "image"]


@dataclass(frozen=True, slots=True)
class Codec:
    """Both ways of a format. Each raises BadPayload for what has no place in it."""

    decode: Callable[[bytes], object]
    encode: Callable[[object], bytes]


def codec(name: Format) -> Codec:
    """The format of that name. Only who runs pipelines needs the libraries for it."""
    match name:
        case "json":
            return Codec(decode, encode)
        case "msgpack":
            from pipeline_runtime.values.message_pack import pack, unpack  # noqa: PLC0415

            return Codec(unpack, pack)
        case "text":
            return Codec(_to_text, _from_text)
        case "bytes":
            return Codec(bytes, _from_bytes)
        case "image":
            from pipeline_runtime.values.images import from_picture, to_picture  # noqa: PLC0415

            return Codec(from_picture, to_picture)


def _to_text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise BadPayload(f"the payload is no UTF-8 text: {error.reason} at byte {error.start}") from error


def _from_text(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else encode(value)


def _from_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise BadPayload(f"bytes are to be published, and {type(value).__name__} was given")
