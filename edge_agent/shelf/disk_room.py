"""Sees to it that what is fetched for models and pipelines fits on the disk, all of it, before any of it comes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edge_agent.fetching import Fetcher
from schemas.errors import TooLarge
from schemas.names import BlobRef


class DiskRoom:
    """Knows what is on its way: two that come together have to fit together."""

    def __init__(self, fetcher: Fetcher, reserve_bytes: int) -> None:
        self._fetcher, self._reserve_bytes = fetcher, reserve_bytes
        self._coming: Counter[BlobRef] = Counter()  # by how many wait for it

    @contextmanager
    def room_for(self, blobs: Iterable[BlobRef]) -> Iterator[None]:
        """Fetch these in the block.

        Raises:
            TooLarge: they do not fit beside what must stay free.
        """
        missing = {ref for ref in blobs if not self._fetcher.held(ref)}
        coming = {ref for ref in self._coming if not self._fetcher.held(ref)}
        needs = sum(ref.size_bytes for ref in missing | coming)
        free_bytes = self._fetcher.free_bytes
        if missing and needs > free_bytes - self._reserve_bytes:
            raise TooLarge(
                f"not enough disk: needs {_size(needs)}, has {_size(free_bytes)} free, "
                f"keeps {_size(self._reserve_bytes)} in reserve (disk_reserve_mb)"
            )
        self._coming.update(missing)
        try:
            yield
        finally:
            self._coming -= Counter(missing)


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
