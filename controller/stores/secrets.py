"""Secrets in the control database, locked; who uses them stands in the jobs."""

from datetime import datetime

from sqlmodel import Session, select

from controller.stores.jobs import list_jobs
from controller.stores.tables import SecretRow
from schemas.errors import NotFound


def get_secret(session: Session, *, name: str) -> SecretRow:
    """A secret's row. Raises NotFound, with the command that sets it."""
    row = session.get(SecretRow, name)
    if row is None:
        raise NotFound(f"secret {name} is not set: `tidemill secret set {name}`")
    return row


def list_secrets(session: Session) -> list[SecretRow]:
    """Every secret, by name."""
    return list(session.exec(select(SecretRow).order_by(SecretRow.name)))


def save_secret(session: Session, *, name: str, sealed: str, now: datetime) -> SecretRow:
    """Set a secret, or change it. Caller commits."""
    row = session.get(SecretRow, name) or SecretRow(name=name, sealed="", changed_at=now)
    row.sealed, row.changed_at = sealed, now
    session.add(row)
    return row


def users_of_secrets(session: Session) -> dict[str, tuple[str, ...]]:
    """By secret, set or not: the jobs that use it."""
    users: dict[str, list[str]] = {}
    for row, spec in list_jobs(session):
        for secret in dict.fromkeys(use.secret for use in spec.secrets):
            users.setdefault(secret, []).append(row.name)
    return {secret: tuple(jobs) for secret, jobs in users.items()}
