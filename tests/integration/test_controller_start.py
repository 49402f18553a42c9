"""How a controller starts when something is in its way: what it says, and with which exit code it ends."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Mosquitto, select_wait
from tests.integration.command import tidemill
from tests.integration.site import controller

START_S = 30.0


@contextmanager
def started(home: Path, settings: str) -> "Iterator[subprocess.Popen[str]]":
    """A controller that may or may not come up."""
    (home / "controller.toml").write_text(settings)
    command = [sys.executable, "-m", "controller", "controller.toml"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=home, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(look: Callable[[], bool], what: str) -> None:
    """Wait for something in another process."""
    deadline = time.monotonic() + START_S
    while not look():
        assert time.monotonic() < deadline, f"waited for {what}, in vain"
        select_wait(0.05)


def test_a_folder_has_one_controller(tmp_path: Path) -> None:
    """A second controller in the same folder ends with status 4 and says whose it is; the first one goes on."""
    with controller(tmp_path) as site:
        second = tidemill("controller", "--config", "controller.toml", home=tmp_path)
        assert second.returncode == 4
        assert re.fullmatch(
            rf"tidemill controller: another controller \(pid \d+\) uses {tmp_path}/controller-data; "
            "give each a data_dir of its own\n",
            second.stderr,
        )
        assert site.ask("edge", "list") == []


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """An HTTP port that somebody else has ends the start with status 1, naming host, port and setting."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        (tmp_path / "controller.toml").write_text(f"http_port = {port}\nembedded_broker_port = 0\n")
        done = tidemill("controller", "--config", "controller.toml", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    said = f"tidemill controller: cannot listen on 127.0.0.1:{port}: Address already in use; choose another http_port\n"
    assert done.stderr == said


def test_a_taken_broker_port_is_said(tmp_path: Path) -> None:
    """Another's broker on the embedded one's port is not mistaken for it: status 1, and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        (tmp_path / "controller.toml").write_text(f"http_port = 0\nembedded_broker_port = {port}\n")
        done = tidemill("controller", "--config", "controller.toml", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {port} is taken" in done.stderr
    assert "[broker] url" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("http_prot = 1\n", "controller.toml: `http_prot` is no setting"),
        ('http_port = "many"\n', "controller.toml: `http_port` is wrong: Input should be a valid integer"),
        ('embedded_broker = "rabbit"\n', "controller.toml: `embedded_broker` is wrong"),
        ('[broker]\nurl = "http://here"\n', "controller.toml: `broker.url` is wrong"),
        ("http_port = \n", "controller.toml is not TOML"),
        ("http_port = 70000\n", "controller.toml: `http_port` is wrong: Input should be less than or equal to 65535"),
        (
            'edge_broker_url = "here"\n',
            "controller.toml: `edge_broker_url` is wrong: Value error, 'here' is no broker URL",
        ),
        ('data_dir = "/dev/null/here"\n', "data_dir /dev/null/here cannot be used: Not a directory"),
        ('control_url = "nonsense"\n', "control_url is no database URL"),
        ('collections_url = "oracle://here"\n', "oracle://here"),
    ],
)
def test_a_wrong_setting_has_its_file_and_key(tmp_path: Path, settings: str, said: str) -> None:
    """Status 2, one line for each mistake, nothing on stdout."""
    (tmp_path / "controller.toml").write_text(settings)
    done = tidemill("controller", "--config", "controller.toml", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """A mistake in the environment is told by the variable, not by the file."""
    done = tidemill("controller", home=tmp_path, TIDEMILL_CONTROLLER_HTTP_PORT="many")
    assert done.returncode == 2
    assert "environment variable TIDEMILL_CONTROLLER_HTTP_PORT: `http_port` is wrong" in done.stderr


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Without a broker the API answers and says what is missing; once the broker is there, so is everything."""
    broker = Mosquitto(tmp_path)
    where = f"127.0.0.1:{broker.port}"
    with started(tmp_path, f'http_port = 0\n[broker]\nurl = "{broker.address.url}"\n') as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(": ", 1)[1].strip()
        token = process.stdout.readline().split(": ", 1)[1].strip()
        answers = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        try:
            with answers:
                assert answers.get("/healthz").status_code == 200
                unready = answers.get("/readyz")
                checks = {check["name"]: check for check in unready.json()["items"]}
                assert (unready.status_code, checks["broker"]["ok"]) == (503, False)
                assert where in checks["broker"]["detail"]
                assert answers.post("/api/v1/edges", json={"name": "press-1"}).status_code == 201
                broker.start()
                until(lambda: answers.get("/readyz").status_code == 200, "the controller to be ready")
        finally:
            broker.kill()
            process.terminate()
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert f"the broker at {where} cannot be reached" in said


def test_wrong_credentials_end_the_start(tmp_path: Path) -> None:
    """A broker that refuses the controller's account is no matter of waiting: status 1, and the reason."""
    (tmp_path / "nobody").touch()
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker", f"allow_anonymous false\npassword_file {tmp_path}/nobody")
    broker.start()
    try:
        settings = f'http_port = 0\n[broker]\nurl = "{broker.address.url}"\nusername = "me"\npassword = "wrong"\n'
        (tmp_path / "controller.toml").write_text(settings)
        done = tidemill("controller", "--config", "controller.toml", home=tmp_path)
    finally:
        broker.kill()
    assert done.returncode == 1
    assert "refuses the connection" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_embedded_broker_comes_back(tmp_path: Path) -> None:
    """When the embedded broker is killed, the controller starts another one and is ready again, by itself."""
    with controller(tmp_path) as site, httpx.Client(base_url=site.url) as answers:
        assert answers.get("/readyz").status_code == 200
        config = str(tmp_path / "controller-data/broker/mosquitto.conf")
        (broker,) = (found for found in psutil.process_iter(["cmdline"]) if config in (found.info["cmdline"] or []))
        broker.kill()
        until(lambda: answers.get("/readyz").status_code == 503, "the controller to miss its broker")
        until(lambda: answers.get("/readyz").status_code == 200, "the broker to be back")
