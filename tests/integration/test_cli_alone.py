"""The command with no controller: what it says, where it says it, and its exit status."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from schemas.broker import BrokerAddress
from tests.conftest import free_port
from tests.integration.command import tidemill

NOUNS = ("edge", "collection", "job", "run", "model", "pipeline", "deployment", "window", "timeline", "secret", "key")


@pytest.mark.parametrize("noun", [(), *((noun,) for noun in NOUNS), ("apply",), ("doctor",), ("job", "run")])
def test_every_command_explains_itself(tmp_path: Path, noun: tuple[str, ...]) -> None:
    """--help is on stdout, with exit status 0."""
    done = tidemill(*noun, "--help", home=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(('tidemill', *noun))} ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("edge", "list"),
        ("job", "run", "iris-retrain", "--follow"),
        ("run", "list"),
        ("model", "pull", "iris"),
        ("edge", "add", "press-1"),
    ],
)
def test_a_missing_controller_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Who forgot to start a controller is told so, on stderr, and no file is left behind."""
    url = f"http://127.0.0.1:{free_port()}"
    done = tidemill("--url", url, *arguments, home=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"tidemill: no controller answers at {url} (")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_errors_are_json_for_programs(tmp_path: Path) -> None:
    """With --json an error is one JSON object on stderr, with its code."""
    done = tidemill("edge", "list", "--json", home=tmp_path, TIDEMILL_URL=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert json.loads(done.stderr)["code"] == "unreachable"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("edge", "add", "press-1", "--label", "line"), 2, "--label 'line': write KEY=VALUE"),
        (("edge", "add", "press-1", "--output", "no/where.toml"), 2, "no/where.toml cannot be written: No such file"),
        (("model", "pull", "iris:0"), 2, "'iris:0' names no model; write iris, iris@candidate or iris:3"),
        (("run", "list", "--state", "runing"), 2, "'runing' is no state of a run; there are queued, "),
        (("run", "show", "17"), 2, "Input should be a valid UUID"),
        (("job", "run", "iris", "--timeout", "10x"), 2, "'10x' is no duration"),
        (("collection", "import", "iris", "rows.xls"), 2, "one of .json, .ndjson, .jsonl, .csv"),
        (("collection", "import", "iris", "rows.csv"), 3, "there is no file rows.csv"),
        (("apply", "-f", "fleet.yaml"), 3, "there is no file fleet.yaml"),
        (("schema", "jbo"), 3, "there is no document 'jbo'; did you mean job?"),
        (("--url", "ftp://here", "edge", "list"), 2, "'ftp://here' is no controller's address"),
        (("--token", "tm_é", "edge", "list"), 2, "the token has letters that no token has"),
        (("job", "create", "iris", "--edge", "press-1", "--script", "train.py"), 3, "there is no file train.py"),
        (("job", "create", "iris", "--edge", "press-1", "--script", "/usr"), 2, "/usr cannot be read: Is a directory"),
        (("edge", "lsit"), 2, "No such command 'lsit'"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """What is wrong with a command is told with its exit status, and never with a stack trace."""
    done = tidemill(*arguments, home=tmp_path, TIDEMILL_URL=f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_enrolling_never_overwrites_by_accident(tmp_path: Path) -> None:
    """An agent's configuration that exists is a conflict, found before the controller is asked."""
    (tmp_path / "press-1.toml").write_text("mine")
    done = tidemill("edge", "add", "press-1", home=tmp_path)
    assert done.returncode == 4
    assert "press-1.toml exists already" in done.stderr
    assert (tmp_path / "press-1.toml").read_text() == "mine"


class Stranger(BaseHTTPRequestHandler):
    """A web server that is no controller."""

    def do_GET(self) -> None:
        """Answer every request alike."""
        body = b"<html>"
        self.send_response(200 if self.path == "/readyz" else 502)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The URL of a web server that is no controller."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_another_server_is_not_taken_for_a_controller(tmp_path: Path, stranger: str) -> None:
    """An answer that no controller gives is named with its address and status."""
    doctor = tidemill("--url", stranger, "doctor", home=tmp_path)
    assert f"{stranger} answers 200, and not as a controller does" in doctor.stdout
    done = tidemill("--url", stranger, "job", "list", home=tmp_path)
    assert done.returncode == 1
    assert f"{stranger}/api/v1/jobs answered 502 Bad Gateway, and not as a controller does" in done.stderr


def test_schemas_are_exported_for_editors(tmp_path: Path) -> None:
    """Every name that `schema` lists gives a JSON Schema."""
    names = json.loads(tidemill("schema", "--json", home=tmp_path).stdout)
    assert {"fleet-document", "job", "manifest"} <= set(names)
    schema = json.loads(tidemill("schema", "fleet-document", home=tmp_path).stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_doctor_tells_what_is_wrong(tmp_path: Path, broker: BrokerAddress) -> None:
    """A broker that answers is fine, a controller that does not is wrong, and that is the exit status."""
    url = f"http://127.0.0.1:{free_port()}"
    done = tidemill("--url", url, "doctor", "--broker", broker.url, "--json", home=tmp_path)
    assert done.returncode == 1
    verdicts = {check["name"]: check["verdict"] for check in json.loads(done.stdout)}
    assert verdicts["controller"] == "wrong"
    assert verdicts["broker"] == "ok"
    assert verdicts["disk"] in {"ok", "warning"}


def test_doctor_tells_a_missing_broker(tmp_path: Path) -> None:
    """A broker that does not listen is named with its address and the reason."""
    port = free_port()
    done = tidemill("doctor", "--broker", f"mqtt://127.0.0.1:{port}", home=tmp_path)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}: Connection refused" in done.stdout


def test_the_command_stays_small_until_it_knows_what_to_do() -> None:
    """Importing the command loads neither HTTP, MQTT, pydantic, YAML nor a server: an agent stays small."""
    heavy = ("httpx", "paho", "pydantic", "yaml", "fastapi", "sqlalchemy", "onnxruntime", "rich")
    code = f"import sys, tidemill.cli.main; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout == "[]\n"


def test_every_command_is_in_the_manual(tmp_path: Path) -> None:
    """docs/cli.md names every command that there is."""
    manual = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    nouns = [(), *((noun,) for noun in NOUNS)]
    for noun in nouns:
        listed = tidemill(*noun, "--help", home=tmp_path).stdout.partition("Commands:\n")[2]
        verbs = [line.split()[0] for line in listed.splitlines() if line[:3].strip()]
        assert verbs
        assert [verb for verb in verbs if f"tidemill {' '.join((*noun, verb))}" not in manual] == []
