"""What `tidemill doctor` asks the controller: is it there and ready, does it know us, does its clock agree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from pydantic import ValidationError

from schemas.broker import BrokerAddress
from schemas.errors import TidemillError, Unauthorized
from schemas.views import Health, Page
from tidemill.cli.broker import full_url
from tidemill.cli.doctor_check import Check, Verdict
from tidemill.client import Client

ANSWER_S = 5.0
TOLERABLE_S, WRONG_S = 5.0, 60.0  # of difference between two clocks


def check_controller(url: str, client: Client) -> Iterator[Check]:
    """Ask it; where it does not answer, nothing more is asked."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield Check("controller", "wrong", f"nothing answers at {url}: {error}")
        return
    yield _check_readiness(url, answer)
    yield _check_clock(answer.headers.get("date"))
    try:
        edges = client.edges()
    except Unauthorized as error:
        yield Check("token", "wrong", f"{error}; give one with --token or TIDEMILL_TOKEN")
    except TidemillError as error:
        yield Check("token", "wrong", f"could not be tried: {error}")
    else:
        yield Check("token", "ok", f"accepted; {sum(edge.online for edge in edges)} of {len(edges)} edges online")


def known_broker(client: Client) -> BrokerAddress | None:
    """The broker that the controller names to devices, if it answers."""
    try:
        return BrokerAddress(url=full_url(client.broker()))
    except TidemillError:
        return None


def _check_readiness(url: str, answer: httpx.Response) -> Check:
    try:
        parts = Page[Health].model_validate_json(answer.content).items
    except ValidationError:
        return Check("controller", "wrong", f"{url} answers {answer.status_code}, and not as a controller does")
    faults = [f"{part.name}: {part.detail}" for part in parts if not part.ok]
    if faults:
        return Check("controller", "wrong", f"{url} is not ready: {'; '.join(faults)}")
    return Check("controller", "ok", f"{url} is ready")


def _check_clock(date: str | None) -> Check:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return Check("clock", "warning", "the controller's answer has no date to compare with")
    # The header has whole seconds: half of one is what it lacks on average.
    difference_s = abs((datetime.now(UTC) - theirs).total_seconds() - 0.5)
    verdict: Verdict = "ok" if difference_s < TOLERABLE_S else "warning" if difference_s < WRONG_S else "wrong"
    return Check("clock", verdict, f"{difference_s:.0f} s from the controller's")
