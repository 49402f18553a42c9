"""How a receiver pulls bytes over MQTT: what it asks, and how a chunk is framed."""

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from schemas.errors import BadPayload
from schemas.names import BlobDigest
from schemas.wire import Wire

CHUNK_BYTES = 64 * 1024  # fits any broker's packet limit; larger ones measured no faster


class BlobAsk(Wire):
    """Receiver → sender: please publish this range of a blob, in chunks of at most CHUNK_BYTES."""

    asked_by: Literal["edge", "controller"]  # both listen to the topic, and each ignores its own asks
    digest: BlobDigest
    offset: NonNegativeInt
    length: PositiveInt


@dataclass(frozen=True, slots=True)
class BlobChunk:
    """Sender → receiver: bytes at the offset that the topic names.

    Framing: eight bytes big-endian total size of the blob, then the bytes. An empty chunk with size
    ``MISSING`` says that the sender does not hold the blob.
    """

    size_bytes: int
    data: bytes | memoryview  # a view where copying 64 KiB once more would be felt

    MISSING = 2**64 - 1

    def to_wire(self) -> bytes:
        """The bytes to publish."""
        return b"".join((self.size_bytes.to_bytes(8, "big"), self.data))

    @classmethod
    def from_wire(cls, payload: bytes) -> "BlobChunk":
        """Read a chunk.

        Raises:
            BadPayload: it is shorter than its header or longer than a chunk may be.
        """
        if not 8 <= len(payload) <= 8 + CHUNK_BYTES:
            raise BadPayload(f"a blob chunk of {len(payload)} bytes; 8 to {8 + CHUNK_BYTES} are allowed")
        return cls(int.from_bytes(payload[:8], "big"), memoryview(payload)[8:])
