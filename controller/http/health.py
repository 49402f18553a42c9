"""Is it alive, is it ready, and how much has it done: without a token, for probes and for Prometheus."""

import asyncio
import shutil

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CollectorRegistry
from sqlmodel import Session

from controller.http.services import Parts, Services
from controller.metrics import ControllerMetrics
from controller.stores.edges import list_edges
from schemas.views import Health, Page

router = APIRouter(tags=["health"])

_LITTLE_DISK_BYTES = 500 * 1024 * 1024
_DATABASE_S = 5.0


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
async def ready(parts: Parts, response: Response) -> Page[Health]:
    """Whether it can do its work: 503 and the reason if it cannot."""
    checks = (await _database(parts), _broker(parts), _disk(parts))
    response.status_code = 200 if all(check.ok for check in checks) else 503
    return Page(items=checks)


@router.get("/metrics")
async def metrics(parts: Parts) -> Response:
    """Counts and gauges in Prometheus's text format."""

    def render(session: Session) -> bytes:
        registry = CollectorRegistry()
        registry.register(ControllerMetrics(session, parts.collections, parts.retention.freed))
        return generate_latest(registry)

    return Response(await parts.database.read(render), media_type=CONTENT_TYPE_LATEST)


async def _database(parts: Services) -> Health:
    try:
        async with asyncio.timeout(_DATABASE_S):
            edges = await parts.database.read(list_edges)
    except TimeoutError:
        return Health(name="database", ok=False, detail=f"no answer within {_DATABASE_S:g} s; it is tried again")
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, the answer is that it does not work
        return Health(name="database", ok=False, detail=str(error))
    return Health(name="database", ok=True, detail=f"{len(edges)} edges enrolled")


def _broker(parts: Services) -> Health:
    where = f"{parts.broker.host}:{parts.broker.port}"
    if parts.link.connected:
        return Health(name="broker", ok=True, detail=where)
    return Health(name="broker", ok=False, detail=f"no connection to {where}; it is tried again and again")


def _disk(parts: Services) -> Health:
    free = shutil.disk_usage(parts.settings.data_dir).free
    detail = f"{free // 1024**2} MB free in {parts.settings.data_dir}"
    return Health(name="disk", ok=free >= _LITTLE_DISK_BYTES, detail=detail)
