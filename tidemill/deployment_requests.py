"""The requests about deployments and their rollouts."""

from typing import Literal

from schemas.deployment_views import DeploymentView, RolloutView
from schemas.errors import Stale
from schemas.pipeline_views import Undeployed
from tidemill.asking import Asking, path_of, read_as

Order = Literal["approve", "pause", "resume", "abort", "rollback"]


class DeploymentRequests(Asking):
    """One method for each request; see ``Client``."""

    def deployments(self) -> list[DeploymentView]:
        """Every deployment, and whether what it wishes is so."""
        return list(self._all("deployments", DeploymentView))

    def deployment(self, name: str) -> DeploymentView:
        """One deployment."""
        return self._one(path_of("deployments", name), DeploymentView)

    def rollouts(self, name: str) -> list[RolloutView]:
        """A deployment's rollouts, newest first."""
        return list(self._all(path_of("deployments", name, "rollouts"), RolloutView))

    def order(
        self, name: str, order: Order, reason: str = "", *, to: int | None = None, rollout: int | None = None
    ) -> DeploymentView:
        """Have something done about the deployment's newest rollout, as it is at the moment.

        Args:
            name: the deployment.
            order: what to do.
            reason: for the timeline.
            to: of ``rollback``, the rollout whose content to go back to.
            rollout: the one that is meant; None: whichever is the newest.

        Raises:
            Stale: another one came meanwhile, or it is not as it was.
        """
        headers = {} if rollout is None else {"If-Match": self._tag_of(name, rollout)}
        document: dict[str, object] = {"reason": reason} if to is None else {"reason": reason, "to": to}
        path = path_of("deployments", name, order)
        return read_as(DeploymentView, self._exchange.send("POST", path, document=document, headers=headers))

    def _tag_of(self, name: str, rollout: int) -> str:
        """The deployment's entity tag, while that rollout is its newest."""
        answer = self._exchange.get(path_of("deployments", name))
        newest = read_as(DeploymentView, answer).rollout
        if newest is None or newest.number != rollout:
            raise Stale(f"the newest rollout of {name} is {newest.number if newest else 'none'}, not {rollout}")
        return answer.headers["ETag"]

    def delete_deployment(self, name: str) -> Undeployed:
        """Delete a deployment."""
        return read_as(Undeployed, self._exchange.send("DELETE", path_of("deployments", name)))
