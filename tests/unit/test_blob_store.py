"""The blob directory: whole or not there, whatever is killed when."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.errors import BadInput, Conflict, NotFound, TooLarge, Untrusted
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory


@pytest.fixture
def store(tmp_path: Path) -> BlobDirectory:
    """An empty directory of blobs."""
    return BlobDirectory(tmp_path / "blobs")


def ref_of(data: bytes) -> BlobRef:
    """What these bytes are called."""
    return BlobRef(digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size_bytes=len(data))


def files_below(folder: Path) -> list[Path]:
    """Every file, wherever it lies."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_kept_bytes_come_back_under_their_digest(store: BlobDirectory) -> None:
    """What was put is read again, with its size, under the sha256 of its bytes."""
    ref = store.put_bytes(b"grain")

    assert ref == ref_of(b"grain") == store.ref(ref.digest)
    assert store.read_bytes(ref.digest, limit=5) == b"grain"
    assert list(store.digests()) == [ref.digest]


def test_the_same_bytes_are_kept_once(store: BlobDirectory, tmp_path: Path) -> None:
    """Putting a blob again leaves one file, and nothing temporary."""
    assert store.put_bytes(b"grain") == store.put_bytes(b"grain")
    assert len(files_below(tmp_path)) == 1


def test_a_file_is_copied_or_moved_in(store: BlobDirectory, tmp_path: Path) -> None:
    """A put file stays where it was unless it was to be moved."""
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")

    assert store.put_file(source) == ref_of(b"weights")
    assert source.exists()
    assert store.put_file(source, move=True) == ref_of(b"weights")
    assert not source.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_kept(store: BlobDirectory, tmp_path: Path, kind: str) -> None:
    """A link, a pipe or a folder that a script left behind is refused without being followed or waited for."""
    odd = tmp_path / "odd"
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        odd.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.mkdir()

    with pytest.raises(BadInput, match="odd cannot be kept as a blob"):
        store.put_file(odd)
    assert not list(store.digests())


def test_what_is_not_there_is_not_found(store: BlobDirectory, tmp_path: Path) -> None:
    """Asking for a blob or a file that does not exist says which, and deleting it is no error."""
    digest = ref_of(b"never").digest
    for ask in (store.path, store.size, store.ref):
        with pytest.raises(NotFound, match=digest):
            ask(digest)
    with pytest.raises(NotFound, match="no file"):
        store.put_file(tmp_path / "none")
    assert not store.has(digest)
    store.delete(digest)


@pytest.mark.parametrize("digest", ["", "sha256:" + "A" * 64, "sha256:../../etc/passwd", "sha256:" + "a" * 64 + "\n"])
def test_a_digest_cannot_lead_out_of_the_directory(store: BlobDirectory, digest: str) -> None:
    """Anything but a well-formed digest is refused before a path is made of it."""
    with pytest.raises(BadInput, match="is no digest"):
        store.has(digest)


def test_reading_is_capped(store: BlobDirectory) -> None:
    """A blob above the caller's limit is not read into memory."""
    ref = store.put_bytes(b"12345")
    with pytest.raises(TooLarge, match="5 bytes; at most 4"):
        store.read_bytes(ref.digest, limit=4)


def test_a_blob_that_was_not_committed_is_not_there(store: BlobDirectory, tmp_path: Path) -> None:
    """Leaving the writer early leaves no file at all."""
    with store.writer() as writer:
        writer.write(b"half")
    assert not files_below(tmp_path)


def test_leftovers_of_a_killed_process_are_cleared_but_not_work_in_progress(tmp_path: Path) -> None:
    """A new owner removes temporary files that nobody writes to any more, and only those."""
    first = BlobDirectory(tmp_path)
    (tmp_path / "temporary" / "leftover").write_bytes(b"half")
    with first.writer() as writer:
        writer.write(b"grain")
        BlobDirectory(tmp_path)
        assert writer.commit() == ref_of(b"grain")
    assert [path.name for path in files_below(tmp_path)] == [ref_of(b"grain").digest.removeprefix("sha256:")]


def test_a_part_outlives_its_writer(tmp_path: Path) -> None:
    """What was written of a part is there after a restart, and the whole is checked against its digest."""
    expected = ref_of(b"first second")
    with BlobDirectory(tmp_path).part(expected.digest) as part:
        part.write(b"first ")

    store = BlobDirectory(tmp_path)
    assert list(store.parts()) == [expected.digest]
    assert not store.has(expected.digest)
    with store.part(expected.digest) as part:
        assert part.size_bytes == 6
        part.write(b"second")
        assert part.commit(expected) == expected
    assert store.read_bytes(expected.digest, limit=100) == b"first second"
    assert not list(store.parts())


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from transport.blob_store import BlobDirectory

store = BlobDirectory(Path(sys.argv[1]))
with store.part(sys.argv[2]) as part, store.writer() as writer:
    part.write(b"a" * 1_000_000)
    writer.write(b"b" * 1_000_000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_part_to_go_on_with_and_nothing_else(tmp_path: Path) -> None:
    """After ``kill -9`` what reached the part is gone on with, the temporary file is cleared, and no lock stays."""
    data = b"a" * 1_000_000 + b"the rest"
    expected = ref_of(data)
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path), expected.digest], check=False)
    assert killed.returncode == -signal.SIGKILL

    store = BlobDirectory(tmp_path)
    assert [path.parent.name for path in files_below(tmp_path)] == ["parts"]
    assert not list(store.digests())
    with store.part(expected.digest) as part:
        part.write(data[part.size_bytes :])
        assert part.commit(expected) == expected


def test_a_part_with_other_bytes_is_discarded(store: BlobDirectory) -> None:
    """Bytes that are not what their name says never become a blob, and are not gone on with."""
    expected = ref_of(b"grain")
    with store.part(expected.digest) as part:
        part.write(b"chaff")
        with pytest.raises(Untrusted, match=expected.digest):
            part.commit(expected)
    assert not store.has(expected.digest)
    assert not list(store.parts())


def test_a_part_has_one_writer(store: BlobDirectory) -> None:
    """A second receiver of the same blob is refused while the first is at it."""
    digest = ref_of(b"grain").digest
    with store.part(digest), pytest.raises(Conflict, match="is being written already"):
        store.part(digest)
    store.part(digest).discard()


def test_deleting_forgets_the_whole_and_the_part(store: BlobDirectory) -> None:
    """After delete neither the blob nor a part of it is there."""
    ref = store.put_bytes(b"grain")
    with store.part(ref.digest) as part:
        part.write(b"gr")
    store.delete(ref.digest)
    assert not store.has(ref.digest)
    assert not list(store.parts())


def test_what_nobody_wants_is_deleted_when_it_is_old(store: BlobDirectory) -> None:
    """An old blob and an old part go, and their bytes are counted; a second look frees nothing."""
    blob, half = store.put_bytes(b"grain"), ref_of(b"chaff")
    with store.part(half.digest) as part:
        part.write(b"cha")
    later = time.time() + 60

    assert store.delete_unused(blob.digest, before=later) == 5
    assert store.delete_unused(half.digest, before=later) == 3
    assert list(store.digests()) == list(store.parts()) == []
    assert store.delete_unused(blob.digest, before=later) is None


def test_what_is_young_or_was_asked_for_is_spared(store: BlobDirectory) -> None:
    """A blob written, put again or kept on since the time named stays, and so does a part."""
    refs = [store.put_bytes(text) for text in (b"kept on", b"put again", b"left alone")]
    for ref in refs:
        os.utime(store.path(ref.digest), (1000, 1000))
    with store.part(ref_of(b"chaff").digest) as part:
        part.write(b"cha")

    assert store.keep_on(refs[0].digest) == refs[0]
    store.put_bytes(b"put again")
    assert [store.delete_unused(ref.digest, before=2000) for ref in refs] == [None, None, 10]
    assert store.delete_unused(ref_of(b"chaff").digest, before=2000) is None
    with pytest.raises(NotFound):
        store.keep_on(refs[2].digest)


def test_a_part_that_is_being_written_is_never_deleted(store: BlobDirectory) -> None:
    """However old a part is, it stays while somebody goes on with it."""
    half = ref_of(b"chaff")
    with store.part(half.digest) as part:
        part.write(b"cha")
        assert store.delete_unused(half.digest, before=time.time() + 60) is None
        part.write(b"ff")
        assert part.commit(half) == half
