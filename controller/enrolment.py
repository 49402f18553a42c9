"""Enrols edges: a row, an account at the broker, and the configuration that their agents need."""

import json
import secrets
from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from controller.brokers.access import BrokerAccess
from controller.brokers.accounts import OWN_USERS
from controller.brokers.edge_accounts import EdgeAccounts
from controller.signing_keys import SigningKeys
from controller.stores.changes import note_change
from controller.stores.database import Database
from controller.stores.edges import add_edge, get_edge, refuse_known
from controller.stores.tables import EdgeRow
from schemas.errors import Conflict
from transport.sealing import SealingKey


class Enrolment:
    """Where edges are added."""

    def __init__(
        self,
        database: Database,
        keys: SigningKeys,
        broker: BrokerAccess,
        accounts: EdgeAccounts | None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._keys, self._broker, self._clock = database, keys, broker, clock
        self._accounts = accounts

    async def add(self, name: str, labels: dict[str, str]) -> tuple[EdgeRow, str]:
        """Enrol an edge: its row, and its agent's configuration as TOML.

        Raises:
            Conflict: there is an edge of that name, or an account of the broker's.
        """
        if name in OWN_USERS:
            raise Conflict(f"{name!r} is an account that the broker has for others; choose another name")
        await self._database.read(lambda session: refuse_known(session, name=name))
        # The row comes last: whatever breaks before it, the edge can be added again.
        username, password = await self._credentials(name)
        sealing = SealingKey.create()
        row = await self._database.write(
            lambda session: add_edge(
                session, name=name, labels=labels, sealing_key=sealing.public_key, now=self._clock()
            )
        )
        return row, self._config(name, username, password, sealing)

    async def again(self, name: str) -> tuple[EdgeRow, str]:
        """Enrol an edge anew, revoked or not: with a new password and a new key for secrets; the old ones are void.

        Raises:
            NotFound: there is no such edge.
        """
        await self._database.read(lambda session: get_edge(session, name=name))
        username, password = await self._credentials(name)
        sealing = SealingKey.create()

        def save(session: Session) -> EdgeRow:
            row = get_edge(session, name=name)
            row.sealing_key, row.revoked_at = sealing.public_key, None
            row.signing_key_id = self._keys.newest.key_id  # which the new configuration pins
            row.report = None  # of before, when it may have trusted another
            note_change(session, kind="enrolled", subject=f"edge {name}", what="again", at=self._clock(), edge=name)
            session.add(row)
            return row

        row = await self._database.write(save)
        return row, self._config(name, username, password, sealing)

    async def rekey(self, name: str) -> str:
        """Give an edge a new key for secrets: the TOML line with its private half, which is kept nowhere here.

        Secrets are sealed to the new key at once. The key is made here and carried by a person, as it is at enrolment.
        It is never learnt from the broker, which is not trusted: whoever can publish there would be sent secrets
        sealed to a key of his own.

        Raises:
            NotFound: there is no such edge.
        """
        sealing = SealingKey.create()

        def save(session: Session) -> None:
            row = get_edge(session, name=name)
            row.sealing_key = sealing.public_key
            session.add(row)

        await self._database.write(save)
        return _sealing_line(sealing)

    async def _credentials(self, name: str) -> tuple[str, str]:
        if self._accounts is not None:
            return name, await self._accounts.add(name)
        shared = self._broker.for_edges.credentials
        if self._broker.embedded and shared is not None:
            return shared
        return name, secrets.token_urlsafe(24)

    def _config(self, name: str, username: str, password: str, sealing: SealingKey) -> str:
        note = (
            ""
            if self._broker.embedded or self._accounts
            else "# The broker must know this account; for Mosquitto: mosquitto_passwd\n"
        )
        tls = f"ca_file = {json.dumps(str(self._broker.for_edges.ca_file))}\n" if self._broker.for_edges.ca_file else ""
        return f"""\
# Configuration of the Tidemill agent on {name}; start it with: tidemill agent --config {name}.toml
# This file holds a password and a private key: keep it readable by the agent alone.
edge = {json.dumps(name)}
controller_public_key = {json.dumps(self._keys.newest.public_key)}
{_sealing_line(sealing)}
[broker]
{note}url = {json.dumps(self._broker.for_edges.url)}
username = {json.dumps(username)}
password = {json.dumps(password)}
{tls}"""


def _sealing_line(key: SealingKey) -> str:
    return f"sealing_key = {json.dumps(key.private_key)}\n"
