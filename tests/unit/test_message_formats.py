"""What is said of payloads that are not of the format that a pipeline reads."""

import io

import pytest
from PIL import Image

from pipeline_runtime.values.formats import Format, codec
from schemas.errors import BadPayload


def png() -> bytes:
    """A small picture."""
    target = io.BytesIO()
    Image.new("RGB", (40, 40), (3, 5, 7)).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize(
    ("form", "payload", "says"),
    [
        ("msgpack", b"\x91" * 5000 + b"\x01", "the payload is nested too deep for MessagePack to be read"),
        ("msgpack", b"\xc1", "the payload is no MessagePack: it has a byte that begins no value"),
        ("msgpack", b"\x92\x01", "the payload is no MessagePack: Unpack failed: incomplete input"),
        ("image", b"hello", "the payload is no picture of a known kind (PNG, JPEG, WEBP, BMP, GIF, TIFF), or only"),
        ("image", png()[:8], "the payload is no picture of a known kind (PNG, JPEG, WEBP, BMP, GIF, TIFF), or only"),
        ("image", png()[:60], "the payload is no picture: "),
        ("image", b"", "the payload is empty"),
    ],
)
def test_a_payload_of_another_form_is_told_in_words(form: Format, payload: bytes, says: str) -> None:
    """The reason is never empty, and names no object of ours."""
    with pytest.raises(BadPayload) as failure:
        codec(form).decode(payload)
    assert str(failure.value).startswith(says)
    assert not str(failure.value).endswith(": ")
    assert "0x" not in str(failure.value)
