"""What did not fit a collection: the newest rejects are kept, all are counted."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from controller.data.payloads import Rejected
from controller.stores.collection_tables import collections, rejects
from schemas.views import Reject

KEPT = 1000
"""Rejects kept for each collection."""


def add(connection: Connection, *, name: str, put_aside: Sequence[Rejected], at: str) -> None:
    """Keep and count rejects in the caller's transaction."""
    if not put_aside:
        return
    kept = [
        {
            "collection": name,
            "at": at,
            "source": one.source,
            "reason": _storable(one.reason),
            "payload": _storable(one.payload),
        }
        for one in put_aside[-KEPT:]
    ]
    connection.execute(insert(rejects), kept)
    of_collection = rejects.c.collection == name
    newest_dropped = select(rejects.c.id).where(of_collection).order_by(rejects.c.id.desc()).offset(KEPT).limit(1)
    connection.execute(delete(rejects).where(of_collection, rejects.c.id <= newest_dropped.scalar_subquery()))
    counted = update(collections).where(collections.c.name == name)
    connection.execute(counted.values(rejects=collections.c.rejects + len(put_aside)))


def newest(connection: Connection, *, name: str, limit: int) -> list[Reject]:
    """Up to ``limit`` rejects, newest first."""
    wanted = select(rejects).where(rejects.c.collection == name).order_by(rejects.c.id.desc()).limit(limit)
    return [
        Reject(at=datetime.fromisoformat(row.at), source=row.source, reason=row.reason, payload=row.payload)
        for row in connection.execute(wanted)
    ]


def _storable(text: str) -> str:
    """Any text as PostgreSQL takes it: without zero bytes, which anybody may publish."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
