"""The journal's tables, and how an older agent's journal gets them."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import BadInput

SCHEMA_VERSION = 2
_RETURNS = """
CREATE TABLE previous_pipelines (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE returned_pipelines (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""
_SCHEMA = f"""
CREATE TABLE manifest (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body TEXT NOT NULL);
CREATE TABLE fences (
    taken INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, attempt INTEGER NOT NULL
);
CREATE TABLE tasks (
    accepted INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (run_id, attempt)
);
CREATE TABLE outbox (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (run_id, attempt, sequence)
);
CREATE TABLE served_pipelines (name TEXT PRIMARY KEY, body TEXT NOT NULL);
{_RETURNS}"""
_STEPS: Mapping[int, str] = {0: _SCHEMA, 1: _RETURNS}
"""By the version that is there: what leads to the newest."""


def bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, in one transaction.

    Raises:
        BadInput: a newer agent wrote it.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise BadInput(f"{path} is of schema {version}, this agent knows {SCHEMA_VERSION}; run a newer agent")
    if version < SCHEMA_VERSION:
        db.executescript(f"BEGIN IMMEDIATE;{_STEPS[version]}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
