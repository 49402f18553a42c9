"""Only the controller's own manifests, for this edge, unaltered."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from schemas.errors import BadInput, Untrusted
from schemas.manifest import Manifest
from transport.signing import SigningKey, verify


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """A new controller's key."""
    return SigningKey.load_or_create(tmp_path / "signing-key.pem")


def altered(key: SigningKey, **changes: str) -> bytes:
    """A signed manifest for oven-1, with some of its fields replaced."""
    signed = key.sign(Manifest(edge="oven-1", generation=7))
    return json.dumps(signed.model_dump() | changes).encode()


def test_a_signed_manifest_is_trusted(key: SigningKey) -> None:
    """What the controller signed comes out as it went in."""
    manifest = Manifest(edge="oven-1", generation=7)
    payload = key.sign(manifest).model_dump_json().encode()
    assert verify(payload, [key.public_key], edge="oven-1") == manifest


def test_the_key_outlives_a_restart_and_is_private(tmp_path: Path) -> None:
    """The same key is loaded again from a file that its owner alone may read, with nothing beside it."""
    path = tmp_path / "deep" / "signing-key.pem"
    first, second = SigningKey.load_or_create(path), SigningKey.load_or_create(path)
    assert first.public_key == second.public_key
    assert first.key_id == second.key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_another_edges_manifest_is_refused(key: SigningKey) -> None:
    """One edge's manifest cannot be replayed to another."""
    with pytest.raises(Untrusted, match="for the edge oven-1, and this is oven-2"):
        verify(altered(key), [key.public_key], edge="oven-2")


def test_another_controllers_manifest_is_refused(key: SigningKey, tmp_path: Path) -> None:
    """A manifest signed with a key that is not ours names both keys."""
    other = SigningKey.load_or_create(tmp_path / "other.pem")
    with pytest.raises(Untrusted, match=f"signed with the key {other.key_id}, not with {key.key_id}"):
        verify(altered(other), [key.public_key], edge="oven-1")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload": Manifest(edge="oven-1", generation=8).model_dump_json()}, "was altered"),
        ({"signature": "AAAA"}, "was altered"),
        ({"signature": "no base64!"}, "was altered"),
    ],
)
def test_an_altered_manifest_is_refused(key: SigningKey, changes: dict[str, str], reason: str) -> None:
    """A changed payload or signature is noticed."""
    with pytest.raises(Untrusted, match=reason):
        verify(altered(key, **changes), [key.public_key], edge="oven-1")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"\xff", b'{"payload": 1, "key_id": "", "signature": ""}'])
def test_what_is_no_signed_manifest_is_refused(key: SigningKey, payload: bytes) -> None:
    """Arbitrary bytes on the manifest's topic are refused with a reason, not with a traceback of the parser."""
    with pytest.raises(Untrusted, match="this is no signed manifest"):
        verify(payload, [key.public_key], edge="oven-1")


@pytest.mark.parametrize("public_key", ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:no base64!"])
def test_a_mistyped_public_key_is_said_to_be_one(key: SigningKey, public_key: str) -> None:
    """A configured key that is none is the operator's mistake, not the controller's."""
    with pytest.raises(BadInput, match="is no public key"):
        verify(altered(key), [public_key], edge="oven-1")


def test_a_file_with_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    """The wrong kind of key, or no key at all, is named and left alone."""
    path = tmp_path / "key.pem"
    path.write_bytes(b"none")
    with pytest.raises(BadInput, match="holds no unencrypted private key"):
        SigningKey.load_or_create(path)
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(BadInput, match="an Ed25519 key is needed"):
        SigningKey.load_or_create(path)
