"""The only home of Pillow: pictures as arrays and arrays as pictures."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from schemas.errors import BadPayload

MAX_PIXELS = 50_000_000  # a picture may unpack to far more than its bytes
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def from_picture(payload: bytes) -> NDArray[np.uint8]:
    """A PNG, JPEG, WebP, BMP, GIF or TIFF as uint8 ``(height, width, 3)``: red, green, blue; of several the first.

    Raises:
        BadPayload: it is none of these, damaged, or has more than ``MAX_PIXELS`` pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(payload), formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadPayload(f"the picture has {picture.width} x {picture.height} pixels; {MAX_PIXELS} are allowed")
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:  # names the object that held the payload, and nothing else
        kinds = "empty" if not payload else f"no picture of a known kind ({', '.join(_FORMATS)}), or only its beginning"
        raise BadPayload(f"the payload is {kinds}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadPayload(f"the payload is no picture: {error}") from error


def to_picture(value: object) -> bytes:
    """Rows of pixels as a PNG: ``(height, width)`` grey, or ``(height, width, 3)``; numbers from 0 to 255.

    Raises:
        BadPayload: of another shape or with other numbers.
    """
    pixels = np.asarray(value)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.dtype.kind not in "iu":
        raise BadPayload(
            f"a picture is whole numbers of shape [height, width] or [height, width, 3], not {pixels.shape}"
        )
    if pixels.size and (pixels.min() < 0 or pixels.max() > 255):
        raise BadPayload("a picture's numbers are from 0 to 255")
    target = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(target, "PNG")
    return target.getvalue()
