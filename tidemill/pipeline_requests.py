"""The requests about pipelines, what runs them, and what they are made of."""

from collections.abc import Sequence

from schemas.pipeline_views import (
    DeletedPipeline,
    LibraryView,
    NodeTypeView,
    PipelineDifference,
    PipelineVersionView,
    PipelineView,
    ProposedPipeline,
)
from schemas.pipelines import Outcome
from tidemill.asking import Asking, path_of, read_as
from tidemill.exchange import Query


class PipelineRequests(Asking):
    """One method for each request; see ``Client``."""

    def pipelines(self) -> list[PipelineView]:
        """Every pipeline's newest version."""
        return list(self._all("pipelines", PipelineView))

    def pipeline(self, name: str) -> PipelineView:
        """One pipeline's newest version."""
        return self._one(path_of("pipelines", name), PipelineView)

    def pipeline_versions(self, name: str) -> list[PipelineVersionView]:
        """A pipeline's versions, newest first."""
        return list(self._all(path_of("pipelines", name, "versions"), PipelineVersionView))

    def pipeline_version(self, name: str, version: int) -> PipelineVersionView:
        """One version of a pipeline."""
        return self._one(path_of("pipelines", name, "versions", str(version)), PipelineVersionView)

    def pipeline_changes(self, name: str, *, old: int, new: int) -> PipelineDifference:
        """What is different between two versions."""
        path = path_of("pipelines", name, "versions", str(new), "changes")
        return read_as(PipelineDifference, self._exchange.get(path, {"since": old}))

    def delete_pipeline(self, name: str, *, undeploy: bool = False) -> DeletedPipeline:
        """Delete a pipeline in all its versions, its deployments with it if ``undeploy``."""
        answer = self._exchange.send("DELETE", path_of("pipelines", name), query={"undeploy": undeploy})
        return read_as(DeletedPipeline, answer)

    def propose_pipeline(
        self,
        model: str,
        *,
        name: str | None = None,
        read: str | None = None,
        write: str | None = None,
        features: Sequence[str] = (),
        lists: bool = False,
    ) -> ProposedPipeline:
        """A pipeline that answers messages with a model; nothing is made of it yet."""
        query: Query = {"name": name, "read": read, "write": write, "features": list(features), "lists": lists}
        return read_as(ProposedPipeline, self._exchange.get(path_of("models", model, "pipeline"), query))

    def outcomes(self, pipeline: str, *, edge: str | None, limit: int) -> list[Outcome]:
        """What became of a pipeline's last messages on an edge, newest first."""
        return list(self._all(path_of("pipelines", pipeline, "outcomes"), Outcome, {"edge": edge, "limit": limit}))

    def node_types(self) -> list[NodeTypeView]:
        """Every node type that the controller knows."""
        return list(self._all("node-types", NodeTypeView))

    def libraries(self) -> list[LibraryView]:
        """Every library's newest version."""
        return list(self._all("libraries", LibraryView))
