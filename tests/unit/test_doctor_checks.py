"""What `tidemill doctor` makes of the configuration of this machine's Mosquitto."""

from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tidemill.cli.doctor_checks import check_persistence

MOSQUITTO = "mosquitto version 2.0.11"
SAVING = "persistence true\nautosave_on_changes true\n"


@pytest.mark.parametrize(
    ("url", "version", "main", "more", "warned"),
    [
        ("mqtt://127.0.0.1", MOSQUITTO, "# nothing\n\n", "", True),
        ("mqtt://127.0.0.1", MOSQUITTO, "persistence true\n", "autosave_on_changes true\n", False),
        ("mqtt://localhost:2883", MOSQUITTO, "listener 2883 127.0.0.1\n", "persistence true\n", True),
        ("mqtt://127.0.0.1:2883", MOSQUITTO, "", "", False),
        ("mqtt://127.0.0.1", MOSQUITTO, "", "port 2883\n", False),
        ("mqtt://127.0.0.1", MOSQUITTO, SAVING, "", False),
        ("mqtt://10.0.0.9", MOSQUITTO, "", "", False),
        ("mqtt://127.0.0.1", "nats 2", "", "", False),
    ],
)
def test_a_broker_that_saves_nothing_is_told(
    tmp_path: Path, url: str, version: str, main: str, more: str, *, warned: bool
) -> None:
    """If it is the Mosquitto of this machine that these files are for: by the port that it listens on."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "mosquitto.conf").write_text(main)
    (tmp_path / "conf.d" / "more.conf").write_text(more)
    checks = check_persistence(BrokerAddress(url=url), version, tmp_path)
    assert [check.verdict for check in checks] == (["warning"] if warned else [])
