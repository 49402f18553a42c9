"""Triggers, secrets, and what runs, versions, aliases and edges keep beside what they kept."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _make_tables()
    _add_columns()
    _rewrite_specs()


def _make_tables() -> None:
    op.create_table(
        "job_triggers",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Uuid(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("crossed_at", sa.DateTime(), nullable=True),
        sa.Column("next_look_at", sa.DateTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "trigger"),
    )
    op.create_index("ix_job_triggers_next_look_at", "job_triggers", ["next_look_at"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _add_columns() -> None:
    op.add_column("aliases", sa.Column("previous", sa.Integer(), nullable=True))
    op.add_column("edges", sa.Column("sealing_key", sa.String(), nullable=False, server_default=""))
    op.add_column("model_versions", sa.Column("job", sa.String(), nullable=True))
    op.create_index("ix_model_versions_job", "model_versions", ["job"])
    long_ago = sa.Column("created_at", sa.DateTime(), nullable=False, server_default="1970-01-01 00:00:00")
    op.add_column("model_versions", long_ago)
    for column in (
        sa.Column("cause", sa.Text(), nullable=False, server_default=""),
        sa.Column("full", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("replays", sa.Uuid(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("admitted", sa.Boolean(), nullable=False, server_default=sa.true()),  # those that were under way
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.Column("model", sa.String(), nullable=False, server_default=""),
        sa.Column("base_model", sa.String(), nullable=True),
        sa.Column("holdout", sa.Text(), nullable=True),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column("cpu_s", sa.Float(), nullable=False, server_default="0"),
        sa.Column("energy_kwh", sa.Float(), nullable=False, server_default="0"),
        sa.Column("co2e_kg", sa.Float(), nullable=False, server_default="0"),
        sa.Column("fetched_bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("cached_bytes", sa.BigInteger(), nullable=False, server_default="0"),
    ):
        op.add_column("runs", column)
    op.drop_index("ix_runs_job", "runs")
    op.create_index("ix_runs_job_created_at", "runs", ["job", "created_at"])
    op.create_index("ix_runs_job_state", "runs", ["job", "state", "created_at"])
    with op.batch_alter_table("watermarks") as batch:
        batch.alter_column("position", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)


def _rewrite_specs() -> None:
    """Documents in the form that they have from now on."""
    connection = op.get_bind()
    for table, key in (("jobs", "name"), ("runs", "id")):
        rows = sa.table(table, sa.column(key), sa.column("spec"))
        for found, spec in connection.execute(sa.select(rows.c[key], rows.c.spec)).all():
            text = json.dumps(_job(json.loads(spec)))
            connection.execute(sa.update(rows).where(rows.c[key] == found).values(spec=text))
    runs = sa.table("runs", sa.column("id"), sa.column("spec"), sa.column("data"), sa.column("model"))
    for found, spec, data in connection.execute(sa.select(runs.c.id, runs.c.spec, runs.c.data)).all():
        text = json.dumps([_selection(one) for one in json.loads(data)])
        model = json.loads(spec)["model"]
        connection.execute(sa.update(runs).where(runs.c.id == found).values(data=text, model=model))
    _read_cards()


def _read_cards() -> None:
    """Which job made a version, and when: the cards have it."""
    connection = op.get_bind()
    names = "model", "version", "card", "job"
    versions = sa.table("model_versions", *map(sa.column, names), sa.column("created_at", sa.DateTime()))
    wanted = sa.select(versions.c.model, versions.c.version, versions.c.card)
    for model, version, text in connection.execute(wanted).all():
        this = (versions.c.model == model) & (versions.c.version == version)
        card = json.loads(text)
        made = datetime.fromisoformat(card["created_at"]).astimezone(UTC).replace(tzinfo=None)
        job = card["lineage"].get("job")
        connection.execute(sa.update(versions).where(this).values(job=job, created_at=made))


def _job(spec: dict[str, Any]) -> dict[str, Any]:
    spec["retry"] = {"max_attempts": spec.pop("max_attempts", 3)}
    spec["silence"] = {"lost_after": spec.pop("lost_after_s", 3600.0)}
    for query in spec.get("queries", ()):
        query["collection"] = query["collection"] or []
    return spec


def _selection(selection: dict[str, Any]) -> dict[str, Any]:
    collection = selection.pop("collection", None)
    after, upto = selection.pop("after_position", 0), selection.pop("upto_position", 0)
    if collection is None:
        return selection
    return {**selection, "windows": {collection: {"after": after, "upto": upto}}, "new_in": [collection]}
