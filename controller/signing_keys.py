"""The controller's signing keys: the newest signs, older ones go on for edges that do not know it yet.

newest ─rotate▶ older (for edges that trust no newer one) ─retire▶ gone; no edge takes what it signs any more
"""

from collections.abc import Collection
from pathlib import Path

from controller.private_files import write_private
from schemas.errors import Conflict, NotFound
from transport.signing import SigningKey

NEWEST = "signing_key.pem"


class SigningKeys:
    """Key files in one folder; every change is whole on the disk before it counts."""

    def __init__(self, folder: Path) -> None:
        """Load them, or make the first. Raises BadInput when a file holds no key."""
        self._folder = folder
        self.newest = SigningKey.load_or_create(folder / NEWEST)
        found = [SigningKey.load_or_create(path) for path in sorted(folder.glob("signing_key.*.pem"))]
        self._older = {key.key_id: key for key in found if key.key_id != self.newest.key_id}
        for key_id in self.retired:
            self._forget(key_id)  # as retiring it would have done, had it not been cut off

    @property
    def retired(self) -> tuple[str, ...]:
        """The ids of the keys that were retired, in that order."""
        path = self._folder / "retired_signing_keys"
        return tuple(path.read_text(encoding="ascii").split()) if path.exists() else ()

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """Those that sign, the newest first."""
        return (self.newest, *self._older.values())

    @property
    def public_keys(self) -> tuple[str, ...]:
        """What edges are told to trust."""
        return tuple(key.public_key for key in self.keys)

    def for_edge(self, *, trusts: Collection[str], pinned: str) -> SigningKey:
        """The key to sign an edge's manifest with: the newest that it takes.

        Args:
            trusts: ids of the keys that it says it trusts; none, if it has not said anything.
            pinned: id of the key that it was enrolled with, or that its last manifest was signed with.
        """
        known = trusts or (pinned,)
        return next((key for key in self.keys if key.key_id in known), self.newest)

    def rotate(self) -> SigningKey:
        """Make a new key the newest; the one before goes on for edges that do not know it yet."""
        before = self.newest
        older = self._folder / f"signing_key.{before.key_id}.pem"
        older.unlink(missing_ok=True)  # of a rotation that was cut off here
        older.hardlink_to(self._folder / NEWEST)
        coming = self._folder / "signing_key.new"
        coming.unlink(missing_ok=True)
        made = SigningKey.load_or_create(coming)
        coming.replace(self._folder / NEWEST)
        self._older = {before.key_id: before, **self._older}
        self.newest = made
        return made

    def retire(self, key_id: str) -> None:
        """Have no edge take what a key signs any more, and forget its private half.

        Raises:
            Conflict: it is the newest, which must be rotated first.
            NotFound: there is no such key.
        """
        if key_id == self.newest.key_id:
            raise Conflict(f"{key_id} is the newest key: `tidemill key rotate` makes another one first")
        if key_id not in self._older:
            raise NotFound(f"there is no key {key_id}; those that can be retired: {', '.join(self._older) or 'none'}")
        write_private(self._folder / "retired_signing_keys", "\n".join([*self.retired, key_id, ""]))
        self._forget(key_id)

    def _forget(self, key_id: str) -> None:
        self._older.pop(key_id, None)
        (self._folder / f"signing_key.{key_id}.pem").unlink(missing_ok=True)
