"""The controller's secrets: set and never told again, and sealed for the edge that does a run."""

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from controller.runs.steps import Run
from controller.stores.database import Database
from controller.stores.edges import get_edge
from controller.stores.secrets import get_secret, list_secrets, save_secret, users_of_secrets
from controller.stores.tables import SecretRow
from schemas.errors import BadInput, Conflict, NotFound, TaskFailed, TooLarge, Untrusted
from schemas.names import BlobRef
from schemas.secrets import MAX_SEALED_BYTES, MAX_SECRET_BYTES, SecretValues, sealed_for
from schemas.views import SecretView
from transport.blob_store import BlobDirectory
from transport.sealing import StorageKey, seal

_PADDED_TO_BYTES = 1024  # so that a seal's size tells little of a password's length


class Secrets:
    """Where secrets are set, listed, deleted and given to runs."""

    def __init__(
        self, database: Database, key: StorageKey, blobs: BlobDirectory, *, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._key, self._blobs, self._clock = database, key, blobs, clock

    async def put(self, name: str, value: bytes) -> SecretView:
        """Set a secret, or change it: attempts that are dispatched from now on get the new value.

        Raises:
            TooLarge: it has more than 64 KiB.
            BadInput: it is empty, or no UTF-8. No message repeats any of it.
        """
        if len(value) > MAX_SECRET_BYTES:
            raise TooLarge(f"secret {name} would have {len(value)} bytes; at most {MAX_SECRET_BYTES} are kept")
        if not value:
            raise BadInput(f"secret {name} would be empty")
        if not _is_text(value):
            raise BadInput(f"secret {name} is no UTF-8 text; encode other bytes, such as with base64")
        sealed = self._key.lock(value, name=name)

        def save(session: Session) -> SecretView:
            row = save_secret(session, name=name, sealed=sealed, now=self._clock())
            return _view(row, users_of_secrets(session))

        return await self._database.write(save)

    async def all(self) -> tuple[SecretView, ...]:
        """Every secret, by name: when it was changed and who uses it."""

        def look(session: Session) -> tuple[SecretView, ...]:
            users = users_of_secrets(session)
            return tuple(_view(row, users) for row in list_secrets(session))

        return await self._database.read(look)

    async def delete(self, name: str) -> None:
        """Forget a secret.

        Raises:
            NotFound: it is not set.
            Conflict: jobs use it; the message names them.
        """

        def forget(session: Session) -> None:
            row = get_secret(session, name=name)
            if jobs := users_of_secrets(session).get(name):
                raise Conflict(f"secret {name} is used by {', '.join(jobs)}; change or delete what uses it first")
            session.delete(row)

        await self._database.write(forget)

    def seal(self, session: Session, *, run: Run, edge: str, attempt: int) -> BlobRef | None:
        """Seal what the run's job names, with its present values, for an edge that is about to be given an attempt.

        Each call makes another blob, so keep what it gives. Blocks on the disk.

        Returns:
            The blob of the SealedSecrets; None if the job names no secret.

        Raises:
            NotFound: a secret is not set or the edge has no key: the run waits, for the message's reason.
            TaskFailed: they are too large together.
        """
        names = sorted({use.secret for use in run.job.secrets})
        if not names:
            return None
        values = SecretValues(values={name: self._value(session, name) for name in names})
        recipient = get_edge(session, name=edge).sealing_key
        if not recipient:
            raise NotFound(f"{edge} has no key that secrets could be sealed to: `tidemill edge rekey {edge}` makes one")
        plain = values.model_dump_json().encode()
        padded = plain + b" " * (-len(plain) % _PADDED_TO_BYTES)
        sealed = seal(padded, recipient, about=sealed_for(edge, run.id, attempt)).model_dump_json().encode()
        if len(sealed) > MAX_SEALED_BYTES:
            raise TaskFailed(f"the job's secrets take {len(sealed)} bytes sealed; an edge takes {MAX_SEALED_BYTES}")
        return self._blobs.put_bytes(sealed)

    def _value(self, session: Session, name: str) -> str:
        try:
            return self._key.unlock(get_secret(session, name=name).sealed, name=name).decode()
        except Untrusted as error:
            raise NotFound(f"secret {name} cannot be read ({error}): `tidemill secret set {name}`") from error


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:  # not chained on: it carries the value
        return False
    return True


def _view(row: SecretRow, users: dict[str, tuple[str, ...]]) -> SecretView:
    return SecretView(name=row.name, changed_at=row.changed_at, used_by=users.get(row.name, ()))
