"""Which ranges of a blob are asked for, whatever order chunks come in and whatever is lost."""

import random

from hypothesis import given
from hypothesis import strategies as st

from schemas.blobs import CHUNK_BYTES
from transport.window import WINDOW_BYTES, Window


def outstanding(asked: list[tuple[int, int]], held_bytes: int) -> int:
    """How many of the asked bytes have not come."""
    return sum(length - max(0, min(length, held_bytes - offset)) for offset, length in asked)


@given(
    size_bytes=st.integers(0, 40 * CHUNK_BYTES),
    held_share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_every_byte_comes_once_and_in_order(size_bytes: int, held_share: float, seed: int, loss: float) -> None:
    """With chunks shuffled, repeated and lost the blob is written whole; never is more than a window asked for.

    (defect 9)
    """
    dice = random.Random(seed)
    blob = dice.randbytes(size_bytes)
    written = bytearray(blob[: int(size_bytes * held_share)])
    window = Window(size_bytes, len(written))
    asked: list[tuple[int, int]] = []
    while not window.complete:
        new = window.asks()
        if not new:  # all that was asked for has been answered or lost
            window.restart(narrow=dice.random() < 0.5)
            asked = []
            continue
        asked += new
        assert outstanding(asked, window.held_bytes) <= WINDOW_BYTES
        chunks = [at for offset, length in new for at in range(offset, offset + length, CHUNK_BYTES)]
        chunks += dice.sample(chunks, len(chunks) // 3)
        dice.shuffle(chunks)
        ends = {at: offset + length for offset, length in new for at in range(offset, offset + length, CHUNK_BYTES)}
        for at in chunks:
            if dice.random() >= loss:
                for piece in window.take(at, blob[at : min(at + CHUNK_BYTES, ends[at])]):
                    written += piece
    assert bytes(written) == blob


def test_what_was_not_asked_for_is_not_kept() -> None:
    """Chunks beyond the window, beyond the blob's end, or from before it are dropped."""
    window = Window(10 * CHUNK_BYTES, CHUNK_BYTES)
    assert window.take(CHUNK_BYTES, b"too early: nothing was asked for") == []
    window.asks()
    assert window.take(9 * CHUNK_BYTES, bytes(CHUNK_BYTES)) == []
    assert window.take(2 * CHUNK_BYTES, bytes(9 * CHUNK_BYTES)) == []
    assert window.take(0, bytes(CHUNK_BYTES)) == []
    assert window.held_bytes == CHUNK_BYTES


def test_a_silent_sender_is_asked_for_one_chunk() -> None:
    """After a silence a single chunk is asked for, and more again as chunks come."""
    window = Window(100 * CHUNK_BYTES, 0)
    window.asks()
    window.restart(narrow=True)
    assert window.asks() == [(0, CHUNK_BYTES)]
    window.take(0, bytes(CHUNK_BYTES))
    assert window.asks() == [(CHUNK_BYTES, CHUNK_BYTES), (2 * CHUNK_BYTES, CHUNK_BYTES)]
