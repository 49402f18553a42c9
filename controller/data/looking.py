"""Looks into collections for data triggers. Blocks on the disk."""

from controller.data.query import check_query
from controller.data.query_window import Seen
from controller.runs.trigger_rules import NumberSeen, RowsSeen, Sight, as_number, most_counted, position_behind
from controller.stores.collections import CollectionStore
from controller.stores.triggers import Look
from schemas.errors import BadInput
from schemas.models import Window
from schemas.schedules import NewRows


def look_at(store: CollectionStore, look: Look, *, timeout_s: float) -> Sight:
    """See what a trigger asks for.

    Raises:
        NotFound: its collection is gone.
        BadInput: its query does not run, takes longer than ``timeout_s``, or gives something else than one number.
        Unreachable: the store cannot be read now.
    """
    if isinstance(look.trigger, NewRows):
        return _count(store, look, look.trigger)
    return NumberSeen(_number(store, look.trigger.query, timeout_s))


def _count(store: CollectionStore, look: Look, trigger: NewRows) -> RowsSeen:
    upto, run = store.last_position(trigger.collection), look.last_run
    since = position_behind(
        look.position,
        accounted=run is None or run.id == look.run,
        last_run_upto=run.upto.get(trigger.collection) if run else None,
        upto=upto,
    )
    count = 0  # positions may have gaps, so their difference only says that counting is worth it
    if upto - since >= 1:
        count = store.count_rows(trigger.collection, after=since, upto=upto, most=most_counted(trigger))
    return RowsSeen(since=since, upto=upto, count=count)


def _number(store: CollectionStore, sql: str, timeout_s: float) -> float | None:
    with store.reader(timeout_s=timeout_s) as reader:
        checked = check_query(sql, [spec.name for spec in store.specs()], store.dialect)
        seen = {name: Seen(Window(upto=reader.last_position(name))) for name in checked.collections}
        text = checked.within(seen, schema=reader.schema)
        with reader.run(text, checked.collections, checked.names) as result:
            rows = [row for row, _ in zip(result.rows, range(2), strict=False)]
            columns = len(result.columns)
    if columns != 1 or len(rows) > 1:
        raise BadInput(f"the query gave {columns} columns and {len(rows)} or more rows; a trigger needs one number")
    try:
        return as_number(rows[0][0]) if rows else None
    except ValueError as error:
        raise BadInput(str(error)) from error
