"""Accounts at a Mosquitto of one's own whose dynamic security plugin is asked to keep them.

The commands are those of mosquitto_ctrl_dynsec(1), sent as JSON to ``$CONTROL/dynamic-security/v1``; every one is
answered. Each edge has a client and a role for its own topics, and all share the role ``tidemill-data``, which can be
given to devices too.
"""

import asyncio
import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.errors import Unauthorized, Unreachable
from schemas.topics import CONTROLLER_PRESENCE, ROOT
from transport.mqtt import Link, Subscription

ASK = "$CONTROL/dynamic-security/v1"
ANSWERS = f"{ASK}/response"
DATA_ROLE = "tidemill-data"
ANSWER_S = 10.0

Command = dict[str, Any]


class DynamicSecurity:
    """One command after the other; a broker that does not answer has no such plugin, or does not let us use it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._answers: Subscription | None = None
        self._one_at_a_time = asyncio.Lock()
        self._allowed: frozenset[str] | None = None

    async def add(self, username: str) -> str:
        """See ``EdgeAccounts``."""
        password, role, own = secrets.token_urlsafe(24), _role_of(username), f"{ROOT}/edges/{username}/#"
        await self._role(role, [own])
        await self._role(DATA_ROLE, None)
        made = {"command": "createClient", "username": username, "password": password}
        if await self._ask({**made, "roles": [{"rolename": role}, {"rolename": DATA_ROLE}]}) is not None:
            await self._demand({"command": "setClientPassword", "username": username, "password": password})
        return password

    async def remove(self, username: str) -> bool:
        """See ``EdgeAccounts``."""
        refusal = await self._ask({"command": "deleteClient", "username": username})
        await self._ask({"command": "deleteRole", "rolename": _role_of(username)})
        return refusal is None

    async def allow(self, data_topics: Iterable[str]) -> None:
        """See ``EdgeAccounts``."""
        wanted = frozenset(data_topics)
        if wanted != self._allowed:
            await self._role(DATA_ROLE, sorted(wanted))
            self._allowed = wanted

    async def _role(self, name: str, topics: Sequence[str] | None) -> None:
        """Have a role be there, and let it read and write these topics and no others; None: as it is."""
        acls = [_acl(kind, topic) for topic in topics or () for kind in ("publishClientSend", "subscribePattern")]
        acls.append(_acl("subscribeLiteral", CONTROLLER_PRESENCE.pattern))
        exists = await self._ask({"command": "createRole", "rolename": name, "acls": acls}) is not None
        if exists and topics is not None:
            await self._demand({"command": "modifyRole", "rolename": name, "acls": acls})

    async def _demand(self, command: Command) -> None:
        refusal = await self._ask(command)
        if refusal is not None:
            raise Unauthorized(f"the broker's dynamic security refuses {command['command']}: {refusal}")

    async def _ask(self, command: Command) -> str | None:
        """Why the plugin did not do it; None if it did.

        Raises:
            Unreachable: it does not answer.
        """
        async with self._one_at_a_time:
            if self._answers is None:
                self._answers = await self._link.subscribe(ANSWERS)
            mark = secrets.token_hex(8)
            await self._link.publish(ASK, json.dumps({"commands": [{**command, "correlationData": mark}]}).encode())
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await self._answer(self._answers, mark)
            except TimeoutError as error:
                raise Unreachable(
                    f"the broker did not answer on {ASK} within {ANSWER_S:g} s: is the dynamic security plugin loaded, "
                    "and has the controller's account the role that may use it?"
                ) from error

    async def _answer(self, answers: Subscription, mark: str) -> str | None:
        async for message in answers:
            for answer in json.loads(message.payload)["responses"]:
                if answer.get("correlationData") == mark:
                    refusal: str | None = answer.get("error")
                    return refusal
        raise Unreachable("the connection to the broker was closed")


def _role_of(username: str) -> str:
    return f"tidemill-edge-{username}"


def _acl(kind: str, topic: str) -> Command:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
