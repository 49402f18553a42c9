"""One exchange with the controller over HTTP, and what its failures mean."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Self

import httpx
from pydantic import ValidationError

from schemas.errors import (
    BadInput,
    BadPayload,
    Conflict,
    InvalidTransition,
    NotFound,
    Stale,
    TaskFailed,
    TidemillError,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unreachable,
    Untrusted,
)
from schemas.views import Problem

ANSWER_TIMEOUT_S = 30.0
CHANGE_TIMEOUT_S = 180.0  # an import or an apply of many files is one request

_BY_CODE: dict[str, type[TidemillError]] = {
    error.code: error
    for error in (
        BadInput,
        BadPayload,
        Conflict,
        InvalidTransition,
        NotFound,
        Stale,
        TaskFailed,
        TimedOut,
        TooLarge,
        Unauthorized,
        Unreachable,
        Untrusted,
    )
}


class Refused(BadInput):
    """What was sent does not fit; ``errors`` names each part."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.errors = problem.errors


Query = Mapping[str, str | int | float | bool | list[str] | None]


class Exchange:
    """Sends requests under ``/api/v1`` and turns every failure into one of our own errors."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        if token and not token.isascii():
            raise BadInput("the token has letters that no token has; see --token, TIDEMILL_TOKEN and the token file")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=ANSWER_TIMEOUT_S)
        except (httpx.InvalidURL, ValueError, UnicodeError) as error:
            raise BadInput(f"{url!r} is no controller's address; write one such as http://127.0.0.1:8420") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, query: Query | None = None, *, wait_s: float = 0.0) -> httpx.Response:
        """Read something; ``wait_s`` is how long the controller itself was asked to wait."""
        with self._failures():
            timeout_s = ANSWER_TIMEOUT_S + wait_s
            return _checked(self._http.get(path, params=_given(query), timeout=timeout_s))

    def holds(self, path: str) -> bool:
        """Whether there is something at ``path``."""
        with self._failures():
            answer = self._http.head(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        _checked(answer)
        return True

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        document: object = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | IO[bytes] | None = None,
    ) -> httpx.Response:
        """Change something: ``document`` goes as JSON, ``content`` as it is."""
        with self._failures():
            request = self._http.build_request(
                method,
                path,
                params=_given(query),
                json=document,
                content=content,
                headers=headers,
                timeout=CHANGE_TIMEOUT_S,
            )
            return _checked(self._http.send(request))

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """The bytes at ``path``, in pieces."""
        with self._failures(), self._http.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
            yield _checked(answer).iter_bytes()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise BadInput(f"{self.url!r} is no controller's address: {error}") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"the controller at {self.url} did not answer in time") from error
        except httpx.TransportError as error:
            raise Unreachable(
                f"no controller answers at {self.url} ({error}); name another with --url or TIDEMILL_URL, "
                "or start one with: tidemill controller"
            ) from error


def _given(query: Query | None) -> dict[str, str | int | float | bool | list[str]]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    if answer.request.method == "HEAD":  # such an answer has no body that could say more
        raise _BY_CODE.get("unauthorized" if answer.status_code in {401, 403} else "", TidemillError)(
            f"the controller answered {answer.status_code} {answer.reason_phrase}"
        )
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError as error:
        place = answer.request.url
        raise Unreachable(
            f"{place} answered {answer.status_code} {answer.reason_phrase}, and not as a controller does"
        ) from error
    if problem.errors:
        raise Refused(problem)
    raise _BY_CODE.get(problem.code, TidemillError)(problem.detail or problem.title)
