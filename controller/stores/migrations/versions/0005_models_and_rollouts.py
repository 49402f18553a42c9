"""Aliases with a history, gates, rollouts, a timeline."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _columns()
    _histories()
    _rollouts()
    _known_models()


def _columns() -> None:
    op.add_column("edges", sa.Column("signing_key_id", sa.String(), nullable=False, server_default=""))
    op.add_column("edges", sa.Column("revoked_at", sa.DateTime(), nullable=True))
    op.add_column("model_versions", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.add_column("model_versions", sa.Column("tags", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("models", sa.Column("last_version", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("aliases", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))


def _histories() -> None:
    op.create_table(
        "gate_results",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_gate_results_model_version", "gate_results", ["model", "version"])
    op.create_table(
        "alias_moves",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("deploys", sa.Boolean(), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alias_moves_model_alias", "alias_moves", ["model", "alias"])
    op.create_table(
        "changes",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_edge_id", "changes", ["edge", "id"])
    op.create_index("ix_changes_subject_id", "changes", ["subject", "id"])
    op.create_table(
        "servings",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("pipeline", sa.String(), nullable=False),
        sa.Column("pipeline_version", sa.Integer(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_servings_edge_pipeline", "servings", ["edge", "pipeline", "ref"])


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("deployment", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("wish", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_at", sa.DateTime(), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "number"),
    )
    op.create_index("ix_rollouts_state", "rollouts", ["state"])
    op.create_table(
        "placements",
        sa.Column("deployment", sa.String(), nullable=False),
        sa.Column("edge", sa.String(), nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("placed_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("deployment", "edge"),
    )
    op.create_table(
        "maintenance_windows",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _known_models() -> None:
    """The history of aliases begins with what each stands for; numbers go on from the highest that is there."""
    op.execute(
        "INSERT INTO alias_moves (model, alias, version, previous, at, by, reason, deploys) "
        "SELECT model, alias, version, previous, moved_at, '', reason, true FROM aliases ORDER BY moved_at"
    )
    op.execute(
        "UPDATE aliases SET revision = (SELECT moves.id FROM alias_moves AS moves "
        "WHERE moves.model = aliases.model AND moves.alias = aliases.alias)"
    )
    op.execute(
        "UPDATE models SET last_version = coalesce("
        "(SELECT max(versions.version) FROM model_versions AS versions WHERE versions.model = models.name), 0)"
    )
