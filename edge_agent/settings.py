"""What an agent is told by its configuration: environment over file over defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.broker import BrokerAddress
from schemas.names import Duration, EdgeName, PublicKey
from transport.settings_file import FileSettings, read_settings


class Install(BaseModel):
    """How requirements are installed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    index_url: str | None = None  # default: what this machine's pip uses
    wheelhouse: Path | None = None  # a folder of wheels, for machines without internet
    ca_bundle: Path | None = None  # authorities to trust when installing; default: this machine's
    pip_args: tuple[str, ...] = ()  # such as --no-index
    uv: bool = True  # install with uv where there is one; else, and whatever uv cannot do, with pip
    timeout_s: Duration = 1800.0


class AgentSettings(FileSettings):
    """The agent's configuration file; ``TIDEMILL_AGENT_MAX_TASKS=2`` in the environment wins over it."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEMILL_AGENT_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    edge: EdgeName  # this machine's name, as the controller enrolled it
    controller_public_key: PublicKey  # manifests are taken that it signed, or a key that those name in its place
    broker: BrokerAddress = BrokerAddress()
    data_broker: BrokerAddress | None = None  # for pipelines, where a site has a broker of its own; default: broker
    data_dir: Path = Path()  # relative to the file; default: <edge>-data beside it
    executor: Literal["docker", "process"] = "docker"
    image: str = "python:3.11-slim-bookworm"  # for jobs that name none
    max_tasks: PositiveInt = 1  # more wait until one has ended
    folders: tuple[Path, ...] = ()  # what jobs may read here (edge_folder): these, and what is below
    sealing_key: SecretStr | None = None  # X25519, as enrolment wrote it; opens the secrets of jobs
    report_every_s: Duration = 10.0
    install: Install = Install()
    environments_mb: PositiveInt = 20_480  # unneeded environments go, oldest first, when all of them take more
    blob_cache_mb: PositiveInt = 10_240  # unneeded blobs go, longest unused first, when all of them take more
    disk_reserve_mb: PositiveInt = 500  # a task is not begun, and is ended, when less disk than this is free
    energy: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None  # measure it; the country, such as "DEU"
    end_tasks_on_exit: bool = False  # default: tasks go on without the agent and are adopted when it is back
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


def load_settings(config: Path) -> AgentSettings:
    """Read a configuration file and the environment.

    Raises:
        BadInput: the file cannot be read, or a key is missing, unknown or wrong; the message names file and key.
    """
    settings = read_settings(AgentSettings, config)
    chosen = settings.data_dir if settings.data_dir != Path() else Path(f"{settings.edge}-data")
    return settings.model_copy(update={"data_dir": config.resolve().parent / chosen})
