"""Which HTTP status an error is; every error is answered as RFC 9457 problem+json."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from schemas.errors import (
    BadInput,
    BadPayload,
    Conflict,
    NotFound,
    TidemillError,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from schemas.views import FieldError, Problem

log = logging.getLogger(__name__)

_STATUS: dict[type[TidemillError], tuple[int, str]] = {
    TooLarge: (413, "Too large"),
    BadInput: (422, "Bad input"),
    BadPayload: (422, "Bad payload"),
    Conflict: (409, "Conflict"),
    NotFound: (404, "Not found"),
    Unauthorized: (401, "Unauthorized"),
    Unreachable: (503, "Not reachable now"),
}


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""
    app.add_exception_handler(TidemillError, _tidemill)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    media = "application/problem+json"
    return Response(problem.model_dump_json(), problem.status, headers=headers, media_type=media)


async def _tidemill(_: Request, error: Exception) -> Response:
    known = (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    status, title = next(known, (500, "Internal error"))
    errors = getattr(error, "errors", ())
    code = error.code if isinstance(error, TidemillError) else "internal"
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _answer(Problem(title=title, status=status, detail=str(error), code=code, errors=errors), headers)


async def _invalid(_: Request, error: Exception) -> Response:
    mistakes = error.errors() if isinstance(error, RequestValidationError) else []
    errors = tuple(FieldError(where=_place(mistake["loc"]), message=mistake["msg"]) for mistake in mistakes)
    detail = "; ".join(f"{mistake.where}: {mistake.message}" for mistake in errors)
    return _answer(Problem(title="Bad input", status=422, detail=detail, code=BadInput.code, errors=errors))


def _place(loc: tuple[int | str, ...]) -> str:
    """``('body', 'documents', 2, 'Job', 'queries', 0)`` as ``documents[2].queries[0]``."""
    kinds = {"Collection", "Model", "Job", "Library", "Pipeline", "Deployment"}
    text = ""
    for part in loc[1:] if loc and loc[0] in {"body", "query", "path"} else loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in kinds:
            text += f".{part}" if text else part
    return text or "body"


async def _http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    code = NotFound.code if status == 404 else BadInput.code
    return _answer(Problem(title=detail or "Error", status=status, detail=detail, code=code))


async def _internal(request: Request, error: Exception) -> Response:
    log.error("request failed", extra={"path": request.url.path}, exc_info=error)
    detail = "the controller made a mistake of its own; its log has the details"
    return _answer(Problem(title="Internal error", status=500, detail=detail, code=TidemillError.code))
