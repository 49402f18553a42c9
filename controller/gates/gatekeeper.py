"""Has a version measured as its gate asks, and judges it."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from controller.gates.checks import Case
from controller.gates.judging import judge
from controller.gates.scorer import Scorer
from controller.gates.scoring_task import Rival, Scores, ScoringTask
from controller.inference_pipelines import UnknownFeatures, Wish, propose
from controller.training import trained_on
from schemas.errors import NotFound
from schemas.gates import GateResult, Rescore
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, ModelVersion
from transport.blob_store import BlobDirectory

LABELS_FILE = "labels.json"


class Gatekeeper:
    """Decides about versions before they are registered; what it finds is saved with them."""

    def __init__(self, blobs: BlobDirectory, scorer: Scorer, *, clock: Callable[[], datetime]) -> None:
        self._blobs, self._scorer, self._clock = blobs, scorer, clock

    async def judge(self, job: JobSpec, card: ModelVersion, champion: ModelVersion | None) -> GateResult:
        """What the job's gate says of a new version."""
        scores = None
        if job.gate.measures and card.lineage.reproduces is None:
            rival = champion if job.update_existing else None
            scores = await self._measure(job, card, rival)
        return judge(Case(job, card, champion, scores), self._clock())

    async def _measure(self, job: JobSpec, card: ModelVersion, champion: ModelVersion | None) -> Scores:
        rescore, holdout = job.gate.rescore, card.lineage.holdout
        try:
            features = await asyncio.to_thread(self._features, rescore, card, job) if rescore else ()
            rows = self._blobs.path(holdout.blob.digest) if rescore and holdout else None
        except (NotFound, UnknownFeatures) as error:
            return Scores(trouble=str(error))
        with tempfile.TemporaryDirectory(prefix="tidemill-gate-") as folder:
            task = ScoringTask(
                candidate=self._rival(card, Path(folder) / "candidate.json"),
                champion=self._rival(champion, Path(folder) / "champion.json") if champion else None,
                rescore=rescore,
                features=features,
                rows=rows,
                format=holdout.format if holdout else "json",
                budgets=job.gate.budgets is not None,
            )
            return await self._scorer.score(task)

    def _features(self, rescore: Rescore, card: ModelVersion, job: JobSpec) -> tuple[str, ...]:
        """The columns that are the model's inputs, in its order. Raises UnknownFeatures."""
        if rescore.features:
            return rescore.features
        proposed = propose(card, card.name, Wish(), trained_on(card, job, self._blobs))
        found = next((node.params.get("features") for node in proposed.spec.nodes if node.type == "model"), None)
        if not isinstance(found, list):
            raise UnknownFeatures(
                f"which columns {card.name}:{card.version} takes cannot be told; name them in gate.rescore.features"
            )
        return tuple(str(name) for name in found)

    def _rival(self, card: ModelVersion, labels: Path) -> Rival:
        names = card.files.get(LABELS_FILE)
        if names is not None:
            found = json.loads(self._blobs.read_bytes(names.digest, names.size_bytes))
            labels.write_text(json.dumps([str(name) for name in found]) if isinstance(found, list) else "[]")
        return Rival(model=self._blobs.path(card.files[MODEL_FILE].digest), labels=labels if names else None)
