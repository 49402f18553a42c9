"""The demonstration's device: real iris measurements, published as rows and asked about as live messages."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from sklearn.datasets import load_iris

from tidemill.demo.outcome import MessageCounts
from tidemill.demo.show import Show
from transport.mqtt import Link, Subscription

ROWS_TOPIC, ASK_TOPIC = "factory/bench-1/iris", "iris/read"
ANSWER_TOPIC, DEAD_LETTER_TOPIC = "iris/write", "iris-scoring/dead_letters"
ASKS_PER_S = 20.0

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")

Flower = dict[str, object]


def flowers(seed: int) -> Iterator[Flower]:
    """scikit-learn's 150 measured flowers in a shuffled order, over and over."""
    data = load_iris()
    names = [str(name) for name in data.target_names]
    measured = [
        {**dict(zip(FEATURES, map(float, row), strict=True)), "species": names[target]}
        for row, target in zip(data.data, data.target, strict=True)
    ]
    shuffle = random.Random(seed)
    while True:
        shuffle.shuffle(measured)
        yield from measured


class Device:
    """Publishes measured flowers as rows of the collection."""

    def __init__(self, link: Link) -> None:
        self._link, self._flowers = link, flowers(seed=1)
        self.published = 0

    async def publish(self, number: int) -> None:
        """Publish so many more flowers."""
        for _ in range(number):
            await self._link.publish(ROWS_TOPIC, json.dumps(next(self._flowers)).encode())
            self.published += 1


@dataclass(slots=True)
class _Asked:
    flower: Flower
    species: str


class Asker:
    """Asks the pipeline about flowers, and hears its answers."""

    def __init__(self, link: Link, show: Show) -> None:
        self._link, self._show = link, show
        self.version = 1  # the one that answers, as the edge reports it
        self._open: dict[int, _Asked] = {}
        self.counts = MessageCounts()
        self._heard = asyncio.Event()
        self._begun, self._over = asyncio.Event(), False

    def begin(self) -> None:
        """Let ``ask`` ask from now on."""
        self._begun.set()

    async def ask(self) -> None:
        """Ask at a steady pace from ``begin`` on, until ``settle``."""
        await self._begun.wait()
        for number, flower in zip(count(1), flowers(seed=2), strict=False):
            if self._over:
                return
            question: Flower = {"id": number, **{name: flower[name] for name in FEATURES}}
            self._open[number] = _Asked(question, str(flower["species"]))
            self.counts.sent += 1
            await self._link.publish(ASK_TOPIC, json.dumps(question).encode())
            await asyncio.sleep(1 / ASKS_PER_S)

    async def hear(self, answers: Subscription) -> None:
        """Take answers, until cancelled."""
        async for message in answers:
            answer = json.loads(message.payload)
            asked = self._open.pop(int(answer["id"]), None)
            if asked is None:
                continue  # a repeat: QoS 1 delivers at least once
            self.counts.answered += 1
            self._show.answer(asked.flower, str(answer["species"]), asked.species, self.version)
            self._tell()

    async def hear_failures(self, letters: Subscription) -> None:
        """Count the questions that became dead letters, until cancelled."""
        async for message in letters:
            question = json.loads(json.loads(message.payload)["payload"])
            if self._open.pop(int(question["id"]), None) is not None:
                self.counts.failed += 1
                self._tell()

    async def answers(self, more: int) -> None:
        """Wait until so many more questions were answered."""
        goal = self.counts.answered + more
        while self.counts.answered < goal:
            self._heard.clear()
            await self._heard.wait()

    async def settle(self, timeout_s: float) -> None:
        """Ask no more, and wait for the answers to what is still open; what has none then is lost."""
        self._over = True
        try:
            async with asyncio.timeout(timeout_s):
                while self._open:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            self.counts.lost = len(self._open)

    def _tell(self) -> None:
        self._heard.set()
        self._show.counts(self.counts.sent, self.counts.answered, self.counts.failed)
