"""Where the agent's settings come from, and which one wins."""

from pathlib import Path

import pytest

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
