"""Who may use the API: a bearer token, looked up by its hash."""

from fastapi import Request

from controller.http.services import Parts
from controller.stores.tokens import is_known
from schemas.errors import Unauthorized


async def require_token(request: Request, parts: Parts) -> None:
    """Refuse a request without a good token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("this needs a token: send `Authorization: Bearer tm_…`, or set TIDEMILL_TOKEN for the CLI")
    if not await parts.database.call(lambda session: is_known(session, token=token.strip())):
        raise Unauthorized("the token is not known here; it was printed when this controller first started")
