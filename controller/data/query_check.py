"""Checks the queries of a job that is declared, down to the columns that they name, before there are rows."""

from collections.abc import Iterable, Sequence

from controller.data.query import check_job_query, check_query, check_source_query
from controller.data.query_window import CheckedQuery, Seen
from controller.data.reservation import Reservation
from controller.data.row_formats import check_format
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.collections import CollectionSpec
from schemas.models import Window
from schemas.queries import Holdout, Query

_TIMEOUT_S = 60.0


class QueryCheck:
    """Checks queries for a store of collections and the databases beside it. Blocks."""

    def __init__(self, store: CollectionStore, sources: Sources) -> None:
        self._store, self._sources = store, sources

    def query(self, query: Query, specs: Iterable[CollectionSpec]) -> None:
        """Check a job's query against the collections as they are declared, which need not exist yet.

        Raises:
            BadInput: it could not run; the message says why.
        """
        check_format(query.format)
        if query.source is not None:
            check_source_query(query.query, self._sources.dialect(query.source))
            return
        specs = tuple(specs)
        self._prepare(check_job_query(query, [spec.name for spec in specs], self._store.dialect), specs)

    def holdout(self, holdout: Holdout, specs: Iterable[CollectionSpec]) -> None:
        """Check the query of a job's holdout in the same way. Raises BadInput."""
        check_format(holdout.format)
        specs = tuple(specs)
        checked = check_query(holdout.query, [spec.name for spec in specs], self._store.dialect)
        self._prepare(checked, specs, Reservation(checked.collections, holdout.fraction, holdout.seed))

    def _prepare(
        self, checked: CheckedQuery, specs: Sequence[CollectionSpec], reserved: Reservation | None = None
    ) -> None:
        seen = {
            name: Seen(Window(upto=0), reserved.condition(name, reserved=True) if reserved else "")
            for name in checked.collections
        }
        read = (spec for spec in specs if spec.name in checked.collections)
        with self._store.empty(read, timeout_s=_TIMEOUT_S) as reader:
            reader.prepare(checked.within(seen, schema=reader.schema), checked.collections, checked.names)
