"""Which blobs go when they take too much disk."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.blob_cache import BlobCache, blobs_of_pipelines
from schemas.manifest import WantedModel, WantedPipeline
from schemas.models import ModelVersion, Signature
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory


def aged(blobs: BlobDirectory, text: str, age_s: float) -> BlobRef:
    """A blob of one megabyte that was stored so long ago."""
    ref = blobs.put_bytes(text.encode() * 1_000_000)
    then = time.time() - age_s
    os.utime(blobs.path(ref.digest), (then, then))
    return ref


def test_the_oldest_unneeded_blobs_go_until_the_rest_fits(tmp_path: Path) -> None:
    """Under a cap of two megabytes, of four blobs the oldest two that nothing refers to go."""
    blobs = BlobDirectory(tmp_path)
    needed, old, older, young = (
        aged(blobs, "a", 90_000),
        aged(blobs, "b", 50_000),
        aged(blobs, "c", 70_000),
        aged(blobs, "d", 20_000),
    )
    freed_bytes = BlobCache(blobs, lambda: (), cap_bytes=2_000_000).sweep({needed.digest})
    assert freed_bytes == 2_000_000
    assert set(blobs.digests()) == {needed.digest, young.digest}
    assert not blobs.has(old.digest)
    assert not blobs.has(older.digest)


def test_nothing_goes_while_all_of_it_fits(tmp_path: Path) -> None:
    """Unneeded blobs stay for the next task while there is room."""
    blobs = BlobDirectory(tmp_path)
    aged(blobs, "a", 90_000)
    assert BlobCache(blobs, lambda: (), cap_bytes=2_000_000).sweep(set()) == 0


def test_what_was_stored_just_now_stays(tmp_path: Path) -> None:
    """A blob may be here before anything refers to it, so a young one is spared even over the cap."""
    blobs = BlobDirectory(tmp_path)
    young = aged(blobs, "a", 10)
    assert BlobCache(blobs, lambda: (), cap_bytes=0).sweep(set()) == 0
    assert blobs.has(young.digest)


def test_samples_and_shadows_are_in_use(tmp_path: Path) -> None:
    """What a model is tried with, and what a pipeline is compared with, stays as long as the pipeline."""
    blobs = BlobDirectory(tmp_path)
    now, refs = datetime.now(UTC), [blobs.put_bytes(text) for text in (b"spec", b"m1", b"s1", b"m2", b"s2")]
    spec, *files = refs
    cards = [
        ModelVersion(
            name="m",
            version=number,
            files={"model.onnx": model},
            signature=Signature(inputs=(), outputs=()),
            sample=sample,
            created_at=now,
        )
        for number, model, sample in ((1, *files[:2]), (2, *files[2:]))
    ]
    held = [blobs.put_bytes(card.model_dump_json().encode()) for card in cards]
    serving, shadow = (WantedModel(name="m", version=number, card=card) for number, card in enumerate(held, 1))
    pipeline = WantedPipeline(name="p", version=1, spec=spec, models={"m": serving}, shadows={"m": shadow})
    assert set(blobs_of_pipelines([pipeline], blobs)) == {*refs, *held}
