"""What `tidemill doctor` asks the controller: is it there and ready, does it know us, does its clock agree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from schemas.errors import TidemillError, Unauthorized
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
    if answer.is_success:
        yield Check("controller", "ok", f"{url} is ready")
    else:
        yield Check("controller", "wrong", f"{url} is not ready: {answer.status_code} {answer.text[:300]}")
    yield _check_clock(answer.headers.get("date"))
    try:
        edges = client.edges()
    except Unauthorized as error:
        yield Check("token", "wrong", f"{error}; give one with --token or TIDEMILL_TOKEN")
    except TidemillError as error:
        yield Check("token", "wrong", f"could not be tried: {error}")
    else:
        yield Check("token", "ok", f"accepted; {sum(edge.online for edge in edges)} of {len(edges)} edges online")


def _check_clock(date: str | None) -> Check:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return Check("clock", "warning", "the controller's answer has no date to compare with")
    # The header has whole seconds: half of one is what it lacks on average.
    difference_s = abs((datetime.now(UTC) - theirs).total_seconds() - 0.5)
    verdict: Verdict = "ok" if difference_s < TOLERABLE_S else "warning" if difference_s < WRONG_S else "wrong"
    return Check("clock", verdict, f"{difference_s:.0f} s from the controller's")
