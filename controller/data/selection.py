"""Selects the rows of a run: every query on one state of the collections, each result a blob."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from controller.data.query import check_job_query, check_query, check_source_query
from controller.data.query_window import CheckedQuery, Seen, shadow
from controller.data.reservation import Reservation
from controller.data.result_columns import ResultColumn, result_columns
from controller.data.row_formats import Rows, encoder
from controller.stores.collection_reader import Reader, Result
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.errors import BadInput, TooLarge
from schemas.models import DataSelection, Window
from schemas.names import BlobRef
from schemas.queries import Format, Holdout, Query
from transport.blob_store import BlobDirectory

_CHUNK_ROWS = 32  # fetched and written at once: each may have megabytes


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows that a run asks for."""

    queries: tuple[Query, ...]
    after: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """By a query's 1-based index and collection: the position behind which rows are new."""
    full: bool = False  # all rows, also for queries that ask for new ones only
    max_rows: int | None = None  # of each query
    holdout: Holdout | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    """The rows that it gets."""

    data: tuple[DataSelection, ...]
    holdout: DataSelection | None = None
    waiting: str = ""  # what keeps newer rows from being counted yet, for a person


class Selector:
    """Selects rows from the store of collections and from other databases. Blocks: call it in a thread."""

    def __init__(
        self, store: CollectionStore, sources: Sources, blobs: BlobDirectory, *, max_bytes: int, timeout_s: float
    ) -> None:
        self._store, self._sources, self._blobs = store, sources, blobs
        self._max_bytes, self._timeout_s = max_bytes, timeout_s  # of one query

    def select(self, asked: Asked) -> Frozen:
        """Run each query and keep its rows, and those that are held out.

        All queries see the same rows of the collections, however many come meanwhile: those up to the positions
        that the selections name. No rows is no error.

        Raises:
            BadInput: a query cannot run, fails, takes too long or gives too many rows; the message says which.
            TooLarge: its rows are more than the bytes that one query may give.
            Unreachable: the store or a source cannot be read now.
        """
        if not asked.queries and asked.holdout is None:
            return Frozen(())
        with self._store.reader(timeout_s=self._timeout_s) as reader:
            state = _State(self._store, reader, asked.holdout)
            data = []
            for index, query in enumerate(asked.queries, start=1):
                with _naming(f"query {index}"):
                    if query.source is not None:
                        data.append(self._from_source(query, asked.max_rows))
                    else:
                        data.append(self._from_collections(state, query, asked, asked.after.get(index, {})))
            with _naming("the holdout's query"):
                held = self._held_out(state, asked.holdout) if asked.holdout is not None else None
            waiting = "; ".join(reason for name in sorted(state.upto) if (reason := reader.waits_for(name)))
        return Frozen(tuple(data), held, waiting)

    def _from_collections(self, state: "_State", query: Query, asked: Asked, after: Mapping[str, int]) -> DataSelection:
        checked = check_job_query(query, state.specs, self._store.dialect)
        seen = {name: state.seen(name) for name in checked.collections}
        for name in query.new_in:
            seen[name] = state.seen(name, after=0 if asked.full else after.get(name, 0))
            if asked.max_rows is not None and not asked.full:
                seen[name] = state.oldest(name, seen[name], asked.max_rows)
        with state.run(checked, seen) as (columns, result):
            rows, blob = self._keep(columns, result, query.format, asked.max_rows)
        windows = {name: rows_seen.window for name, rows_seen in seen.items()}
        return DataSelection(
            query=query.query, format=query.format, windows=windows, new_in=query.new_in, rows=rows, blob=blob
        )

    def _held_out(self, state: "_State", holdout: Holdout) -> DataSelection:
        checked = check_query(holdout.query, state.specs, self._store.dialect)
        seen = {name: state.seen(name, reserved=True) for name in checked.collections}
        with state.run(checked, seen) as (columns, result):
            rows, blob = self._keep(columns, result, holdout.format, None)
        windows = {name: rows_seen.window for name, rows_seen in seen.items()}
        return DataSelection(query=holdout.query, format=holdout.format, windows=windows, rows=rows, blob=blob)

    def _from_source(self, query: Query, max_rows: int | None) -> DataSelection:
        name = query.source or ""
        sql = check_source_query(query.query, self._sources.dialect(name))
        with self._sources.reader(name, timeout_s=self._timeout_s) as reader, reader.run(sql) as result:
            rows, blob = self._keep(result_columns(result.columns), result, query.format, max_rows)
        return DataSelection(query=query.query, format=query.format, source=name, rows=rows, blob=blob)

    def _keep(
        self, columns: list[ResultColumn], result: Result, wanted: Format, max_rows: int | None
    ) -> tuple[int, BlobRef]:
        """Write the rows down, holding a few of them in memory; how many there are, and where."""
        chunks = _Chunks(result, max_rows)
        with self._blobs.writer() as writer:
            for piece in encoder(wanted)(columns, chunks):
                writer.write(piece)
                if writer.size_bytes > self._max_bytes:
                    raise TooLarge(
                        f"more than {self._max_bytes} bytes after {chunks.count} rows; select fewer columns or rows"
                    )
            return chunks.count, writer.commit()


class _State:
    """One state of the collections, as a job sees it."""

    def __init__(self, store: CollectionStore, reader: Reader, holdout: Holdout | None) -> None:
        self._reader = reader
        self.specs = {spec.name: spec for spec in store.specs()}
        self.upto: dict[str, int] = {}  # of each collection that was looked at
        self._reserved = reservation(holdout, self.specs, store.dialect)

    def seen(self, name: str, *, after: int = 0, reserved: bool = False) -> Seen:
        """The rows behind a position, with or without those that are reserved."""
        if name not in self.upto:
            self.upto[name] = self._reader.last_position(name)
        window = Window(after=after, upto=max(after, self.upto[name]))
        return Seen(window, self._reserved.condition(name, reserved=reserved) if self._reserved else "")

    def oldest(self, name: str, seen: Seen, rows: int) -> Seen:
        """The oldest of these rows, so many at most; the others are behind its window, for a later run."""
        of_them = shadow(name, seen, schema=self._reader.schema, columns="position")
        last = f"{of_them} ORDER BY position LIMIT 1 OFFSET {rows - 1:d}"
        with self._reader.run(last, [name]) as result:
            found = next(result.rows, None)
        if found is None:
            return seen
        return Seen(Window(after=seen.window.after, upto=int(str(found[0]))), seen.condition)

    @contextmanager
    def run(self, checked: CheckedQuery, seen: Mapping[str, Seen]) -> Iterator[tuple[list[ResultColumn], Result]]:
        """Run a query over these rows alone."""
        sql = checked.within(seen, schema=self._reader.schema)
        with self._reader.run(sql, checked.collections, checked.names) as result:
            read = [self.specs[name] for name in checked.collections]
            yield result_columns(result.columns, checked.origins, read), result


class _Chunks:
    """The rows of a result, a few at a time, and how many there were."""

    def __init__(self, result: Result, max_rows: int | None) -> None:
        self._rows, self._max_rows = result.rows, max_rows
        self.count = 0

    def __iter__(self) -> Iterator[Rows]:
        """Raises BadInput when there are more than there may be."""
        while chunk := list(islice(self._rows, _CHUNK_ROWS)):
            self.count += len(chunk)
            if self._max_rows is not None and self.count > self._max_rows:
                raise BadInput(f"it gives more rows than max_rows, which is {self._max_rows}")
            yield chunk


def reservation(holdout: Holdout | None, collections: Iterable[str], dialect: str) -> Reservation | None:
    """Which rows a job holds out. Raises BadInput when its query cannot run."""
    if holdout is None:
        return None
    with _naming("the holdout's query"):
        checked = check_query(holdout.query, collections, dialect)
    return Reservation(checked.collections, holdout.fraction, holdout.seed)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say which query it was."""
    try:
        yield
    except BadInput as error:
        raise type(error)(f"{what}: {error}") from error
