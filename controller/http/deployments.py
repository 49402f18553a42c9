"""Deployments: whether what they wish is so, their rollouts, and what people order of these."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import PositiveInt
from sqlmodel import Session

from controller.http.services import Parts
from controller.rollouts import orders
from controller.rollouts.view import deployment_view, rollout_view
from controller.stores.rollouts import newest_rollout, rollouts
from controller.stores.serving import get_deployment, list_deployments
from controller.stores.serving_changes import delete_deployment
from schemas.deployment_views import DeploymentView, RolloutView
from schemas.errors import BadInput
from schemas.pipeline_views import Undeployed
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["deployments"])

IfMatch = Annotated[str | None, Header()]


class Order(Written):
    """Why, for the timeline."""

    reason: str = ""


class Rollback(Order):
    """Which rollout's content to go back to; by default the last that was done with another one."""

    to: PositiveInt | None = None


@router.get("/deployments")
async def all_deployments(parts: Parts) -> Page[DeploymentView]:
    """Every deployment, and whether what it wishes is so."""
    items = await parts.database.read(
        lambda session: [deployment_view(session, spec) for spec in list_deployments(session)]
    )
    return Page(items=tuple(items))


@router.get("/deployments/{name}")
async def one_deployment(name: str, parts: Parts, response: Response) -> DeploymentView:
    """One deployment. Its entity tag changes with its newest rollout; orders take it as If-Match."""

    def look(session: Session) -> tuple[DeploymentView, int | None]:
        newest = newest_rollout(session, deployment=name)
        tag = orders.tag_of(newest) if newest else None
        return deployment_view(session, get_deployment(session, name=name)), tag

    view, tag = await parts.database.read(look)
    if tag is not None:
        response.headers["ETag"] = f'"{tag}"'
    return view


@router.get("/deployments/{name}/rollouts")
async def all_rollouts(name: str, parts: Parts) -> Page[RolloutView]:
    """A deployment's rollouts, newest first."""

    def look(session: Session) -> list[RolloutView]:
        get_deployment(session, name=name)
        return [rollout_view(row) for row in rollouts(session, deployment=name)]

    return Page(items=tuple(await parts.database.read(look)))


@router.post("/deployments/{name}/approve")
async def approve(name: str, order: Order, parts: Parts, if_match: IfMatch = None) -> DeploymentView:
    """Let a rollout that waits for a person begin, or go on behind its canary."""
    return await _ordered(name, parts, partial(orders.approve, reason=order.reason, revision=_tag(if_match)))


@router.post("/deployments/{name}/pause")
async def pause(name: str, order: Order, parts: Parts, if_match: IfMatch = None) -> DeploymentView:
    """Change no further edge until it is resumed."""
    return await _ordered(name, parts, partial(orders.pause, reason=order.reason, revision=_tag(if_match)))


@router.post("/deployments/{name}/resume")
async def resume(name: str, order: Order, parts: Parts, if_match: IfMatch = None) -> DeploymentView:
    """Go on with a rollout that was paused."""
    return await _ordered(name, parts, partial(orders.resume, reason=order.reason, revision=_tag(if_match)))


@router.post("/deployments/{name}/abort")
async def abort(name: str, order: Order, parts: Parts, if_match: IfMatch = None) -> DeploymentView:
    """Have all edges that were told of a rollout go back to what they had before."""
    return await _ordered(name, parts, partial(orders.abort, reason=order.reason, revision=_tag(if_match)))


@router.post("/deployments/{name}/rollback")
async def rollback(name: str, order: Rollback, parts: Parts, if_match: IfMatch = None) -> DeploymentView:
    """Move all edges at once to what they had before, or to what rollout ``to`` had."""
    change = partial(orders.rollback, to=order.to, reason=order.reason, revision=_tag(if_match))
    return await _ordered(name, parts, change)


@router.delete("/deployments/{name}")
async def remove_deployment(name: str, parts: Parts) -> Undeployed:
    """Delete a deployment; its edges let go of what no other deployment wants there."""
    return await parts.fleet.remove(lambda session: delete_deployment(session, name=name))


async def _ordered(name: str, parts: Parts, change: Callable[..., object]) -> DeploymentView:
    def carry_out(session: Session, now: datetime) -> None:
        change(session, name, now=now)

    await parts.rollouts.order(carry_out)
    return await parts.database.read(lambda session: deployment_view(session, get_deployment(session, name=name)))


def _tag(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise BadInput(f"If-Match {if_match!r} is no entity tag of a deployment; GET it to see its own")
    return int(text)
