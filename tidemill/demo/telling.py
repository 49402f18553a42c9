"""Sets the stage for the story and tells it: folder, daemons, connections, and what goes on beside it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from schemas.broker import BrokerAddress
from schemas.fleet import Fleet
from schemas.runs import RunState
from schemas.views import BrokerView
from tidemill.client import Client
from tidemill.demo import processes
from tidemill.demo.choices import Choice
from tidemill.demo.flowers import ANSWER_TOPIC, DEAD_LETTER_TOPIC, Asker, Device
from tidemill.demo.outcome import Outcome
from tidemill.demo.show import Show
from tidemill.demo.story import EDGE, JOB, LOOK_S, Story, StoryFailed
from tidemill.fleet_files import read_fleet
from transport.mqtt import Link, connect

ANSWERS_S = 10.0  # for the last ones; a question without an answer by then is lost


async def tell(folder: Path, choice: Choice, show: Show, *, once: bool) -> Outcome:
    """Tell the story; without ``once`` it goes on until cancelled.

    Raises:
        StoryFailed: it did not go as it should.
    """
    started = time.monotonic()
    show.begin("a controller and an edge agent start")
    show.note(f"executor: {choice.executor} ({choice.why})")
    async with processes.controller(folder) as (url, token):
        show.note(f"API: {url}  token: {token}")
        with Client(url, token) as client:
            broker = await asyncio.to_thread(client.broker)
            async with _agent(folder, client, choice), _device_link(broker) as link:
                story = Story(client, Device(link), Asker(link, show), show, _fleet(client), choice.executor)
                await _with_company(story, link, show, once=once)
                return await story.outcome(broker.kind, started)


async def _with_company(story: Story, link: Link, show: Show, *, once: bool) -> None:
    """Tell the story while questions, answers, failures and the training's log are followed."""
    answers = await link.subscribe(ANSWER_TOPIC)
    letters = await link.subscribe(DEAD_LETTER_TOPIC)
    company: list[Coroutine[None, None, None]] = [
        story.asker.ask(),
        story.asker.hear(answers),
        story.asker.hear_failures(letters),
        _follow_runs(story.client, show),
    ]
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(work, name="beside the story") for work in company]
        await story.tell()
        if not once:
            await story.go_on()
        await story.asker.settle(ANSWERS_S)
        for task in beside:
            task.cancel()


@asynccontextmanager
async def _agent(folder: Path, client: Client, choice: Choice) -> AsyncIterator[None]:
    enrolled = await asyncio.to_thread(client.add_edge, EDGE, {})
    config = folder / f"{EDGE}.toml"
    config.touch(mode=0o600)
    config.write_text(_agent_config(enrolled.agent_config, choice))
    async with processes.agent(folder, config) as process:
        for _ in range(int(60 / LOOK_S)):
            if (await asyncio.to_thread(client.edge, EDGE)).online:
                break
            if process.returncode is not None:
                raise StoryFailed(f"the agent ended with {process.returncode}; {folder / 'edge_agent.log'} says why")
            await asyncio.sleep(LOOK_S)
        yield


def _agent_config(enrolled: str, choice: Choice) -> str:
    """The configuration as enrolled, with the demonstration's settings in front of its first table."""
    ca_bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    install = f'\n[install]\nca_bundle = "{ca_bundle}"\n' if ca_bundle else ""
    head = f'executor = "{choice.executor}"\nimage = "{choice.image}"\nend_tasks_on_exit = true\nreport_every_s = 2\n'
    return f"{head}{enrolled}{install}"


def _device_link(broker: BrokerView) -> AbstractAsyncContextManager[Link]:
    password = SecretStr(broker.password) if broker.password else None
    address = BrokerAddress(url=broker.url, username=broker.username, password=password)
    return connect(address, "demo-device")


def _fleet(client: Client) -> Fleet:
    """The iris example, beside this module in an installed package, in examples/ in a checkout."""
    here = Path(__file__).parent
    file = next(
        path for path in (here / "iris/fleet.yaml", here.parents[1] / "examples/iris/fleet.yaml") if path.exists()
    )
    return read_fleet(file).fleet(client.upload)


async def _follow_runs(client: Client, show: Show) -> None:
    """Show what the newest run that was not skipped does, and its log."""
    shown, line = None, 0
    while True:
        runs = [
            run for run in await asyncio.to_thread(client.runs, job=JOB, limit=5) if run.state is not RunState.SKIPPED
        ]
        if not runs:
            await asyncio.sleep(LOOK_S)
            continue
        run = runs[0]
        show.status(f"run {str(run.id)[:8]} is {run.state}: {run.reason}")
        if run.id != shown:
            shown, line = run.id, 0
        page = await asyncio.to_thread(client.logs, run.id, from_line=line, wait_s=LOOK_S)
        for text in page.lines:
            show.log(text)
        line = page.next_line
        await asyncio.sleep(LOOK_S)
