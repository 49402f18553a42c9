"""What is kept of a task's log."""

from collections.abc import AsyncIterator
from pathlib import Path

from edge_agent.tasks.log_archive import HEAD_BYTES, TAIL_BYTES, archive
from transport.blob_store import BlobDirectory


async def lines(count: int, length: int) -> AsyncIterator[str]:
    """Numbered lines of a length."""
    for number in range(count):
        yield f"{number:0{length}}"


async def test_a_log_is_kept_whole(tmp_path: Path) -> None:
    """Every line is in the blob, and the last fifty are the tail."""
    blobs = BlobDirectory(tmp_path)
    kept = await archive(lines(120, 9), blobs)
    assert blobs.read_bytes(kept.blob.digest, 10_000) == b"".join(b"%09d\n" % number for number in range(120))
    assert kept.tail == tuple(f"{number:09}" for number in range(70, 120))


async def test_a_flood_is_cut_in_the_middle(tmp_path: Path) -> None:
    """Of a log beyond the limit the beginning and the end stay, and the gap says how many lines it swallowed."""
    blobs = BlobDirectory(tmp_path)
    count, width = 15_000, 1000
    kept = await archive(lines(count, width - 1), blobs)
    text = blobs.read_bytes(kept.blob.digest, HEAD_BYTES + TAIL_BYTES + 100)
    left_out = count - (HEAD_BYTES + TAIL_BYTES) // width
    assert f"\n… {left_out} lines left out …\n".encode() in text
    assert text.startswith(b"0" * (width - 1) + b"\n")
    assert text.endswith(f"{count - 1:0{width - 1}}\n".encode())


async def test_a_short_last_line_stays_the_last(tmp_path: Path) -> None:
    """A line that would still fit into the beginning comes after those that did not."""

    async def uneven() -> AsyncIterator[str]:
        async for line in lines(6000, 999):
            yield line
        yield "last"

    blobs = BlobDirectory(tmp_path)
    kept = await archive(uneven(), blobs)
    text = blobs.read_bytes(kept.blob.digest, HEAD_BYTES + TAIL_BYTES)
    assert len(text) == 6_000_005
    assert text.endswith(b"5999\nlast\n")
