"""Ends what the controller has to do with an edge: at once if it is there, and for good at the broker.

revoked in the database ─▶ told so by its manifest ─▶ it lets go, or GRACE_S are over ─▶ its account is removed
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sqlmodel import Session, select

from controller.brokers.edge_accounts import EdgeAccounts
from controller.manifests import Manifests
from controller.runs.steps import Gone
from controller.runs.supervisor import Supervisor
from controller.stores.changes import note_change
from controller.stores.database import Database
from controller.stores.edge_removal import refuse_needed, remove_edge
from controller.stores.edges import get_edge, report_of
from controller.stores.tables import EdgeRow
from schemas.errors import NotFound, Unreachable
from schemas.topics import MANIFEST, PRESENCE, REPORT
from transport.mqtt import Link

GRACE_S = 3.0  # for an edge that is there to let go, before it can be told nothing any more
LOOK_S = 0.1


class Revocation:
    """Who is revoked, and how one comes to be."""

    def __init__(
        self,
        database: Database,
        manifests: Manifests,
        supervisor: Supervisor,
        accounts: EdgeAccounts | None,
        link: Link,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._manifests, self._supervisor = database, manifests, supervisor
        self._accounts, self._link, self._clock = accounts, link, clock
        self.names: set[str] = set()  # nothing that comes from these is taken, and no blob is sent to them

    async def load(self) -> None:
        """Learn who is revoked."""
        self.names |= set(await self._database.read(_revoked))

    async def finish(self) -> None:
        """Remove the accounts that a crash, or a broker that was away, left behind. Raises Unreachable."""
        for name in sorted(self.names):
            await self._forget_account(name)

    async def revoke(self, name: str, reason: str) -> EdgeRow:
        """Have nothing to do with an edge any more; saying so again changes nothing. Raises NotFound."""

        def save(session: Session) -> None:
            row = get_edge(session, name=name)
            if row.revoked_at is None:
                row.revoked_at = now = self._clock()
                session.add(row)
                note_change(session, kind="revoked", subject=f"edge {name}", what="", at=now, edge=name, cause=reason)

        await self._database.write(save)
        self.names.add(name)
        self._manifests.mark(name)
        for run in self._supervisor.runs_on(name):
            await self._supervisor.step(run.id, Gone(run.attempt, f"{name} was revoked"))
        await self._wait_until_it_lets_go(name)
        await self._forget_account(name)
        return await self._database.read(lambda session: get_edge(session, name=name))

    async def remove(self, name: str) -> None:
        """Forget an edge, after having revoked it.

        Raises:
            NotFound: there is no such edge.
            Conflict: a job or a deployment names it.
        """
        await self._database.read(lambda session: refuse_needed(session, name=name))
        await self.revoke(name, "removed")
        await self._database.write(lambda session: remove_edge(session, name=name, now=self._clock()))
        with suppress(Unreachable):  # what the broker keeps is of no use to anybody
            for topic in (MANIFEST, REPORT, PRESENCE):
                await self._link.publish(topic.to(edge=name), b"", retain=True)

    def welcome(self, name: str) -> None:
        """It was enrolled again."""
        self.names.discard(name)

    async def _wait_until_it_lets_go(self, name: str) -> None:
        with suppress(TimeoutError, NotFound):
            async with asyncio.timeout(GRACE_S):
                while not await self._database.read(lambda session: _has_let_go(get_edge(session, name=name))):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)

    async def _forget_account(self, name: str) -> None:
        if self._accounts is not None:
            await self._accounts.remove(name)


def _revoked(session: Session) -> list[str]:
    return [row.name for row in session.exec(select(EdgeRow)) if row.revoked_at is not None]


def _has_let_go(row: EdgeRow) -> bool:
    """It is away, or runs nothing any more."""
    report = report_of(row)
    if not row.online or report is None:
        return True
    return '"revoked":true' in row.wanted and report.generation >= row.generation and not report.pipelines
