"""Which HTTP status an error is; every error is answered as RFC 9457 problem+json."""

import errno
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from controller.http.mistakes import field_errors
from schemas.errors import (
    BadInput,
    BadPayload,
    Conflict,
    NotFound,
    Stale,
    TidemillError,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from schemas.views import Problem

log = logging.getLogger(__name__)

_STATUS: dict[type[TidemillError], tuple[int, str]] = {
    TooLarge: (413, "Too large"),
    BadInput: (422, "Bad input"),
    BadPayload: (422, "Bad payload"),
    Stale: (412, "Changed meanwhile"),
    Conflict: (409, "Conflict"),
    NotFound: (404, "Not found"),
    Unauthorized: (401, "Unauthorized"),
    Unreachable: (503, "Not reachable now"),
}
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class BodyTooLarge(HTTPException):
    """A request with more bytes than are taken; FastAPI lets no other error out of the reading of a body."""

    def __init__(self, most_bytes: int, setting: str = "") -> None:
        why = f"`{setting}` in the controller's configuration allows" if setting else "is taken here"
        super().__init__(_STATUS[TooLarge][0], f"more than {most_bytes} bytes, which is the most that {why}")


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""
    app.add_exception_handler(TidemillError, _tidemill)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _internal)


def problem_of(error: TidemillError) -> Response:
    """The answer that an error of our own is."""
    known = (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    status, title = next(known, (500, "Internal error"))
    errors = getattr(error, "errors", ())
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _answer(Problem(title=title, status=status, detail=str(error), code=error.code, errors=errors), headers)


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    media = "application/problem+json"
    return Response(problem.model_dump_json(), problem.status, headers=headers, media_type=media)


async def _tidemill(request: Request, error: Exception) -> Response:
    return problem_of(error) if isinstance(error, TidemillError) else await _internal(request, error)


async def _invalid(_: Request, error: Exception) -> Response:
    errors = field_errors(error) if isinstance(error, RequestValidationError) else ()
    detail = "; ".join(f"{mistake.where}: {mistake.message}" for mistake in errors)
    return _answer(Problem(title="Bad input", status=422, detail=detail, code=BadInput.code, errors=errors))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _internal(request, error)
    status = error.status_code
    code = {404: NotFound.code, 413: TooLarge.code}.get(status, BadInput.code)
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=str(error.detail), code=code)
    return _answer(problem, dict(error.headers or {}))


async def _disk(request: Request, error: Exception) -> Response:
    if not isinstance(error, OSError) or error.errno not in _DISK_TROUBLE:
        return await _internal(request, error)
    log.error("disk in trouble", extra={"path": request.url.path, "reason": str(error)})
    return problem_of(Unreachable(f"the controller's disk does not do it: {error.strerror}"))


async def _gone(request: Request, _: Exception) -> Response:
    log.info("request broken off by its sender", extra={"path": request.url.path})
    return Response(status_code=400)  # which nobody reads


async def _internal(request: Request, error: Exception) -> Response:
    log.error("request failed", extra={"path": request.url.path}, exc_info=error)
    detail = "the controller made a mistake of its own; its log has the details"
    return _answer(Problem(title="Internal error", status=500, detail=detail, code=TidemillError.code))
