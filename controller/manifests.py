"""Publishes to each edge what should be there: signed, with a generation that only grows."""

import asyncio
import logging

from sqlmodel import Session

from controller.signing_keys import SigningKeys
from controller.stores.database import Database
from controller.stores.edges import get_edge, list_edges, report_of
from controller.stores.tables import EdgeRow
from controller.wanted import wanted_on
from schemas.errors import NotFound, TooLarge, Unreachable
from schemas.manifest import Manifest
from schemas.topics import MANIFEST
from transport.mqtt import Link
from transport.signing import SigningKey

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 1.0  # after the broker or the database did not answer


class Manifests:
    """Keeps every edge's published manifest equal to what the database wants."""

    def __init__(self, database: Database, keys: SigningKeys, link: Link) -> None:
        self._database, self._keys, self._link = database, keys, link
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

    def signed_with(self, session: Session) -> dict[str, list[str]]:
        """By key id, the edges whose manifests are signed with that key."""
        found: dict[str, list[str]] = {}
        for row in list_edges(session):
            if row.revoked_at is None:
                found.setdefault(self.key_for(row).key_id, []).append(row.name)
        return found

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
        manifest, key = self._manifest(session, row), self.key_for(row)
        content = manifest.model_dump_json(exclude={"sent_at", "generation"})
        unchanged = row.wanted == content and row.signing_key_id == key.key_id
        if row.signed and unchanged and _seen(row) <= row.generation:
            return row.signed if again else None
        row.generation = max(row.generation, _seen(row)) + 1
        row.wanted, row.signing_key_id = content, key.key_id
        row.signed = key.sign(manifest.model_copy(update={"generation": row.generation})).model_dump_json()
        session.add(row)
        return row.signed

    def key_for(self, row: EdgeRow) -> SigningKey:
        """The key to sign an edge's manifests with; another one than the last, once it trusts a newer one."""
        report = report_of(row)
        return self._keys.for_edge(trusts=report.trusts if report else (), pinned=row.signing_key_id)

    def _manifest(self, session: Session, row: EdgeRow) -> Manifest:
        """What an edge should be told now, as generation 0."""
        facts = {
            "trusted_keys": self._keys.public_keys,
            "retired_keys": self._keys.retired,
            "revoked": row.revoked_at is not None,
        }
        return wanted_on(session, row).manifest(row.name, 0).model_copy(update=facts)


def _seen(row: EdgeRow) -> int:
    """The generation that the edge reports; later than ours when this database was restored from an older copy."""
    report = report_of(row)
    return report.generation if report else 0
