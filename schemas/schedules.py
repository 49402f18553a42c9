"""When a job is due: its timer, ticks that were missed or meet a live run, and triggers of its data's own."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from schemas.mistakes import kind_tag
from schemas.names import Duration, Identifier
from schemas.written import Written

SHORTEST_PERIOD_S = 1.0  # every firing is a row for ever
SHORTEST_GRACE_S = 5.0  # a busy machine is late by less, and nothing is missed by that
_YEARS = range(1970, 9000)  # beyond them, reckoning in another time zone leaves the calendar


class Schedule(Written):
    """When a job is due: exactly one of ``every``, ``cron`` and ``at``, between ``start`` and ``end`` if given."""

    every: Duration | None = None  # counted from `start`, else from when the schedule was written
    cron: str | None = None  # five fields
    at: AwareDatetime | None = None
    timezone: str = "UTC"  # for cron
    start: AwareDatetime | None = None  # not due before
    end: AwareDatetime | None = None  # not due after
    jitter: Duration | None = None  # each run starts up to so much later, the same for the same tick

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; write one such as Europe/Paris") from error
        return value

    @field_validator("at", "start", "end")
    @classmethod
    def _on_the_calendar(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.year not in _YEARS:
            raise ValueError(f"the year {value.year} is none of {_YEARS.start} to {_YEARS.stop - 1}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Schedule":
        given = [name for name in ("every", "cron", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of every, cron and at is needed, not {' and '.join(given) or 'none'}")
        if self.every is not None and self.every < SHORTEST_PERIOD_S:
            raise ValueError(f"every {self.every:g} s is too often; the shortest period is {SHORTEST_PERIOD_S:g} s")
        if self.cron is not None and len(self.cron.split()) != 5:
            raise ValueError(f"cron {self.cron!r} has not five fields (minute hour day month weekday)")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("end is not later than start, so it would never be due")
        return self


def _policy(value: object) -> object:
    return {"policy": value} if isinstance(value, str) else value


class MisfirePolicy(Written):
    """What becomes of ticks that passed while nobody could fire them: the controller was off, or the clock jumped."""

    policy: Literal["skip", "run_once", "catch_up"] = "run_once"  # none; one run for all; one run for each
    grace: Annotated[Duration, Field(ge=SHORTEST_GRACE_S)] = 60.0  # a tick that is later than this was missed
    most: Annotated[PositiveInt, Field(le=1000)] = 10  # catch_up: so many runs, of the newest ticks
    window: Duration = 86400.0  # catch_up: ticks older than this are let go


Misfire = Annotated[MisfirePolicy, BeforeValidator(_policy)]
"""In a document: ``skip``, or ``{policy: catch_up, most: 5}``."""


class OverlapPolicy(Written):
    """What becomes of a run that is due while an earlier one of its job goes on."""

    policy: Literal["skip", "queue", "cancel_previous"] = "skip"
    most: PositiveInt = 10  # queue: so many may wait; more are skipped


Overlap = Annotated[OverlapPolicy, BeforeValidator(_policy)]
"""In a document: ``queue``, or ``{policy: queue, most: 3}``."""


class NewRows(Written):
    """Due when a collection has so many rows more than the job's last run saw."""

    new_rows: PositiveInt
    collection: Identifier
    every: Duration = 30.0  # how often to look


class Threshold(Written):
    """Due when the number that a query gives crosses a limit; again after it was back, or after ``again_after``."""

    query: Annotated[str, Field(min_length=1, max_length=100_000)]  # one row, one number: SELECT avg(error) FROM …
    above: float | None = None
    below: float | None = None
    every: Duration = 60.0  # how often to look
    again_after: Duration | None = None  # still beyond it after so long: due once more

    @model_validator(mode="after")
    def _one_limit(self) -> "Threshold":
        if (self.above is None) == (self.below is None):
            raise ValueError("exactly one of above and below is needed")
        return self

    def crossed(self, value: float | None) -> bool:
        """Whether a value is beyond the limit; no value (a query without rows) is not."""
        if value is None:
            return False
        return value > self.above if self.above is not None else value < (self.below or 0.0)


_NEW_ROWS, _THRESHOLD = kind_tag("new rows"), kind_tag("query")


def _kind(value: object) -> str:
    about_query = isinstance(value, dict) and not value.keys().isdisjoint(("query", "above", "below"))
    return _THRESHOLD if about_query or isinstance(value, Threshold) else _NEW_ROWS


Trigger = Annotated[
    Annotated[NewRows, Tag(_NEW_ROWS)] | Annotated[Threshold, Tag(_THRESHOLD)],
    Discriminator(_kind),
]
"""What makes a job due beside its timer."""
