"""Archives of models as files: ``manifest.json``, signed, and the blobs that it names."""

import hashlib
import tarfile
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from pydantic import ValidationError

from schemas.archives import ModelArchive, SignedArchive
from schemas.errors import BadInput, Untrusted
from schemas.models import ModelVersion
from schemas.names import BlobRef
from tidemill.client import Client
from transport.signing import check_text

SUFFIX = ".tidemill"
_MANIFEST = "manifest.json"
_MANIFEST_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def export_model(client: Client, name: str, version: int | None, to: Path) -> ModelArchive:
    """Write a model, or one version of it; the file is whole or not there."""
    signed = client.model_archive(name, version)
    archive = ModelArchive.model_validate_json(signed.payload)
    part = to.with_name(f".{to.name}.part")
    try:
        with tarfile.open(part, "w") as tar, tempfile.TemporaryDirectory(dir=to.parent) as folder:
            _add(tar, _MANIFEST, signed.model_dump_json().encode())
            for ref in _blobs(archive):
                held = Path(folder) / "blob"
                client.download_blob(ref, held)
                tar.add(held, arcname=_place(ref))
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return archive


def import_model(client: Client, path: Path, *, name: str | None, trust: str | None) -> list[ModelVersion]:
    """Hand an archive to a controller, each file checked by its digest before it is sent.

    Raises:
        BadInput: it is no archive, or lacks a file.
        Untrusted: a file in it is not what its manifest says, or the controller does not trust who signed that.
    """
    try:
        with tarfile.open(path, "r:") as tar, tempfile.TemporaryDirectory() as folder:
            signed = _manifest(tar)
            check_text(signed.payload, signed.signature, signed.public_key)  # before anything of it is sent
            missing = {_place(ref): ref for ref in _blobs(ModelArchive.model_validate_json(signed.payload))}
            for member in tar:  # nothing is ever extracted by the name that it has
                if member.isreg() and not member.issparse() and (ref := missing.pop(member.name, None)) is not None:
                    client.upload(_checked(tar, member, ref, Path(folder) / "blob"))
    except (tarfile.TarError, ValidationError, EOFError, OSError) as error:
        raise BadInput(f"{path} is no whole archive of models: {error}") from error
    if missing:
        raise BadInput(f"{path} lacks {len(missing)} of the files that its manifest names, such as {min(missing)}")
    return client.import_archive(signed, name=name, trust=trust)


def _blobs(archive: ModelArchive) -> Iterable[BlobRef]:
    return {ref.digest: ref for version in archive.versions for ref in version.blobs}.values()


def _place(ref: BlobRef) -> str:
    return f"blobs/{ref.digest.removeprefix('sha256:')}"


def _manifest(tar: tarfile.TarFile) -> SignedArchive:
    first = tar.next()
    if first is None or first.name != _MANIFEST or not first.isreg() or first.size > _MANIFEST_BYTES:
        raise tarfile.ReadError(f"it does not begin with a {_MANIFEST}")
    file = tar.extractfile(first)
    assert file is not None  # noqa: S101 - it is a regular file
    return SignedArchive.model_validate_json(file.read())


def _checked(tar: tarfile.TarFile, member: tarfile.TarInfo, ref: BlobRef, to: Path) -> Path:
    file = tar.extractfile(member)
    if file is None or member.size != ref.size_bytes:
        raise Untrusted(f"{member.name} in the archive has {member.size} bytes, and its manifest says {ref.size_bytes}")
    digest = hashlib.sha256()
    with to.open("wb") as copy:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            copy.write(piece)
    if f"sha256:{digest.hexdigest()}" != ref.digest:
        raise Untrusted(f"{member.name} in the archive was altered: its digest is another one")
    return to


def _add(tar: tarfile.TarFile, place: str, content: bytes) -> None:
    info = tarfile.TarInfo(place)
    info.size = len(content)
    tar.addfile(info, BytesIO(content))
