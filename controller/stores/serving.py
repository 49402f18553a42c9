"""Pipelines, libraries and deployments in the control database."""

from datetime import datetime

from sqlmodel import Session, col, select

from controller.stores.tables import DeploymentRow, LibraryRow, PipelineRow
from schemas.deployments import DeploymentSpec
from schemas.errors import NotFound
from schemas.fleet import LibrarySpec
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec


def newest_pipeline(session: Session, *, name: str) -> PipelineRow | None:
    """The pipeline's newest version."""
    wanted = select(PipelineRow).where(PipelineRow.name == name).order_by(col(PipelineRow.version).desc()).limit(1)
    return session.exec(wanted).first()


def newest_library(session: Session, *, name: str) -> LibraryRow | None:
    """The library's newest version."""
    wanted = select(LibraryRow).where(LibraryRow.name == name).order_by(col(LibraryRow.version).desc()).limit(1)
    return session.exec(wanted).first()


def get_pipeline(session: Session, *, name: str) -> PipelineRow:
    """The pipeline's newest version. Raises NotFound."""
    row = newest_pipeline(session, name=name)
    if row is None:
        raise NotFound(f"there is no pipeline {name!r}")
    return row


def pipeline_versions(session: Session, *, name: str) -> list[PipelineRow]:
    """The pipeline's versions, newest first; none if there is no such pipeline."""
    wanted = select(PipelineRow).where(PipelineRow.name == name).order_by(col(PipelineRow.version).desc())
    return list(session.exec(wanted))


def get_pipeline_version(session: Session, *, name: str, version: int) -> PipelineRow:
    """One version of a pipeline. Raises NotFound, which tells the versions that there are."""
    newest = get_pipeline(session, name=name).version
    row = session.get(PipelineRow, (name, version))
    if row is None:
        raise NotFound(f"pipeline {name!r} has no version {version}; its newest is {newest}")
    return row


def list_pipelines(session: Session) -> list[PipelineRow]:
    """The newest version of every pipeline, by name."""
    newest = {row.name: row for row in session.exec(select(PipelineRow).order_by(col(PipelineRow.version)))}
    return [newest[name] for name in sorted(newest)]


def newest_specs(session: Session) -> list[PipelineSpec]:
    """The newest version of every pipeline, as its document."""
    return [PipelineSpec.model_validate_json(row.spec) for row in list_pipelines(session)]


def dead_letter_topics(session: Session) -> frozenset[str]:
    """Where the failed messages of every version of every pipeline are published."""
    specs = session.exec(select(PipelineRow.spec))
    return frozenset(PipelineSpec.model_validate_json(spec).dead_letters for spec in specs)


def list_libraries(session: Session) -> list[LibraryRow]:
    """The newest version of every library, by name."""
    newest = {row.name: row for row in session.exec(select(LibraryRow).order_by(col(LibraryRow.version)))}
    return [newest[name] for name in sorted(newest)]


def add_pipeline(session: Session, *, spec: PipelineSpec, blob: BlobRef, now: datetime, by: str = "") -> int:
    """Add a version of a pipeline and return its number. Caller commits."""
    last = newest_pipeline(session, name=spec.name)
    version = last.version + 1 if last else 1
    session.add(
        PipelineRow(
            name=spec.name,
            version=version,
            spec=spec.model_dump_json(),
            blob=blob.model_dump_json(),
            created_at=now,
            made_by=by,
        )
    )
    session.flush()
    return version


def add_library(session: Session, *, spec: LibrarySpec, now: datetime) -> int:
    """Add a version of a library and return its number. Caller commits."""
    last = newest_library(session, name=spec.name)
    version = last.version + 1 if last else 1
    session.add(LibraryRow(name=spec.name, version=version, spec=spec.model_dump_json(), created_at=now))
    session.flush()
    return version


def list_deployments(session: Session) -> list[DeploymentSpec]:
    """Every deployment, by name."""
    rows = session.exec(select(DeploymentRow).order_by(DeploymentRow.name))
    return [DeploymentSpec.model_validate_json(row.spec) for row in rows]


def get_deployment(session: Session, *, name: str) -> DeploymentSpec:
    """A deployment. Raises NotFound."""
    row = session.get(DeploymentRow, name)
    if row is None:
        raise NotFound(f"there is no deployment {name!r}")
    return DeploymentSpec.model_validate_json(row.spec)


def save_deployment(session: Session, *, spec: DeploymentSpec, now: datetime) -> None:
    """Make or change a deployment. Caller commits."""
    row = session.get(DeploymentRow, spec.name) or DeploymentRow(name=spec.name, spec="", created_at=now)
    row.spec = spec.model_dump_json()
    session.add(row)
