"""The controller's signature under what it tells an edge to do, and the edge's check of it."""

import base64
import binascii
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from schemas.errors import BadInput, Untrusted
from schemas.manifest import Manifest, SignedManifest
from schemas.names import EdgeName
from transport.key_file import create_key_file

_SCHEME = "ed25519:"


class SigningKey:
    """The controller's private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes_raw()
        self.public_key = _SCHEME + base64.b64encode(raw).decode()  # what an edge is told when it is enrolled
        self.key_id = _key_id(raw)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the key, or make one that its owner alone may read. Two callers at once get the same key.

        Raises:
            BadInput: the file holds no Ed25519 key in PEM.
        """
        if not path.exists():
            _create(path)
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:  # TypeError: it is encrypted
            raise BadInput(f"{path} holds no unencrypted private key in PEM: {error}") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise BadInput(f"{path} holds a {type(private).__name__}; an Ed25519 key is needed")
        return cls(private)

    def sign_text(self, text: str) -> str:
        """The signature of a text, in base64. The text has to say what it is, so that it passes for nothing else."""
        return base64.b64encode(self._private.sign(text.encode())).decode()

    def sign(self, manifest: Manifest) -> SignedManifest:
        """Sign the manifest's exact bytes."""
        payload = manifest.to_wire()
        signature = base64.b64encode(self._private.sign(payload)).decode()
        return SignedManifest(payload=payload.decode(), key_id=self.key_id, signature=signature)


def check_text(text: str, signature: str, public_key: str) -> None:
    """Raise Untrusted unless the owner of this key signed this text."""
    try:
        raw = base64.b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(_read_public_key(public_key)).verify(raw, text.encode())
    except (InvalidSignature, ValueError) as error:
        raise Untrusted(f"it was altered: its signature by the key {key_id(public_key)} does not fit") from error


def verify(payload: bytes, trusted: Collection[str], *, edge: EdgeName) -> Manifest:
    """The manifest in what was published, if the controller signed it for this edge.

    Args:
        payload: A SignedManifest as it came.
        trusted: The controller's public keys, each as ``ed25519:<base64>``.
        edge: Who we are.

    Raises:
        Untrusted: it is no signed manifest, another key signed it, or it is another edge's.
        BadInput: a public key is none.
    """
    keys = {key_id(public_key): _read_public_key(public_key) for public_key in trusted}
    try:
        signed = SignedManifest.model_validate_json(payload)
    except ValidationError as error:
        raise Untrusted(f"this is no signed manifest: {_first(error)}") from error
    raw = keys.get(signed.key_id)
    if raw is None:
        known = " or ".join(sorted(keys)) or "any"
        raise Untrusted(f"the manifest is signed with the key {signed.key_id}, not with {known}, which we trust")
    try:
        signature = base64.b64decode(signed.signature, validate=True)
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, signed.payload.encode())
    except (InvalidSignature, ValueError) as error:
        raise Untrusted(f"the manifest was altered: its signature by the key {signed.key_id} does not fit") from error
    try:
        manifest = Manifest.model_validate_json(signed.payload)
    except ValidationError as error:
        raise Untrusted(f"the controller signed what is no manifest: {_first(error)}") from error
    if manifest.edge != edge:
        raise Untrusted(f"the manifest is for the edge {manifest.edge}, and this is {edge}")
    return manifest


def _create(path: Path) -> None:
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_key_file(path, private)


def _read_public_key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.removeprefix(_SCHEME), validate=True)
    except binascii.Error:
        raw = b""
    if not text.startswith(_SCHEME) or len(raw) != 32:
        raise BadInput(f"{text!r} is no public key; one is {_SCHEME} and 32 bytes in base64")
    return raw


def key_id(public_key: str) -> str:
    """A short name for a public key. Raises BadInput if it is none."""
    return _key_id(_read_public_key(public_key))


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _first(error: ValidationError) -> str:
    """The first of many complaints, with its place."""
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc']) or 'the document'}: {detail['msg']}"
