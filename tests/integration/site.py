"""A controller and the agent of one edge as processes of their own, and the command to speak with them."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import select_wait
from tests.integration.command import PROGRAM, tidemill

START_S = 30.0


@dataclass(frozen=True)
class Site:
    """Where they are."""

    home: Path
    url: str
    token: str

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        chosen = {"TIDEMILL_URL": self.url, "TIDEMILL_TOKEN": self.token, **environment}
        return tidemill(*arguments, home=self.home, **chosen)

    @contextmanager
    def start(self, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
        """Start the command; at the end of the block it is ended if it still runs."""
        options = ("--url", self.url, "--token", self.token)
        pipe = subprocess.PIPE
        command = [str(PROGRAM), *options, *arguments]
        with subprocess.Popen(command, cwd=self.home, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def ask(self, *arguments: str) -> Any:
        """What the command answers with --json; it must succeed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def apply(self, fleet: str) -> "subprocess.CompletedProcess[str]":
        """Write a fleet file and apply it."""
        (self.home / "fleet.yaml").write_text(fleet)
        return self.run("apply", "-f", "fleet.yaml")


@contextmanager
def controller(home: Path, *, port: int = 0, token: str = "", more: str = "") -> Iterator[Site]:
    """A controller with a broker of its own, for the length of the block.

    Args:
        home: the folder that it and the command run in.
        port: of HTTP; 0 takes any free one.
        token: of an earlier controller in the same folder; a new one tells its own.
        more: lines of its configuration.
    """
    settings = f'data_dir = "controller-data"\nhttp_port = {port}\nembedded_broker_port = 0\n'
    (home / "controller.toml").write_text(settings + more)
    with _daemon(home, "controller", "--config", "controller.toml") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(": ", 1)[1].strip()
        yield Site(home, url, token or process.stdout.readline().split(": ", 1)[1].strip())


@contextmanager
def agent(site: Site, edge: str) -> Iterator[None]:
    """The agent of an edge that was added, online, with tasks as processes."""
    config = site.home / f"{edge}.toml"
    config.write_text(f'executor = "process"\n{config.read_text()}')
    with _daemon(site.home, "agent", "--config", config.name):
        deadline = time.monotonic() + START_S
        while not site.ask("edge", "show", edge)["online"]:
            assert time.monotonic() < deadline, f"{edge} did not come online"
            select_wait(0.1)
        yield


@contextmanager
def _daemon(home: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    with (home / f"{arguments[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *arguments],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                finally:
                    process.kill()
