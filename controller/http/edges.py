"""Edges: enrolled, and what is known of them."""

from fastapi import APIRouter

from controller.http.services import Parts
from controller.stores.edges import get_edge, list_edges, set_labels
from controller.views import edge_view
from schemas.names import EdgeName
from schemas.views import EdgeView, EnrolledEdge, Page, RekeyedEdge
from schemas.written import Written

router = APIRouter(tags=["edges"])


class NewEdge(Written):
    """An edge to enrol."""

    name: EdgeName
    labels: dict[str, str] = {}


class Why(Written):
    """A reason, for the timeline."""

    reason: str = ""


@router.get("/edges")
async def all_edges(parts: Parts) -> Page[EdgeView]:
    """Every enrolled edge, by name."""
    rows = await parts.database.read(list_edges)
    return Page(items=tuple(edge_view(row) for row in rows))


@router.post("/edges", status_code=201)
async def add_edge(new: NewEdge, parts: Parts) -> EnrolledEdge:
    """Enrol an edge. Its credentials are told this once."""
    row, config = await parts.enrolment.add(new.name, new.labels)
    parts.manifests.mark(new.name)
    parts.rollouts.look()
    return EnrolledEdge(edge=edge_view(row), agent_config=config)


@router.get("/edges/{name}")
async def one_edge(name: str, parts: Parts) -> EdgeView:
    """One edge."""
    return edge_view(await parts.database.read(lambda session: get_edge(session, name=name)))


@router.put("/edges/{name}/labels")
async def label_edge(name: str, labels: dict[str, str], parts: Parts) -> EdgeView:
    """Give an edge these labels in place of those that it has: what is deployed or run by labels follows."""
    view = await parts.database.write(lambda session: edge_view(set_labels(session, name=name, labels=labels)))
    parts.rollouts.look()
    parts.supervisor.wake()
    return view


@router.post("/edges/{name}/revoke")
async def revoke_edge(name: str, why: Why, parts: Parts) -> EdgeView:
    """Have nothing to do with an edge any more: it ends everything, and its account at the broker is removed."""
    return edge_view(await parts.revocation.revoke(name, why.reason))


@router.post("/edges/{name}/re-enrol")
async def enrol_again(name: str, parts: Parts) -> EnrolledEdge:
    """Give an edge new credentials, told this once; the old ones are void. One that was revoked is welcome again."""
    row, config = await parts.enrolment.again(name)
    parts.revocation.welcome(name)
    parts.manifests.mark(name)
    parts.rollouts.look()
    parts.supervisor.wake()
    return EnrolledEdge(edge=edge_view(row), agent_config=config)


@router.delete("/edges/{name}", status_code=204)
async def remove_edge(name: str, parts: Parts) -> None:
    """Revoke an edge and forget it; refused while a job or a deployment names it."""
    await parts.revocation.remove(name)


@router.post("/edges/{name}/rekey")
async def rekey_edge(name: str, parts: Parts) -> RekeyedEdge:
    """Give an edge a new key for secrets. The line for its agent's configuration is told this once."""
    line = await parts.enrolment.rekey(name)
    parts.supervisor.wake()  # a run may wait for the key
    return RekeyedEdge(edge=name, agent_config=line)
