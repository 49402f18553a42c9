"""Up to which position nothing can come any more, on PostgreSQL, where writers commit in any order.

A row's position is taken when it is written, and seen when its transaction commits. So before a transaction takes
its first position in a collection, a trigger lets it announce from where on it will take them: it holds a shared
advisory lock, whose key is the table and the last position taken by anybody, until it has ended. Whoever reads

    1. asks for the last position taken, *then*
    2. looks which announcements are held, and *then*
    3. begins the transaction in which it reads.

A position taken before step 1 was taken under a lock. If that is not among those of step 2, its transaction has ended,
and the state of step 3 has its row or never will. If it is, the announcement is below the position, and the horizon
is no higher than that. Positions of transactions that were undone are gaps that nothing waits for.
"""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, text

TOLD_AFTER_S = 60
"""A transaction that holds rows back for longer than this is worth a word."""

_WRAP = 2**32  # a lock's key has two numbers of 32 bits: of a position, only the lower ones are in it

ANNOUNCE = "tidemill$announce"

# The key's cast to bits keeps the lower 32. The mark, forgotten when the transaction ends, keeps it to one lock each.
ANNOUNCE_FUNCTION = f"""
CREATE OR REPLACE FUNCTION "{ANNOUNCE}"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
DECLARE
    mark text := 'tidemill.writes_' || TG_RELID;
    rows_table text := quote_ident(TG_TABLE_SCHEMA) || '.' || quote_ident(TG_TABLE_NAME);
    taken bigint;
BEGIN
    IF coalesce(current_setting(mark, true), '') = '' THEN
        taken := coalesce(pg_sequence_last_value(pg_get_serial_sequence(rows_table, 'position')), 0);
        PERFORM pg_advisory_xact_lock_shared(TG_RELID::bigint::bit(32)::int4, taken::bit(32)::int4);
        PERFORM set_config(mark, 'yes', true);
    END IF;
    RETURN NULL;
END $$
"""

_TAKEN = text("""
SELECT c.relname AS name, c.oid AS number,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), 'position')), 0)
           AS taken
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = ANY(:names) AND c.relkind = 'r'
""")

_ANNOUNCED = text("""
SELECT l.classid AS number, l.objid::bigint AS low_bits, l.pid, coalesce(a.usename, '') AS account,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 AS age_s
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_locks t ON l.pid IS NULL AND t.pid IS NULL AND t.virtualtransaction = l.virtualtransaction
    AND t.locktype = 'transactionid'
LEFT JOIN pg_prepared_xacts p ON p.transaction = t.transactionid
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


@dataclass(frozen=True, slots=True)
class Horizon:
    """The highest position below which no row can come any more, and what holds it there."""

    position: int
    waits_for: str = ""  # the oldest open transaction that writes, in words
    waits_s: float = 0.0  # for how long that has been open


def horizons(connection: Connection, *, schema: str, names: list[str]) -> dict[str, Horizon]:
    """The horizon of each collection; whoever uses them must begin to read after this.

    Args:
        connection: One that commits each statement, so that each sees the present.
        schema: Where the tables are.
        names: The collections.
    """
    taken = connection.execute(_TAKEN, {"schema": schema, "names": names}).all()
    announced = connection.execute(_ANNOUNCED).all()
    by_now = {row.name: row.taken for row in connection.execute(_TAKEN, {"schema": schema, "names": names})}
    found = {}
    for row in taken:
        held = [
            (_whole(one.low_bits, by_now.get(row.name, row.taken)), _words(one), one.age_s or 0.0)
            for one in announced
            if one.number == row.number
        ]
        found[row.name] = min((Horizon(*one) for one in held), key=attrgetter("position"), default=Horizon(row.taken))
        if found[row.name].position >= row.taken:
            found[row.name] = Horizon(row.taken)
    return found


def _whole(low_bits: int, newest: int) -> int:
    """The announced position: the newest one that ends in these bits and is not beyond the newest of all."""
    return int(newest - (newest - low_bits) % _WRAP)


def _words(holder: Row[Any]) -> str:
    who = f"the transaction of process {holder.pid} ({holder.account})" if holder.pid else "a prepared transaction"
    return who if holder.age_s is None else f"{who}, open for {holder.age_s:.0f} s"
