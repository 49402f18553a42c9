"""Enrols edges: a row, an account at the broker, and the configuration that their agents need."""

import asyncio
import json
import secrets
from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from controller.brokers.access import BrokerAccess
from controller.brokers.accounts import OWN_USERS, settled
from controller.stores.database import Database
from controller.stores.edges import add_edge, get_edge, refuse_known
from controller.stores.tables import EdgeRow
from schemas.errors import Conflict
from transport.mqtt import Link
from transport.sealing import SealingKey
from transport.signing import SigningKey


class Enrolment:
    """Where edges are added."""

    def __init__(
        self,
        database: Database,
        key: SigningKey,
        broker: BrokerAccess,
        link: Link,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._key, self._broker, self._link, self._clock = database, key, broker, link, clock

    async def add(self, name: str, labels: dict[str, str]) -> tuple[EdgeRow, str]:
        """Enrol an edge: its row, and its agent's configuration as TOML.

        Raises:
            Conflict: there is an edge of that name, or an account of the broker's.
        """
        if name in OWN_USERS:
            raise Conflict(f"{name!r} is an account that the broker has for others; choose another name")
        await self._database.read(lambda session: refuse_known(session, name=name))
        # The row comes last: whatever breaks before it, the edge can be added again.
        username, password = await asyncio.to_thread(self._credentials, name)
        if self._broker.accounts is not None:
            await settled(self._link)
        sealing = SealingKey.create()
        row = await self._database.write(
            lambda session: add_edge(
                session, name=name, labels=labels, sealing_key=sealing.public_key, now=self._clock()
            )
        )
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

    def _credentials(self, name: str) -> tuple[str, str]:
        if self._broker.accounts is not None:
            return name, self._broker.accounts.add(name)
        shared = self._broker.for_edges.credentials
        if self._broker.embedded and shared is not None:
            return shared
        return name, secrets.token_urlsafe(24)

    def _config(self, name: str, username: str, password: str, sealing: SealingKey) -> str:
        note = "" if self._broker.embedded else "# The broker must know this account; for Mosquitto: mosquitto_passwd\n"
        tls = f"ca_file = {json.dumps(str(self._broker.for_edges.ca_file))}\n" if self._broker.for_edges.ca_file else ""
        return f"""\
# Configuration of the Tidemill agent on {name}; start it with: tidemill agent --config {name}.toml
# This file holds a password and a private key: keep it readable by the agent alone.
edge = {json.dumps(name)}
controller_public_key = {json.dumps(self._key.public_key)}
{_sealing_line(sealing)}
[broker]
{note}url = {json.dumps(self._broker.for_edges.url)}
username = {json.dumps(username)}
password = {json.dumps(password)}
{tls}"""


def _sealing_line(key: SealingKey) -> str:
    return f"sealing_key = {json.dumps(key.private_key)}\n"
