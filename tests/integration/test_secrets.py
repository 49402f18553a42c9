"""Secrets as people set them: over the API and with the command, and that no answer and no file tells them again."""

import os
import pty
import re
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from schemas.secrets import MAX_SECRET_BYTES
from tests.integration.api import Api, problem
from tests.integration.command import PROGRAM
from tests.integration.site import Site, controller
from transport.sealing import SealingKey, StorageKey

VALUE = "c4nary-in-the-mill"
JOB = """\
kind: Job
name: retrain
model: tiny
edge: press-1
scripts: [train.py]
secrets: [db_password, {secret: db_password, file: password.txt}]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with one edge, and the script of a job."""
    home = tmp_path_factory.mktemp("site")
    (home / "train.py").write_text("pass\n")
    with controller(home) as running:
        assert running.run("edge", "add", "press-1").returncode == 0
        yield running


@pytest.fixture(scope="module")
def api(site: Site) -> Iterator[Api]:
    """The same controller, spoken to directly."""
    api = Api(site.url, site.token, site.home / "controller-data")
    with api.http:
        yield api


def files_with(folder: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_value_goes_in_and_never_comes_out(api: Api, site: Site) -> None:
    """What the API answers of a secret, and what the controller keeps of it, does not hold its value."""
    answers = [
        api.http.put("secrets/canary", content=VALUE),
        api.http.put("secrets/canary", content=VALUE),
        api.http.get("secrets"),
        api.http.get("secrets/canary"),
        api.http.delete("secrets/canary"),
        api.http.get("secrets"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 405, 204, 200]
    assert [set(secret) for secret in answers[2].json()["items"]] == [{"name", "changed_at", "used_by"}]
    assert answers[-1].json()["items"] == []
    assert not any(VALUE in answer.text for answer in answers)
    assert files_with(site.home, VALUE) == []


@pytest.mark.parametrize(
    ("name", "value", "status", "told"),
    [
        ("canary", b"", 422, "empty"),
        ("canary", VALUE.encode() + b"\xff", 422, "UTF-8"),
        ("canary", VALUE.encode() * MAX_SECRET_BYTES, 413, str(MAX_SECRET_BYTES)),
        ("no-name", VALUE.encode(), 422, "name"),
    ],
)
def test_a_refusal_does_not_repeat_the_value(api: Api, name: str, value: bytes, status: int, told: str) -> None:
    """What cannot be a secret is refused with the reason, and nothing of it stands in the answer."""
    answer = api.http.put(f"secrets/{name}", content=value)
    assert problem(answer).status == status
    assert told in answer.text
    assert VALUE not in answer.text


def unlocked(site: Site, name: str) -> bytes:
    """The value that the controller keeps, read with its key."""
    folder = site.home / "controller-data"
    with closing(sqlite3.connect(f"file:{folder / 'control.db'}?mode=ro", uri=True)) as database:
        (kept,) = database.execute("SELECT sealed FROM secrets WHERE name = ?", (name,)).fetchone()
    return StorageKey.load_or_create(folder / "secrets_key").unlock(kept, name=name)


def test_standard_input_loses_its_last_line_break_alone(site: Site) -> None:
    """What is piped in is the value without the line break that echo adds; a file is taken as it is."""
    command = [str(PROGRAM), "--url", site.url, "--token", site.token, "secret", "set"]
    subprocess.run([*command, "piped"], input=b"two\nlines\n", check=True, capture_output=True, timeout=60)
    assert unlocked(site, "piped") == b"two\nlines"
    (site.home / "value.txt").write_text("two\nlines\n")
    assert site.run("secret", "set", "piped", "--from-file", "value.txt").returncode == 0
    assert unlocked(site, "piped") == b"two\nlines\n"


def test_a_typed_value_is_not_shown(site: Site) -> None:
    """On a terminal the value is asked for twice, and does not appear there."""
    pid, terminal = pty.fork()
    if pid == 0:  # the command, with a terminal of its own
        command = [str(PROGRAM), "--url", site.url, "--token", site.token, "secret", "set", "typed"]
        os.execv(str(PROGRAM), command)  # noqa: S606 - the program itself, and no shell
    screen = b""
    for _ in range(2):
        while not screen.endswith(b": "):
            screen += os.read(terminal, 1000)
        os.write(terminal, VALUE.encode() + b"\n")
        screen += os.read(terminal, 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    screen += os.read(terminal, 1000)
    os.close(terminal)
    assert VALUE.encode() not in screen
    assert unlocked(site, "typed") == VALUE.encode()


def test_secrets_are_set_from_a_file(site: Site) -> None:
    """The command takes a value from a file, lists names without values, and deletes."""
    (site.home / "value.txt").write_text(VALUE + "\n")
    assert site.run("secret", "set", "from_file", "--from-file", "value.txt").returncode == 0
    assert site.run("secret", "set", "nothing").returncode == 2  # standard input is empty
    listed = site.run("secret", "list")
    assert re.search(r"from_file\s+\d+ s ago", listed.stdout)
    assert VALUE not in listed.stdout
    assert site.run("secret", "delete", "from_file").returncode == 0
    assert "from_file" not in [secret["name"] for secret in site.ask("secret", "list")]
    assert site.run("secret", "delete", "from_file").returncode == 3
    (site.home / "value.txt").unlink()


def test_a_job_needs_its_secrets_and_keeps_them(site: Site) -> None:
    """A job with an unknown secret is refused with the command that sets it; a used one is not deleted."""
    refused = site.apply(JOB)
    assert refused.returncode == 2
    assert "secret db_password is not set: `tidemill secret set db_password`" in refused.stderr
    (site.home / "value.txt").write_text(VALUE)
    assert site.run("secret", "set", "db_password", "--from-file", "value.txt").returncode == 0
    assert site.apply(JOB).returncode == 0
    assert {secret["name"]: secret["used_by"] for secret in site.ask("secret", "list")}["db_password"] == ["retrain"]
    kept = site.run("secret", "delete", "db_password")
    assert (kept.returncode, "retrain" in kept.stderr) == (4, True)


def test_an_edge_is_given_another_key(site: Site) -> None:
    """Enrolment writes a private key into the agent's configuration; rekeying prints another line for it."""
    first = tomllib.loads((site.home / "press-1.toml").read_text())["sealing_key"]
    printed = site.run("edge", "rekey", "press-1")
    second = tomllib.loads(printed.stdout)["sealing_key"]
    assert SealingKey.parse(first).key_id != SealingKey.parse(second).key_id
    assert files_with(site.home / "controller-data", second) == []
    third = tomllib.loads(site.ask("edge", "rekey", "press-1")["agent_config"])["sealing_key"]
    assert SealingKey.parse(third).key_id != SealingKey.parse(second).key_id
    assert site.run("edge", "rekey", "press-9").returncode == 3
