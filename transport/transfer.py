"""Both ends of a blob's way over MQTT."""

from transport.receiver import BlobReceiver
from transport.sender import BlobSender

__all__ = ["BlobReceiver", "BlobSender"]
