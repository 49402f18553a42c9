"""Secrets on their way from the controller to one attempt of one run on one edge."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PositiveInt

from schemas.names import EdgeName, Identifier

MAX_SECRET_BYTES = 64 * 1024  # one environment variable takes twice as much
MAX_SEALED_BYTES = 4 * 1024 * 1024  # what an agent reads of a sealed blob


class _OnTheWay(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SecretValues(_OnTheWay):
    """What is sealed: the values of the secrets that a job names. It exists in memory only."""

    values: dict[Identifier, str]


class SealedSecrets(_OnTheWay):
    """Secret values that one edge alone can open, and only as those of the attempt they are for; a blob.

    X25519 with a key pair made for this once, HKDF-SHA256, ChaCha20-Poly1305.
    """

    v: Literal[1] = 1
    key_id: str  # of the edge's public key that it is sealed to
    ephemeral_key: str  # the public key made for this once, base64
    box: str  # nonce and ciphertext, base64


def sealed_for(edge: EdgeName, run_id: UUID, attempt: PositiveInt) -> bytes:
    """What a seal is bound to, so that the secrets of one attempt cannot be given to another."""
    return f"tidemill secrets 1\n{edge}\n{run_id}\n{attempt}".encode()
