"""The collection store: a database of its own, so that no query can reach anything but collections."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Literal

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from controller.data.column_values import utc_text
from controller.data.payloads import Parsed, Rejected, Row
from controller.stores import collection_rejects
from controller.stores.collection_changes import add_columns, added_columns, check_new, check_topics
from controller.stores.collection_database import open_collections
from controller.stores.collection_reader import Dialect, Reader
from controller.stores.collection_tables import collections, rows_table, spools, subscriptions
from schemas.collected import RowsBatch
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import NotFound
from schemas.fleet import AppliedChange
from schemas.names import EdgeName
from schemas.views import CollectionView, Reject


class CollectionStore:
    """Collections and their rows. Every method blocks on the disk: call it through ``asyncio.to_thread``.

    Any of them may raise ``Unreachable`` (locked, disk full): nothing was written then, and it may be tried again.
    """

    def __init__(self, url: str, query_url: str | None = None) -> None:
        self._database = open_collections(url, query_url)

    @property
    def dialect(self) -> Dialect:
        """Which SQL queries are written in."""
        return self._database.dialect

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def declare(self, spec: CollectionSpec) -> AppliedChange:
        """Make the collection, or change it to what is declared now. Raises as ``declare_all``."""
        return self.declare_all([spec])[0]

    def declare_all(self, specs: Iterable[CollectionSpec], *, dry_run: bool = False) -> list[AppliedChange]:
        """Make or change collections, all of them or none; with ``dry_run`` none, but say what would change.

        Raises:
            Conflict: columns would change or go, or a name differs from another's by case only.
            BadInput: a name is the database's own, or topics overlap.
        """
        with self._database.writing() as connection:
            changes = [self._declare(connection, spec) for spec in specs]
            if dry_run:
                connection.rollback()
        return changes

    def specs(self) -> tuple[CollectionSpec, ...]:
        """Every declaration, by name."""
        with self._database.reading() as connection:
            stored = connection.scalars(select(collections.c.spec).order_by(collections.c.name))
            return tuple(CollectionSpec.model_validate_json(text) for text in stored)

    def spec(self, name: str) -> CollectionSpec:
        """One declaration. Raises NotFound."""
        with self._database.reading() as connection:
            return _spec(connection, name)

    def view(self, name: str) -> CollectionView:
        """A collection and how full it is. Raises NotFound."""
        upto = self._database.settled([name]).get(name)
        with self._database.reading() as connection:
            spec = _spec(connection, name)
            row = connection.execute(select(collections).where(collections.c.name == name)).one()
            last = _last_position(connection, spec, upto)
            return CollectionView(spec=spec, rows=row.rows, last_position=last, rejects=row.rejects)

    def insert(self, name: str, rows: Sequence[Row], rejects: Sequence[Rejected] = ()) -> int:
        """Add rows, and what did not fit, in one transaction; returns the last position. Raises NotFound."""
        return self.insert_all(name, [Parsed(list(rows), list(rejects))])

    def insert_all(self, name: str, batches: Iterable[Parsed]) -> int:
        """Add batches as they are made, all of them or, if one raises, none; returns the last position.

        Others cannot add to the collection until it has ended.
        """
        with self._database.writing() as connection:
            spec, now = _spec(connection, name, locked=True), _now()
            for batch in batches:
                _insert(connection, spec, batch, at=now)
            return _last_position(connection, spec)

    def insert_collected(self, batch: RowsBatch, edge: EdgeName, fit: Callable[[CollectionSpec, int], Parsed]) -> int:
        """Add what is new of a batch that an edge's pipeline has collected, and remember which that was.

        Args:
            batch: may have come before, in whole or in part.
            edge: where it comes from.
            fit: those of its rows with higher numbers than the one given, for the collection as it is declared.

        Returns:
            The number of the spool's last row that was taken.

        Raises:
            NotFound: there is no such collection.
        """
        with self._database.writing() as connection:
            spec = _spec(connection, batch.collection, locked=True)
            ours = spools.c.edge == edge, spools.c.spool == str(batch.spool)
            known = connection.scalar(select(spools.c.last).where(*ours).with_for_update())
            if batch.last <= (known or 0):
                return known or 0
            _insert(connection, spec, fit(spec, known or 0), at=_now())
            if known is None:
                connection.execute(insert(spools).values(edge=edge, spool=str(batch.spool), last=batch.last))
            else:
                connection.execute(update(spools).where(*ours).values(last=batch.last))
            return batch.last

    def rows(self, name: str, after: int = 0, limit: int = 100) -> list[dict[str, object]]:
        """Up to ``limit`` rows behind a position, in order, with their JSON parsed. Raises NotFound.

        None that could still be overtaken by one of a lower position: who pages on from the last one misses nothing.
        """
        upto = self._database.settled([name]).get(name)
        with self._database.reading() as connection:
            spec = _spec(connection, name)
            table = rows_table(spec)
            wanted = select(table).where(table.c.position > after).order_by(table.c.position).limit(limit)
            if upto is not None:
                wanted = wanted.where(table.c.position <= upto)
            found = [dict(row) for row in connection.execute(wanted).mappings()]
        json_columns = [column for column, kind in spec.columns.items() if kind is ColumnType.JSON]
        for row in found:
            row.update({column: orjson.loads(row[column]) for column in json_columns if row[column] is not None})
        return found

    def rejects(self, name: str, limit: int = 100) -> list[Reject]:
        """The newest rejects, newest first. Raises NotFound."""
        with self._database.reading() as connection:
            _spec(connection, name)
            return collection_rejects.newest(connection, name=name, limit=limit)

    def last_position(self, name: str) -> int:
        """The newest position below which no row can come any more; 0 if there is none. Raises NotFound."""
        upto = self._database.settled([name]).get(name)
        with self._database.reading() as connection:
            return _last_position(connection, _spec(connection, name), upto)

    def count_rows(self, name: str, *, after: int, upto: int, most: int) -> int:
        """How many rows have positions behind ``after``, up to ``upto``; counts to ``most``. Raises NotFound."""
        with self._database.reading() as connection:
            position = rows_table(_spec(connection, name)).c.position
            wanted = select(position).where(position > after, position <= upto).limit(most)
            return connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0

    def subscribed(self) -> dict[str, frozenset[str]]:
        """By collection, the topic filters that its session at the broker may hold."""
        with self._database.reading() as connection:
            found: dict[str, set[str]] = {}
            for row in connection.execute(select(subscriptions)):
                found.setdefault(row.collection, set()).add(row.filter)
            return {name: frozenset(filters) for name, filters in found.items()}

    def note_subscribed(self, name: str, filters: Iterable[str]) -> None:
        """Remember the topic filters that the collection's session at the broker may hold from now on."""
        with self._database.writing() as connection:
            connection.execute(delete(subscriptions).where(subscriptions.c.collection == name))
            for topic_filter in sorted(filters):
                connection.execute(insert(subscriptions).values(collection=name, filter=topic_filter))

    def reader(self, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """One state of all collections, for the queries of people; each may take ``timeout_s``."""
        return self._database.reader(timeout_s=timeout_s)

    def empty(self, specs: Iterable[CollectionSpec], *, timeout_s: float) -> AbstractContextManager[Reader]:
        """Collections as declared, without rows: what queries are tried on before their collections exist."""
        return self._database.empty(specs, timeout_s=timeout_s)

    def _declare(self, connection: Connection, spec: CollectionSpec) -> AppliedChange:
        check_topics(spec)
        names = connection.scalars(select(collections.c.name)).all()
        if spec.name not in names:
            check_new(spec, others=names)
            self._database.make_table(connection, spec)
            connection.execute(insert(collections).values(name=spec.name, spec=spec.model_dump_json(), created=_now()))
            return AppliedChange(kind="Collection", name=spec.name, action="created")
        before = _spec(connection, spec.name, locked=True)
        changed = tuple(key for key in CollectionSpec.model_fields if getattr(before, key) != getattr(spec, key))
        if changed:
            add_columns(connection, collection=spec.name, columns=added_columns(before, spec))
            named = update(collections).where(collections.c.name == spec.name)
            connection.execute(named.values(spec=spec.model_dump_json()))
        action: Literal["updated", "unchanged"] = "updated" if changed else "unchanged"
        return AppliedChange(kind="Collection", name=spec.name, action=action, changed=changed)


def _insert(connection: Connection, spec: CollectionSpec, batch: Parsed, *, at: str) -> None:
    """Add a batch in the caller's transaction."""
    if batch.rows:
        blank = dict.fromkeys(spec.columns)
        connection.execute(insert(rows_table(spec)), [{**blank, **row, "created": at} for row in batch.rows])
        counted = update(collections).where(collections.c.name == spec.name)
        connection.execute(counted.values(rows=collections.c.rows + len(batch.rows)))
    collection_rejects.add(connection, name=spec.name, put_aside=batch.rejects, at=at)


def _spec(connection: Connection, name: str, *, locked: bool = False) -> CollectionSpec:
    """The declaration; with ``locked``, others that ask so wait for this transaction. On SQLite they do anyway."""
    wanted = select(collections.c.spec).where(collections.c.name == name)
    stored = connection.scalar(wanted.with_for_update() if locked else wanted)
    if stored is None:
        raise NotFound(f"there is no collection {name}")
    return CollectionSpec.model_validate_json(stored)


def _last_position(connection: Connection, spec: CollectionSpec, upto: int | None = None) -> int:
    position = rows_table(spec).c.position
    newest = select(func.max(position))
    return connection.scalar(newest if upto is None else newest.where(position <= upto)) or 0


def _now() -> str:
    return utc_text(datetime.now(UTC))
