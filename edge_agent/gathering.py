"""What the report says, asked of those who know."""

from datetime import UTC, datetime
from importlib.metadata import version

from edge_agent.capabilities import capabilities, disk_free_bytes, load_per_cpu
from edge_agent.manifests import ManifestIntake
from edge_agent.serving.deployments import Deployments
from edge_agent.settings import AgentSettings
from edge_agent.tasks.board import TaskBoard
from schemas.report import Report


class Gatherer:
    """Makes reports."""

    def __init__(
        self,
        settings: AgentSettings,
        session_id: str,
        intake: ManifestIntake,
        board: TaskBoard,
        deployments: Deployments,
    ) -> None:
        self._settings, self._session_id = settings, session_id
        self._intake, self._board, self._deployments = intake, board, deployments
        self._version = version("tidemill")
        self._started_at = datetime.now(UTC)
        self._capabilities = capabilities(executor=settings.executor, max_tasks=settings.max_tasks)

    def report(self) -> Report:
        """Everything that is true here now."""
        return Report(
            edge=self._settings.edge,
            session_id=self._session_id,
            generation=self._intake.generation,
            agent_version=self._version,
            started_at=self._started_at,
            capabilities=self._capabilities,
            models=self._deployments.model_statuses(),
            pipelines=self._deployments.pipeline_statuses(),
            tasks=self._board.statuses(),
            disk_free_bytes=disk_free_bytes(self._settings.data_dir),
            load=load_per_cpu(),
            refused=self._intake.refused,
            trusts=tuple(sorted(self._intake.trusted)),
        )
