"""A package that adds a node type, installed with pip as its users install it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.broker import BrokerAddress
from tests.integration.command import PROGRAM, tidemill
from tests.integration.pipeline_desk import device
from tests.integration.site import controller

PACKAGE = Path(__file__).parents[1] / "node_package"
PIPELINE = """\
kind: Pipeline
name: p
nodes:
  - {id: in, type: mqtt_sub, topic: t/in}
  - {id: hot, type: threshold, field: temperature, limit: 80, inputs: [in]}
  - {id: out, type: mqtt_pub, topic: t/out, inputs: [hot]}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(PACKAGE)], check=True
    )
    return target


async def test_an_installed_type_runs(broker: BrokerAddress, installed: Path, tmp_path: Path) -> None:
    """A pipeline file with it runs, and what it skips is not answered."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "pipeline", "run", "p.yaml", "--broker", broker.url),
        cwd=tmp_path,
        env={"PYTHONPATH": _path(installed), "PATH": ""},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with device(broker) as person, asyncio.timeout(30):
        while b"listening on t/in" not in await process.stderr.readline():
            assert process.returncode is None
        await person.ask(b'{"temperature": 70}', b'{"temperature": 90}')
        assert await person.next() == {"temperature": 90}
        process.terminate()
        await process.wait()


def test_the_controller_checks_with_what_it_has_installed(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the type is unknown, and the message says what to install where; with it, it is known."""
    with controller(tmp_path) as site:
        refused = site.apply(PIPELINE)
    assert refused.returncode == 2
    assert "fleet.yaml:5: " in refused.stderr
    assert "there is no node type 'threshold'" in refused.stderr
    assert "install the package on the controller and on the edges" in refused.stderr
    monkeypatch.setenv("PYTHONPATH", _path(installed))
    with controller(tmp_path, token=site.token) as site:
        assert site.apply(PIPELINE).returncode == 0
    schema = json.loads(tidemill("schema", "pipeline", home=tmp_path).stdout)
    assert schema["$defs"]["node.threshold"]["properties"]["limit"]["type"] == "number"


def _path(installed: Path) -> str:
    return f"{installed}:{Path(__file__).parents[2]}"
