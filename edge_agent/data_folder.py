"""Where the agent keeps things on this machine."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The layout of ``data_dir``."""

    root: Path

    @property
    def journal(self) -> Path:
        """What must survive a crash."""
        return self.root / "journal.sqlite"

    @property
    def pipeline_sessions(self) -> Path:
        """Which pipelines the broker keeps messages for."""
        return self.root / "pipeline_sessions.json"

    @property
    def pipeline_states(self) -> Path:
        """What nodes of pipelines must not lose, in a folder for each worker."""
        return self.root / "pipeline_states"

    @property
    def cut_off(self) -> Path:
        """Since when there is no contact to the controller; is not there while there is."""
        return self.root / "cut_off_since"

    @property
    def blobs(self) -> Path:
        """Bytes by digest."""
        return self.root / "blobs"

    @property
    def tasks(self) -> Path:
        """One folder for each attempt while it is worked on."""
        return self.root / "tasks"

    @property
    def environments(self) -> Path:
        """Installed requirements, shared by tasks."""
        return self.root / "environments"

    @property
    def models(self) -> Path:
        """``<name>/<version>/model.onnx`` of every wanted model."""
        return self.root / "models"

    @property
    def libraries(self) -> Path:
        """``<digest>/<name>.py`` of every wanted library."""
        return self.root / "libraries"
