"""What runs people's queries: one unchanging state of the data, where they can neither write nor stay for ever."""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

Dialect = Literal["sqlite", "postgres"]
"""Which SQL a store's queries are written in."""

BUSY_S = 10
"""How long a statement waits for another's transaction."""

MAX_ROW_BYTES = 8 * 1024 * 1024
"""No row of a query grows beyond this: one alone could otherwise fill the memory."""


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a query, as they are found: each asks the database for the next."""

    columns: tuple[str, ...]  # as the database names them: not always different
    rows: Iterator[tuple[object, ...]]


class Reader(Protocol):
    """One state of all collections, or of another database. Every method blocks."""

    @property
    def schema(self) -> str:
        """Where the tables of collections are: what stands before ``."name"`` in SQL, quoted if need be."""

    def last_position(self, collection: str) -> int:
        """The newest position of a declared collection below which no row can come any more; 0 if there is none."""

    def waits_for(self, collection: str) -> str:
        """What keeps rows behind the last position from being counted, for a person; empty if nothing does."""

    def prepare(self, sql: str, collections: Collection[str] = (), own: Collection[str] = ()) -> None:
        """See whether a SELECT could run, down to the columns that it names, without running it. Raises as ``run``."""

    def run(
        self, sql: str, collections: Collection[str] = (), own: Collection[str] = ()
    ) -> AbstractContextManager[Result]:
        """Run a SELECT that may read these collections alone; its rows come while the block lasts.

        Args:
            sql: The statement.
            collections: As they were declared. A reader of another database has none, and takes no notice of them.
            own: The names, in lower case, that the statement gives to common table expressions.

        Raises:
            BadInput: the database refuses it, or it takes longer than it may; also while the rows come.
            Unreachable: the disk, the network or another process is in the way.
        """
