"""API tokens: made on the first start, told once, kept as hashes."""

import hashlib
import secrets
from datetime import datetime

from sqlmodel import Session, select

from controller.stores.tables import TokenRow


def first_token(session: Session, *, now: datetime) -> str | None:
    """Make the first token and return it; None if there is one already. Caller commits."""
    if session.exec(select(TokenRow).limit(1)).first() is not None:
        return None
    token = f"tm_{secrets.token_urlsafe(32)}"
    session.add(TokenRow(digest=token_digest(token), name="first", created_at=now))
    return token


def is_known(session: Session, *, token: str) -> bool:
    """Whether somebody may use the API with this token."""
    return session.get(TokenRow, token_digest(token)) is not None


def token_digest(token: str) -> str:
    """What is kept of a token: it has 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()
