"""Rows that pipelines collect, on their way from an edge to the controller."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field, NonNegativeInt, PositiveInt

from schemas.names import Identifier
from schemas.wire import Wire

MAX_ROW_BYTES = 500_000
MAX_BATCH_BYTES = 500_000
"""Of the rows in one message, unless there is but one."""


class RowsHead(Wire):
    """What a batch says of itself."""

    collection: Identifier
    spool: UUID  # where the rows wait; each has numbers of its own
    first: PositiveInt  # the number of the first row; the others follow without a gap

    def with_rows(self, rows: Sequence[bytes]) -> bytes:
        """The bytes to publish: this, and rows that are JSON already."""
        return self.to_wire()[:-1] + b',"rows":[' + b",".join(rows) + b"]}"


class RowsBatch(RowsHead):
    """Edge → controller: the oldest rows that wait. Sent again until they are acknowledged."""

    rows: Annotated[tuple[object, ...], Field(min_length=1)]

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.first + len(self.rows) - 1


class RowsAck(Wire):
    """Controller → edge: every row of the spool up to this number is in its collection, or among its rejects."""

    spool: UUID
    upto: NonNegativeInt
    refused: str = ""  # why the batch was not taken; it may be later
