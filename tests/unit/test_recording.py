"""Recordings: what is written is read back, also of a file whose writer died."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadInput, Conflict, NotFound
from tidemill.replay.recording import Recorded, RecordingWriter, read_recording

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def recorded(number: int, payload: bytes = b"{}") -> Recorded:
    """A message as a broker brings it."""
    return Recorded.of(f"t/{number}", payload, NOW + timedelta(microseconds=number), qos=1, retain=False)


def unexpected(told: str) -> None:
    """For recordings that are whole."""
    raise AssertionError(told)


@given(st.binary() | st.text().map(str.encode))
def test_any_payload_is_read_back(payload: bytes) -> None:
    """Byte for byte, with its time in microseconds."""
    read = Recorded.model_validate_json(recorded(7, payload).model_dump_json())
    assert (read.message, read.at, read.topic) == (payload, NOW + timedelta(microseconds=7), "t/7")


def test_a_recording_whose_end_is_missing_is_read_so_far(tmp_path: Path) -> None:
    """Wherever its last line was cut off; it is told."""
    path = tmp_path / "r.jsonl"
    messages = [recorded(1), recorded(2)]
    with RecordingWriter(path) as writer:
        for message in messages:
            writer.write(message)
        writer.sync()
    whole = path.read_bytes()
    assert writer.size_bytes == len(whole)
    assert list(read_recording(path, unexpected)) == messages
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        path.write_bytes(whole[:end])
        told: list[str] = []
        assert list(read_recording(path, told.append)) == messages[:1]
        assert len(told) == (end > first)
    path.write_bytes(whole[:-1])
    assert list(read_recording(path, unexpected)) == messages


@pytest.mark.parametrize(
    "line", ["{", '{"at": "2026-11-20T08:00:00Z", "topic": "t", "payload": "!", "encoding": "base64"}', "[]"]
)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, line: str) -> None:
    """With the file and the line's number."""
    path = tmp_path / "r.jsonl"
    path.write_text(f"{recorded(1).model_dump_json()}\n\n{line}\n")
    with pytest.raises(BadInput, match=r"r.jsonl:3: no recorded message"):
        list(read_recording(path, unexpected))


def test_no_recording_is_overwritten(tmp_path: Path) -> None:
    """A file that is there stays as it is; one that is not there is not found."""
    path = tmp_path / "r.jsonl"
    with pytest.raises(NotFound):
        list(read_recording(path, unexpected))
    path.write_text("precious")
    with pytest.raises(Conflict, match="is there already"):
        RecordingWriter(path)
    assert path.read_text() == "precious"
    with pytest.raises(BadInput, match="cannot be written"):
        RecordingWriter(tmp_path / "no folder" / "r.jsonl")
