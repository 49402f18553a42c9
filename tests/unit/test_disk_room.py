"""Whether what is to be fetched fits on the disk, also together with what is on its way."""

from pathlib import Path

import pytest

from edge_agent.fetching import Fetcher
from edge_agent.shelf.disk_room import DiskRoom
from schemas.broker import BrokerAddress
from schemas.errors import TooLarge
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory
from transport.mqtt import connect
from transport.transfer import BlobReceiver


def ref(digit: str, size_bytes: int) -> BlobRef:
    """A blob that is not here."""
    return BlobRef(digest=f"sha256:{digit * 64}", size_bytes=size_bytes)


async def test_what_comes_together_has_to_fit_together(tmp_path: Path) -> None:
    """What is here, or counted for another already, takes no room; what fits alone may not fit beside the other."""
    blobs = BlobDirectory(tmp_path)
    async with connect(BrokerAddress(), "nobody", wait=False) as link:
        fetcher = Fetcher("press-1", blobs, BlobReceiver(link, blobs, me="edge"))
        size_bytes = fetcher.free_bytes * 6 // 10
        room = DiskRoom(fetcher, reserve_bytes=0)
        with room.room_for([ref("a", size_bytes)]):
            with room.room_for([ref("a", size_bytes), blobs.put_bytes(b"here")]):
                pass
            with pytest.raises(TooLarge, match="not enough disk: needs "), room.room_for([ref("b", size_bytes)]):
                pass
        with room.room_for([ref("b", size_bytes)]):
            pass
        with DiskRoom(fetcher, reserve_bytes=10**18).room_for([blobs.put_bytes(b"here")]):
            pass  # nothing is to come
