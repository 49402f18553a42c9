"""The requests about edges, and the keys by which they know the controller."""

from schemas.views import EdgeView, EnrolledEdge, KeyView, Page, RekeyedEdge
from tidemill.asking import Asking, path_of, read_as


class EdgeRequests(Asking):
    """One method for each request; see ``Client``."""

    def edges(self) -> list[EdgeView]:
        """Every enrolled edge."""
        return list(self._all("edges", EdgeView))

    def edge(self, name: str) -> EdgeView:
        """One edge."""
        return self._one(path_of("edges", name), EdgeView)

    def add_edge(self, name: str, labels: dict[str, str]) -> EnrolledEdge:
        """Enrol an edge; its credentials are told this once."""
        document = {"name": name, "labels": labels}
        return read_as(EnrolledEdge, self._exchange.send("POST", "edges", document=document))

    def label_edge(self, name: str, labels: dict[str, str]) -> EdgeView:
        """Give an edge these labels in place of those that it has."""
        return read_as(EdgeView, self._exchange.send("PUT", path_of("edges", name, "labels"), document=labels))

    def rekey_edge(self, name: str) -> RekeyedEdge:
        """Give an edge a new key for secrets; its private half is told this once."""
        return read_as(RekeyedEdge, self._exchange.send("POST", path_of("edges", name, "rekey")))

    def re_enrol_edge(self, name: str) -> EnrolledEdge:
        """Give an edge new credentials; the old ones are of no use from then on. They are told this once."""
        return read_as(EnrolledEdge, self._exchange.send("POST", path_of("edges", name, "re-enrol")))

    def revoke_edge(self, name: str, reason: str = "") -> EdgeView:
        """Have nothing to do with an edge any more: it ends everything, and its credentials are of no use."""
        return read_as(
            EdgeView, self._exchange.send("POST", path_of("edges", name, "revoke"), document={"reason": reason})
        )

    def remove_edge(self, name: str) -> None:
        """Forget an edge that nothing names."""
        self._exchange.send("DELETE", path_of("edges", name))

    def keys(self) -> list[KeyView]:
        """The controller's signing keys, the newest first."""
        return list(self._all("keys", KeyView))

    def rotate_key(self) -> list[KeyView]:
        """Make a new signing key; returns all."""
        return list(read_as(Page[KeyView], self._exchange.send("POST", "keys/rotate")).items)

    def retire_key(self, key_id: str, *, force: bool = False) -> list[KeyView]:
        """Have no edge take what an older key signs; returns all."""
        path = f"{path_of('keys', key_id, 'retire')}?force={str(force).lower()}"
        return list(read_as(Page[KeyView], self._exchange.send("POST", path)).items)
