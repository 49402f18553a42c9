"""How to reach an MQTT broker."""

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, SecretStr

from schemas.written import Written


def check_broker_url(url: str) -> str:
    """Return a broker's URL as it is. Raises ValueError when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError(f"{url!r} is no broker URL; write mqtt://host:1883 or mqtts://host:8883")
    _ = parts.port  # raises ValueError when it is no port
    return url


class BrokerAddress(Written):
    """A broker and the credentials for it; user and password may also stand in the URL."""

    url: Annotated[str, AfterValidator(check_broker_url)] = "mqtt://127.0.0.1:1883"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None  # default with mqtts: the system's authorities
    cert_file: Path | None = None  # the client's own certificate, for mutual TLS
    key_file: Path | None = None

    @property
    def host(self) -> str:
        """Name or address."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """TCP port; 1883 and 8883 are the standard's."""
        return urlsplit(self.url).port or (8883 if self.tls else 1883)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User name and password, if any."""
        parts = urlsplit(self.url)
        username = self.username or (unquote(parts.username) if parts.username else None)
        if username is None:
            return None
        if self.password is not None:
            return username, self.password.get_secret_value()
        return username, unquote(parts.password or "")
