"""Which bytes of a blob to ask for next, and which have come. Pure."""

from schemas.blobs import CHUNK_BYTES

ASK_BYTES = 8 * CHUNK_BYTES
WINDOW_BYTES = 32 * CHUNK_BYTES  # asked for and not yet come, at most
_FIRST_WINDOW_BYTES = 4 * CHUNK_BYTES
_MOST_EARLY = 2 * WINDOW_BYTES // CHUNK_BYTES

Piece = bytes | memoryview


class Window:
    """Asks for a little, then for more while it comes, and starts small again when it stops coming.

    So a slow connection is never flooded with what was asked for twice.
    """

    def __init__(self, size_bytes: int, held_bytes: int) -> None:
        self.held_bytes = held_bytes  # from the blob's beginning, without a gap
        self._size_bytes = size_bytes
        self._asked_bytes = held_bytes
        self._width_bytes = _FIRST_WINDOW_BYTES
        self._early: dict[int, Piece] = {}  # chunks that came before those in front of them, by offset

    @property
    def complete(self) -> bool:
        """Whether everything has come."""
        return self.held_bytes >= self._size_bytes

    def asks(self) -> list[tuple[int, int]]:
        """Offset and length of the ranges to ask for now."""
        ranges = []
        limit = min(self._size_bytes, self.held_bytes + self._width_bytes)
        step = min(ASK_BYTES, max(CHUNK_BYTES, self._width_bytes // 2))
        while (length := min(step, self._size_bytes - self._asked_bytes)) and self._asked_bytes + length <= limit:
            ranges.append((self._asked_bytes, length))
            self._asked_bytes += length
        return ranges

    def take(self, offset: int, data: Piece) -> list[Piece]:
        """Accept a chunk; returns what can be written now. Repeats, and what was not asked for, give nothing."""
        end = offset + len(data)
        asked_for = self.held_bytes < end <= self._size_bytes and offset < self._asked_bytes
        if not asked_for or len(self._early) >= _MOST_EARLY:
            return []
        self._early[offset] = data
        self._width_bytes = min(WINDOW_BYTES, self._width_bytes + len(data))
        pieces = []
        while self._early and (first := min(self._early)) <= self.held_bytes:
            piece = self._early.pop(first)[self.held_bytes - first :]
            self.held_bytes += len(piece)
            pieces.append(piece)
        return pieces

    def restart(self, *, narrow: bool) -> None:
        """What was asked for is lost: ask again for all that has not come, for a single chunk first if ``narrow``."""
        self._early.clear()
        self._asked_bytes = self.held_bytes
        self._width_bytes = CHUNK_BYTES if narrow else _FIRST_WINDOW_BYTES
