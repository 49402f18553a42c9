"""Has a version measured as its gate asks, and judges it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from controller.checking.model_folders import lay_out
from controller.gates.checks import Case
from controller.gates.frozen_rows import FrozenRows
from controller.gates.judging import judge
from controller.gates.scorer import Scorer
from controller.gates.scoring_task import Rival, Scores, ScoringTask
from controller.inference_pipelines import UnknownFeatures, Wish, propose
from controller.training import trained_on
from schemas.errors import NotFound
from schemas.gates import GateResult, Rescore
from schemas.models import MODEL_FILE, ModelVersion
from transport.blob_store import BlobDirectory

LABELS_FILE = "labels.json"


class Gatekeeper:
    """Decides about versions before they are registered; what it finds is saved with them."""

    def __init__(self, blobs: BlobDirectory, scorer: Scorer, *, clock: Callable[[], datetime]) -> None:
        self._blobs, self._scorer, self._clock = blobs, scorer, clock

    async def judge(self, case: Case, frozen: FrozenRows | None) -> GateResult:
        """What the gate says of a new version, which a rescore asks about these rows."""
        if case.gate.measures and case.card.lineage.reproduces is None:
            case = replace(case, scores=await self._measure(case, frozen))
        return judge(case, self._clock())

    async def _measure(self, case: Case, frozen: FrozenRows | None) -> Scores:
        gate, card, champion = case.gate, case.card, case.champion
        rescore, asked = gate.rescore, frozen if gate.rescore else None
        if asked is None and gate.budgets is None:  # nothing would be measured
            return Scores()
        try:
            features = await asyncio.to_thread(self._features, rescore, card, asked) if rescore and asked else ()
            rows = self._blobs.path(asked.holdout.blob.digest) if asked else None
        except (NotFound, UnknownFeatures) as error:
            return Scores(trouble=str(error))
        try:
            with self._blobs.scratch() as folder:
                candidate = await asyncio.to_thread(self._rival, card, folder / "candidate")
                rival = await asyncio.to_thread(self._rival, champion, folder / "champion") if champion else None
                task = ScoringTask(
                    candidate=candidate,
                    champion=rival,
                    rescore=rescore,
                    features=features,
                    rows=rows,
                    format=asked.holdout.format if asked else "json",
                    budgets=gate.budgets is not None,
                )
                return await self._scorer.score(task)
        except (NotFound, OSError, ValueError) as error:  # a full disk, labels that are no JSON: a person looks at it
            return Scores(trouble=f"the versions could not be made ready to be asked: {error}")

    def _features(self, rescore: Rescore, card: ModelVersion, asked: FrozenRows) -> tuple[str, ...]:
        """The columns that are the model's inputs, in its order. Raises UnknownFeatures."""
        if rescore.features:
            return rescore.features
        proposed = propose(card, card.name, Wish(), trained_on(asked.card, asked.job, self._blobs))
        found = next((node.params.get("features") for node in proposed.spec.nodes if node.type == "model"), None)
        if not isinstance(found, list):
            raise UnknownFeatures(
                f"which columns {card.name}:{card.version} takes cannot be told; name them in gate.rescore.features"
            )
        return tuple(str(name) for name in found)

    def _rival(self, card: ModelVersion, folder: Path) -> Rival:
        """The version as files below that folder, unless its model is one file, which then stays where it is."""
        names, labels = card.files.get(LABELS_FILE), folder / "names.json"
        folder.mkdir()
        if names is not None:
            found = json.loads(self._blobs.read_bytes(names.digest, names.size_bytes))
            labels.write_text(json.dumps([str(name) for name in found]) if isinstance(found, list) else "[]")
        files = {name: self._blobs.path(ref.digest) for name, ref in card.files.items()}
        model = files[MODEL_FILE]
        if files.keys() - {MODEL_FILE, LABELS_FILE}:  # which may be its weights
            lay_out(folder / "files", files)
            model = folder / "files" / MODEL_FILE
        return Rival(model=model, labels=labels if names else None)
