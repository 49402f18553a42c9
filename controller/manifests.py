"""Publishes to each edge what should be there: signed, with a generation that only grows."""

import asyncio
import logging

from sqlmodel import Session

from controller.stores.database import Database
from controller.stores.edges import get_edge, list_edges, report_of
from controller.stores.tables import EdgeRow
from controller.wanted import users_of, wanted_on
from schemas.errors import NotFound, TooLarge, Unreachable
from schemas.topics import MANIFEST
from transport.mqtt import Link
from transport.signing import SigningKey

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 1.0  # after the broker or the database did not answer


class Manifests:
    """Keeps every edge's published manifest equal to what the database wants."""

    def __init__(self, database: Database, key: SigningKey, link: Link) -> None:
        self._database, self._key, self._link = database, key, link
        self._dirty: dict[str, bool] = {}  # edge → publish even if nothing changed; looked at in this order
        self._later: dict[str, bool] = {}  # the same, behind those of which it is known that something changed
        self._wake = asyncio.Event()

    def mark(self, edge: str, *, again: bool = False) -> None:
        """Look at an edge soon; with ``again`` publish its manifest even if it is the same."""
        self._dirty[edge] = again or self._dirty.get(edge, False)
        self._wake.set()

    async def mark_all(self, *, again: bool = False) -> None:
        """Look at every edge soon, at those that were marked by themselves first."""
        for name in await self._database.read(lambda session: [row.name for row in list_edges(session)]):
            self._later[name] = again or self._later.get(name, False)
        self._wake.set()

    async def mark_users(self, model: str) -> None:
        """Look soon at the edges that should hold a model, by itself or for a pipeline."""
        for name in await self._database.read(lambda session: users_of(session, model)):
            self.mark(name)

    async def serve(self) -> None:
        """Publish what changed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while waiting := self._dirty or self._later:
                edge = next(iter(waiting))
                again = waiting.pop(edge)
                try:
                    await self._publish(edge, again=again)
                except Unreachable as error:  # what changed may not even be saved: nobody would mark the edge again
                    log.warning("manifest is published later", extra={"edge": edge, "reason": str(error)})
                    self.mark(edge, again=True)
                    await asyncio.sleep(AGAIN_AFTER_S)
                except TooLarge as error:  # the other edges must not go without theirs
                    log.error("manifest not published", extra={"edge": edge, "reason": str(error)})  # noqa: TRY400

    async def _publish(self, edge: str, *, again: bool) -> None:
        try:
            signed = await self._database.write(lambda session: self._sign(session, edge, again=again))
        except NotFound:  # the edge was removed meanwhile
            return
        if signed is not None:
            await self._link.publish(MANIFEST.to(edge=edge), signed.encode(), retain=True)

    def _sign(self, session: Session, edge: str, *, again: bool) -> str | None:
        """The signed manifest to publish, saved with its new generation first; None if there is nothing to say."""
        row = get_edge(session, name=edge)
        wanted = wanted_on(session, row)
        content = wanted.manifest(edge, 0).model_dump_json(exclude={"sent_at", "generation"})
        if row.signed and row.wanted == content and _seen(row) <= row.generation:
            return row.signed if again else None
        row.generation = max(row.generation, _seen(row)) + 1
        row.wanted = content
        row.signed = self._key.sign(wanted.manifest(edge, row.generation)).model_dump_json()
        session.add(row)
        return row.signed


def _seen(row: EdgeRow) -> int:
    """The generation that the edge reports; later than ours when this database was restored from an older copy."""
    report = report_of(row)
    return report.generation if report else 0
