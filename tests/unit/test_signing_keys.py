"""The controller's signing keys: made, made anew, retired, and whole whenever it is killed."""

from pathlib import Path

import pytest

from controller.signing_keys import NEWEST, SigningKeys
from schemas.errors import Conflict, NotFound


def test_a_rotated_key_signs_and_the_one_before_goes_on(tmp_path: Path) -> None:
    """An edge is signed for with the newest key that it trusts; one that has told nothing, with what it was told."""
    keys = SigningKeys(tmp_path)
    first = keys.newest
    second = keys.rotate()
    assert [key.key_id for key in keys.keys] == [second.key_id, first.key_id]
    assert keys.for_edge(trusts=(), pinned=first.key_id).key_id == first.key_id
    assert keys.for_edge(trusts=(first.key_id,), pinned=second.key_id).key_id == first.key_id
    assert keys.for_edge(trusts=(first.key_id, second.key_id), pinned=first.key_id).key_id == second.key_id
    assert keys.for_edge(trusts=("unknown",), pinned="").key_id == second.key_id


def test_keys_outlive_a_restart(tmp_path: Path) -> None:
    """All that sign, in their order, and those that were retired."""
    keys = SigningKeys(tmp_path)
    first = keys.newest.key_id
    keys.rotate()
    second = keys.newest.key_id
    keys.rotate()
    keys.retire(first)
    again = SigningKeys(tmp_path)
    assert [key.key_id for key in again.keys] == [keys.newest.key_id, second]
    assert again.retired == (first,)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["retired_signing_keys", NEWEST, f"signing_key.{second}.pem"]
    )


def test_the_newest_key_and_unknown_ones_are_not_retired(tmp_path: Path) -> None:
    """Each is refused with what to do, and nothing changes."""
    keys = SigningKeys(tmp_path)
    with pytest.raises(Conflict, match="key rotate"):
        keys.retire(keys.newest.key_id)
    with pytest.raises(NotFound, match="there is no key abc"):
        keys.retire("abc")
    assert keys.retired == ()


def test_a_rotation_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    """Whatever files it left: the key before is the newest still, and the next rotation is a whole one."""
    keys = SigningKeys(tmp_path)
    first = keys.newest.key_id
    (tmp_path / f"signing_key.{first}.pem").hardlink_to(tmp_path / NEWEST)
    (tmp_path / "signing_key.new").write_text("half a key")
    again = SigningKeys(tmp_path)
    assert [key.key_id for key in again.keys] == [first]
    again.rotate()
    assert [key.key_id for key in SigningKeys(tmp_path).keys] == [again.newest.key_id, first]


def test_a_retirement_that_was_cut_off_counts(tmp_path: Path) -> None:
    """Once it is noted, the key signs nothing any more, though its file was still there."""
    keys = SigningKeys(tmp_path)
    first = keys.newest.key_id
    keys.rotate()
    (tmp_path / "retired_signing_keys").write_text(f"{first}\n")
    again = SigningKeys(tmp_path)
    assert [key.key_id for key in again.keys] == [keys.newest.key_id]
    assert not (tmp_path / f"signing_key.{first}.pem").exists()
