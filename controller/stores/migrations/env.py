"""Alembic's entry: runs the migrations on the connection that database.py hands over."""

from alembic import context
from sqlmodel import SQLModel

from controller.stores import tables

assert tables  # noqa: S101 - importing it fills the metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
