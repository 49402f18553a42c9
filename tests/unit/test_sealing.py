"""Secrets at rest and on their way: who can read them, and that everything else is refused."""

import stat
from pathlib import Path
from uuid import UUID

import pytest

from schemas.errors import BadInput, Untrusted
from schemas.secrets import SealedSecrets, sealed_for
from transport.sealing import SealingKey, StorageKey, seal

PLAIN = "pä$$ 'word'\n".encode()
ABOUT = sealed_for("press-1", UUID(int=7), 2)


def test_a_locked_value_is_read_with_its_key_and_name_alone(tmp_path: Path) -> None:
    """What one controller locked is neither another controller's, nor another secret's, and does not show the value."""
    key = StorageKey.load_or_create(tmp_path / "key")
    kept = key.lock(PLAIN, name="db_password")
    assert StorageKey.load_or_create(tmp_path / "key").unlock(kept, name="db_password") == PLAIN
    assert kept != key.lock(PLAIN, name="db_password")
    with pytest.raises(Untrusted, match="altered"):
        key.unlock(kept, name="other")
    with pytest.raises(Untrusted, match="locked with the key"):
        StorageKey.load_or_create(tmp_path / "other").unlock(kept, name="db_password")


def test_the_storage_key_is_private_and_checked(tmp_path: Path) -> None:
    """The key's file is its owner's alone, and a file that holds something else is told by its path."""
    StorageKey.load_or_create(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    (tmp_path / "wrong").write_bytes(b"aes256gcm:\xff")
    with pytest.raises(BadInput, match="wrong"):
        StorageKey.load_or_create(tmp_path / "wrong")


def test_a_seal_is_opened_by_its_edge_alone() -> None:
    """The edge's private key, carried as text, opens what was sealed to its public one; another key does not."""
    key = SealingKey.create()
    sealed = SealedSecrets.model_validate_json(seal(PLAIN, key.public_key, about=ABOUT).model_dump_json())
    assert SealingKey.parse(key.private_key).open(sealed, about=ABOUT) == PLAIN
    with pytest.raises(Untrusted, match=key.key_id):
        SealingKey.create().open(sealed, about=ABOUT)


@pytest.mark.parametrize(("edge", "run", "attempt"), [("press-2", 7, 2), ("press-1", 8, 2), ("press-1", 7, 3)])
def test_a_seal_is_for_one_attempt(edge: str, run: int, attempt: int) -> None:
    """A seal that is moved to another edge, run or attempt does not open."""
    key = SealingKey.create()
    sealed = seal(PLAIN, key.public_key, about=ABOUT)
    with pytest.raises(Untrusted, match="sealed for something else"):
        key.open(sealed, about=sealed_for(edge, UUID(int=run), attempt))


@pytest.mark.parametrize("field", ["ephemeral_key", "box"])
@pytest.mark.parametrize("text", ["", "AAAA", "no base64", "A" * 43 + "="])
def test_an_altered_seal_is_refused(field: str, text: str) -> None:
    """Whatever stands in a seal's place, it is refused by name and nothing else happens."""
    key = SealingKey.create()
    sealed = seal(PLAIN, key.public_key, about=ABOUT).model_copy(update={field: text})
    with pytest.raises(Untrusted):
        key.open(sealed, about=ABOUT)


@pytest.mark.parametrize("text", ["", "x25519:", "x25519:AAAA", "ed25519:" + "A" * 43 + "=", "A" * 43 + "="])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    """A wrong private key is an error that does not show it, since it may be nearly right."""
    with pytest.raises(BadInput) as caught:
        SealingKey.parse(text)
    assert "AAAA" not in str(caught.value)
    with pytest.raises(BadInput):
        seal(PLAIN, text, about=ABOUT)
