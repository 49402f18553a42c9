"""Metrics over the versions of a model, read from their cards without reading all of these."""

import json
from datetime import datetime

from sqlmodel import Session, col, select

from controller.stores.models import get_model
from controller.stores.tables import VersionRow
from schemas.model_views import MetricPoint, MetricsView


def metrics_view(session: Session, name: str, metric: str | None) -> MetricsView:
    """Each metric over the versions that have it, or one of them; oldest first. Raises NotFound."""
    get_model(session, name=name)
    wanted = select(VersionRow.version, VersionRow.created_at, VersionRow.card).where(VersionRow.model == name)
    found: dict[str, list[MetricPoint]] = {}
    for version, created_at, card in session.exec(wanted.order_by(col(VersionRow.version))):
        for key, value in _metrics(card, metric):
            found.setdefault(key, []).append(_point(version, created_at, value))
    return MetricsView(name=name, metrics={key: tuple(points) for key, points in sorted(found.items())})


def _metrics(card: str, metric: str | None) -> list[tuple[str, float]]:
    metrics: dict[str, float] = json.loads(card).get("metrics", {})
    return [(key, value) for key, value in metrics.items() if metric in {None, key}]


def _point(version: int, created_at: datetime, value: float) -> MetricPoint:
    return MetricPoint(version=version, created_at=created_at, value=value)
