"""What a controller is told by its configuration: environment over file over defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.broker import BrokerAddress, check_broker_url
from schemas.names import Duration, Identifier, PublicKey
from transport.settings_file import FileSettings, read_settings

Port = Annotated[int, Field(ge=0, le=65535)]


class ControllerSettings(FileSettings):
    """The controller's configuration file; ``TIDEMILL_CONTROLLER_HTTP_PORT=80`` in the environment wins over it."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMILL_CONTROLLER_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("tidemill-data")  # databases, blobs, logs, the signing key; relative to the file
    http_host: str = "127.0.0.1"  # 0.0.0.0 opens the API to the network: put TLS in front
    http_port: Port = 8420  # 0: any free one
    broker: BrokerAddress | None = None  # None: start one of our own on loopback, see embedded_broker.py
    broker_accounts: Literal["by_hand", "dynamic_security"] = "by_hand"  # of edges, at a broker of one's own
    edge_broker_url: Annotated[str, AfterValidator(check_broker_url)] | None = (
        None  # as edges reach the broker, if that differs from broker.url
    )
    embedded_broker: Literal["auto", "mosquitto", "nats"] = "auto"  # auto: Mosquitto if it is installed, else NATS
    embedded_broker_port: Port = 1883  # 0: any free one, kept from then on
    control_url: str | None = None  # default: SQLite in data_dir
    collections_url: str | None = None  # default: another SQLite in data_dir
    collections_query_url: str | None = None  # on PostgreSQL: as whom people's queries run; default: collections_url
    trusted_keys: tuple[PublicKey, ...] = ()  # of other controllers, whose models may be imported
    sources: dict[Identifier, SecretStr] = {}  # databases that queries may read, by name: SQLAlchemy URLs
    upload_mb: PositiveInt = 16384  # the largest file that may be uploaded, such as weights beside a model
    query_timeout_s: Duration = 300.0
    selection_mb: PositiveInt = 4096  # the most that one query may give
    transfer_mb_s: PositiveInt | None = None  # pace of blob transfers to and from each edge; None: no limit
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


def load_settings(config: Path | None) -> ControllerSettings:
    """Read the configuration. Raises BadInput with the file and the key that is wrong."""
    settings = read_settings(ControllerSettings, config)
    beside = config.resolve().parent if config else Path.cwd()
    return settings.model_copy(update={"data_dir": beside / settings.data_dir})
