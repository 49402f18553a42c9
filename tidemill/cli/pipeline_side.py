"""A pipeline file with the files that it refers to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemill.cli.pipeline_file import read_pipeline
from tidemill.cli.pipeline_options import GivenFiles, files_by_name
from tidemill.replay.player import Prepared
from tidemill.replay.replaying import refuse_effects


@dataclass(frozen=True, slots=True)
class Side:
    """What a person named."""

    file: Path
    models: GivenFiles
    libraries: GivenFiles

    def changed(self, file: Path | None, models: Sequence[str], libraries: Sequence[str]) -> "Side | None":
        """The same with another file, or other models or libraries; None when there is nothing else."""
        if file is None and not models and not libraries:
            return None
        other_models, other_libraries = {"--against-model": models}, {"--against-library": libraries}
        return Side(file or self.file, {**self.models, **other_models}, {**self.libraries, **other_libraries})

    def prepare(self, *others: "Side", allow_effects: bool) -> Prepared:
        """Check it; names that only one of the others needs are no mistake.

        Raises:
            BadInput: the pipeline is wrong, reaches out, or needs a file that is not there.
        """
        _, plan = read_pipeline(self.file)
        if not allow_effects:
            refuse_effects(plan)
        elsewhere = [read_pipeline(side.file)[1] for side in others if side.file != self.file]
        other_models = frozenset[str]().union(*(other.models for other in elsewhere))
        other_libraries = frozenset[str]().union(*(other.libraries for other in elsewhere))
        models = files_by_name(self.models, plan.models, other_models)
        libraries = files_by_name(self.libraries, plan.libraries, other_libraries)
        return Prepared(plan, models, libraries)
