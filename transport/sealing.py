"""Secrets made unreadable: where the controller keeps them, and on their way to the one edge that may read them."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import BadInput, Untrusted
from schemas.secrets import SealedSecrets
from transport.key_file import create_key_file

_AT_REST, _ON_THE_WAY = "aes256gcm:", "x25519:"
_NONCE_BYTES = 12


class StorageKey:
    """The controller's own key: what it keeps is encrypted with it, each value bound to its name."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = _key_id(key)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the key, or make one that its owner alone may read. Two callers at once get the same key.

        Raises:
            BadInput: the file holds no such key.
        """
        if not path.exists():
            create_key_file(path, f"{_write(_AT_REST, AESGCM.generate_key(256))}\n".encode())
        key = _read(_AT_REST, path.read_text(errors="replace").strip())
        if key is None:
            raise BadInput(f"{path} holds no key for secrets; one is {_AT_REST} and 32 bytes in base64")
        return cls(key)

    def lock(self, value: bytes, *, name: str) -> str:
        """The text to keep: the key's id, and the value as nobody without the key can read it."""
        nonce = os.urandom(_NONCE_BYTES)
        box = nonce + self._cipher.encrypt(nonce, value, name.encode())
        return f"{self.key_id}:{base64.b64encode(box).decode()}"

    def unlock(self, kept: str, *, name: str) -> bytes:
        """The value. Raises Untrusted when another key locked it, under another name, or it was altered."""
        key_id, _, text = kept.partition(":")
        if key_id != self.key_id:
            raise Untrusted(f"{name} is locked with the key {key_id}, and this controller has {self.key_id}")
        try:
            box = base64.b64decode(text, validate=True)
            return self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise Untrusted(f"what is kept of {name} was altered") from error


class SealingKey:
    """An edge's private key: what is sealed to its public half, only this edge can open."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes_raw()
        self.public_key = _write(_ON_THE_WAY, self._public)
        self.key_id = _key_id(self._public)

    @classmethod
    def create(cls) -> Self:
        """A new one."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that ``private_key`` wrote. Raises BadInput, which does not repeat the text."""
        raw = _read(_ON_THE_WAY, text)
        if raw is None:
            raise BadInput(f"this is no sealing key; one is {_ON_THE_WAY} and 32 bytes in base64")
        return cls(X25519PrivateKey.from_private_bytes(raw))

    @property
    def private_key(self) -> str:
        """The key as text, for the agent's configuration alone."""
        return _write(_ON_THE_WAY, self._private.private_bytes_raw())

    def open(self, sealed: SealedSecrets, *, about: bytes) -> bytes:
        """What was sealed to this key, about just this. Raises Untrusted."""
        if sealed.key_id != self.key_id:
            raise Untrusted(f"it is sealed to the key {sealed.key_id}, and this edge has {self.key_id}")
        try:
            ephemeral = base64.b64decode(sealed.ephemeral_key, validate=True)
            box = base64.b64decode(sealed.box, validate=True)
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            cipher = _cipher(shared, ephemeral, self._public)
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise Untrusted("it was altered, or is sealed for something else") from error


def seal(plain: bytes, public_key: str, *, about: bytes) -> SealedSecrets:
    """Seal bytes to an edge's public key, bound to what they are about. Each call gives another seal.

    Raises:
        BadInput: the public key is none.
    """
    recipient = _read(_ON_THE_WAY, public_key)
    if recipient is None:
        raise BadInput(f"{public_key!r} is no public key to seal to; one is {_ON_THE_WAY} and 32 bytes in base64")
    private = X25519PrivateKey.generate()
    ephemeral = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(recipient))
    nonce = os.urandom(_NONCE_BYTES)
    box = nonce + _cipher(shared, ephemeral, recipient).encrypt(nonce, plain, about)
    return SealedSecrets(
        key_id=_key_id(recipient),
        ephemeral_key=base64.b64encode(ephemeral).decode(),
        box=base64.b64encode(box).decode(),
    )


def _cipher(shared: bytes, ephemeral: bytes, recipient: bytes) -> ChaCha20Poly1305:
    """The one key of a seal: of what both sides share, and of both public keys."""
    derive = HKDF(SHA256(), length=32, salt=None, info=b"tidemill sealing 1" + ephemeral + recipient)
    return ChaCha20Poly1305(derive.derive(shared))


def _write(scheme: str, raw: bytes) -> str:
    return scheme + base64.b64encode(raw).decode()


def _read(scheme: str, text: str) -> bytes | None:
    """The 32 bytes of a key as text; None if it is none."""
    try:
        raw = base64.b64decode(text.removeprefix(scheme), validate=True)
    except ValueError:
        return None
    return raw if text.startswith(scheme) and len(raw) == 32 else None


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
