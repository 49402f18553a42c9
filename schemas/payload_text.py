"""Bytes of any kind as text that JSON can hold, and back."""

import base64
import binascii
from typing import Literal

Encoding = Literal["text", "base64"]


def as_text(payload: bytes) -> tuple[str, Encoding]:
    """The payload as it is where it is UTF-8, else as base64."""
    try:
        return payload.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode(), "base64"


def as_bytes(text: str, encoding: Encoding) -> bytes:
    """What ``as_text`` was given. Raises ValueError when the text is no base64, or cannot be written as UTF-8."""
    if encoding == "text":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
