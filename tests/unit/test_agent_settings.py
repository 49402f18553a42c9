"""Where the agent's settings come from, and which one wins."""

from pathlib import Path

import pytest

from edge_agent.execution.executors import install_settings
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.settings import load_settings
from schemas.errors import BadInput

WRITTEN = f"""
edge = "press-1"
controller_public_key = "ed25519:{"A" * 43}="
max_tasks = 2
[broker]
url = "mqtt://broker:1883"
username = "press-1"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file as enrolment writes it."""
    path = tmp_path / "press-1.toml"
    path.write_text(WRITTEN)
    return path


def test_the_environment_wins_over_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces its key alone, inside sections too; what neither says keeps its default."""
    monkeypatch.setenv("TIDEMILL_AGENT_MAX_TASKS", "3")
    monkeypatch.setenv("TIDEMILL_AGENT_BROKER__PASSWORD", "secret")
    settings = load_settings(config)
    assert settings.max_tasks == 3
    assert settings.broker.credentials == ("press-1", "secret")
    assert settings.broker.host == "broker"
    assert settings.executor == "docker"


def test_the_data_folder_stands_beside_the_file(config: Path) -> None:
    """Wherever the agent is started from, it finds the same folder."""
    assert load_settings(config).data_dir == config.parent / "press-1-data"
    config.write_text('data_dir = "elsewhere"\n' + WRITTEN)
    assert load_settings(config).data_dir == config.parent / "elsewhere"


def test_a_wrong_variable_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable, not the file that is right."""
    monkeypatch.setenv("TIDEMILL_AGENT_MAX_TASKS", "0")
    with pytest.raises(BadInput, match="environment variable TIDEMILL_AGENT_MAX_TASKS: `max_tasks` is wrong"):
        load_settings(config)


def test_what_installs_and_where_to_is_configured(config: Path) -> None:
    """The executor is given the installer's settings, the cap on environments and the reserve as they are written."""
    more = 'executor = "process"\nenvironments_mb = 3\ndisk_reserve_mb = 2\nfolders = ["/data/raw"]\n'
    install = '[install]\nuv = false\nwheelhouse = "/wheels"\npip_args = ["--no-index"]\ntimeout_s = "10m"\n'
    config.write_text(more + WRITTEN + install)
    settings = load_settings(config)
    assert settings.folders == (Path("/data/raw"),)
    mib = 1024 * 1024
    assert install_settings(settings) == InstallSettings(
        wheelhouse=Path("/wheels"),
        pip_args=("--no-index",),
        uv=False,
        timeout_s=600,
        environments_bytes=3 * mib,
        reserve_bytes=2 * mib,
    )
