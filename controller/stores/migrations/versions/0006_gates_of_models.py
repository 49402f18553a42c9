"""Models get a gate of their own, which also judges for jobs that set none."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_UNSAID: dict[str, Any] = {
    "policy": "auto_promote_and_deploy",
    "metric": None,
    "tolerance": 0.0,
    "thresholds": [],
    "rescore": None,
    "budgets": None,
}


def upgrade() -> None:
    """Apply."""
    op.add_column("models", sa.Column("gate", sa.Text(), nullable=True))
    _forget_unsaid_gates()


def _forget_unsaid_gates() -> None:
    """Jobs were kept with all defaults written out: a gate that says nothing else was never written by anybody."""
    connection = op.get_bind()
    jobs = sa.table("jobs", sa.column("name"), sa.column("spec"))
    for name, text in connection.execute(sa.select(jobs.c.name, jobs.c.spec)).all():
        spec = json.loads(text)
        if {**_UNSAID, **(spec.get("gate") or {})} == _UNSAID:
            changed = json.dumps({**spec, "gate": None})
            connection.execute(sa.update(jobs).where(jobs.c.name == name).values(spec=changed))
