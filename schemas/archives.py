"""Models on their way from one controller to another: everything that is said of them, by digest, and who says so."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.models import ModelVersion
from schemas.names import BlobRef, Name, PublicKey


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ArchivedVersion(_Kept):
    """A version, and what people said of it."""

    card: ModelVersion
    note: str = ""
    tags: dict[str, str] = {}

    @property
    def blobs(self) -> list[BlobRef]:
        """All bytes that belong to it."""
        rest = [ref for ref in (self.card.sample, self.card.curves) if ref is not None]
        return [*self.card.files.values(), *self.card.additional.values(), *rest]


class ModelArchive(_Kept):
    """A model with some of its versions, oldest first."""

    kind: Literal["tidemill model archive"] = "tidemill model archive"  # a signature under anything else is none of it
    v: Literal[1] = 1
    name: Name
    description: str = ""
    versions: tuple[ArchivedVersion, ...]
    aliases: dict[str, int] = {}
    at: AwareDatetime


class SignedArchive(_Kept):
    """The archive's exact text, and the signature of the controller that wrote it."""

    payload: str  # the ModelArchive as JSON
    public_key: PublicKey
    signature: str  # base64, of the payload's UTF-8 bytes
