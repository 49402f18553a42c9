"""Writes the accounts of a Mosquitto broker: who may connect, and which topics each may touch."""

import base64
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from controller.private_files import write_private
from schemas.topics import CONTROLLER_PRESENCE, ROOT
from transport.mqtt import Link

CONTROLLER_USER = "tidemill-controller"
DEVICE_USER = "device"
OWN_USERS = frozenset({CONTROLLER_USER, DEVICE_USER})
"""No edge may be called so: it would take the account over."""

_ITERATIONS = 20_000  # PBKDF2 rounds; passwords have 192 random bits, so few would do


class BrokerAccounts:
    """A password file and an ACL file, as mosquitto.conf(5) describes them, and a way to have them read again."""

    def __init__(self, folder: Path) -> None:
        self.on_change: Callable[[], None] = lambda: None  # has the broker read its files again
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.password_file, self.acl_file = folder / "passwords", folder / "acl"
        self._topics: frozenset[str] = frozenset()
        if not self.password_file.exists():
            write_private(self.password_file, "")

    def add(self, username: str) -> str:
        """Make an account, or give it a new password; returns the password, which is kept as a hash only."""
        password = secrets.token_urlsafe(24)
        self.set_password(username, password)
        return password

    def set_password(self, username: str, password: str) -> None:
        """Make an account with a password of one's own choosing."""
        others = [line for line in self._lines() if not line.startswith(f"{username}:")]
        write_private(self.password_file, "\n".join([*others, f"{username}:{password_hash(password)}", ""]))
        self._write_acl()
        self.on_change()

    def remove(self, username: str) -> bool:
        """Have the broker know an account no more, and whoever uses it thrown out; False if there was none."""
        lines = self._lines()
        others = [line for line in lines if not line.startswith(f"{username}:")]
        if len(others) == len(lines):
            return False
        write_private(self.password_file, "\n".join([*others, ""]))
        self._write_acl()
        self.on_change()
        return True

    def allow(self, data_topics: Iterable[str]) -> bool:
        """Let edges and devices use these topics beside an edge's own, and return whether that is new."""
        wanted = frozenset(data_topics)
        if wanted == self._topics:
            return False
        self._topics = wanted
        self._write_acl()
        self.on_change()
        return True

    def _write_acl(self) -> None:
        rules = [f"topic readwrite {topic}" for topic in sorted(self._topics)]
        topics = "\n".join([f"topic read {CONTROLLER_PRESENCE.pattern}", *rules])
        users = [line.partition(":")[0] for line in self._lines()]
        shared = "\n\n".join(f"user {user}\n{topics}" for user in users if user != CONTROLLER_USER)
        write_private(
            self.acl_file,
            f"user {CONTROLLER_USER}\ntopic readwrite #\n\n{shared}\n\npattern readwrite {ROOT}/edges/%u/#\n",
        )

    def _lines(self) -> list[str]:
        return [line for line in self.password_file.read_text().splitlines() if line]


async def settled(link: Link) -> None:
    """Return when a broker that was told to read its files again has done so.

    Mosquitto looks for the signal between two rounds of packets: the second answer comes after the new files count.
    Until then it drops, without a word, what the old ones do not allow.
    """
    for _ in range(2):
        await link.flush()


def password_hash(password: str) -> str:
    """A hash in the form of mosquitto_passwd(1): ``$7$``, PBKDF2 with SHA-512."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
