"""Who may use the API: a bearer token, looked up by its hash before anything else of a request is read."""

from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.http.errors import problem_of
from controller.stores.database import Database
from controller.stores.tokens import is_known
from schemas.errors import Unauthorized

bearer = HTTPBearer(auto_error=False, description="The token that the controller printed when it first started.")
"""Tells the API's description that routes need a token; the gate is what checks it."""


class TokenGate:
    """Lets nobody under ``/api/`` without a good token, not even to learn which routes there are."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app, self._database = app, database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            try:
                await self._check(Headers(scope=scope).get("authorization", ""))
            except Unauthorized as error:
                await problem_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(
                "this needs a token: send `Authorization: Bearer tm_…`, or set TIDEMILL_TOKEN for the CLI"
            )
        if not await self._database.read(lambda session: is_known(session, token=token.strip())):
            raise Unauthorized("the token is not known here; it was printed when this controller first started")
