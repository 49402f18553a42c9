"""By what each version of a pipeline was made."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("pipelines", sa.Column("made_by", sa.Text(), nullable=False, server_default=""))
