"""The messages that wait for room, and what becomes of those for which there is none."""

from collections import deque
from collections.abc import Callable, Collection

from pipeline_runtime.broker import Message
from schemas.pipelines import Queue

Waiting = tuple[Message, str]
"""A message, with the topic filter it came by."""


class Backlog:
    """A line of bounded length. What is dropped is acknowledged, and counted.

    At QoS 1 nothing is dropped unless the policy says so: the broker sends no more than it may leave unacknowledged
    and keeps the rest. At QoS 0 nothing can be held back, so the oldest go.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        """``room`` tells for how many messages there is room elsewhere: these do not count, for they leave at once."""
        self._room = room
        self.dropped = 0
        self._line: deque[Waiting] = deque()
        self._policy = Queue()

    def __len__(self) -> int:
        return len(self._line)

    def follow(self, policy: Queue) -> None:
        """Do as this pipeline says from now on."""
        self._policy = policy

    def add(self, message: Message, topic_filter: str) -> None:
        """Put a message at the end of the line."""
        if message.dup and self._replace(message, topic_filter):
            return
        if self._is_full() and not self._make_room(message):
            self._drop(message)
            return
        self._line.append((message, topic_filter))

    def put_back(self, message: Message, topic_filter: str) -> None:
        """Put a message at the head of the line again."""
        self._line.appendleft((message, topic_filter))

    def forget(self, keys: Collection[str]) -> None:
        """Leave out what came by these: somebody has it still, and will bring it again."""
        self._line = deque(waiting for waiting in self._line if waiting[1] not in keys)

    def take(self, most: int) -> tuple[str, list[Message]]:
        """Those that have waited longest and came by the same topic filter, at most so many; and that filter."""
        line = self._line
        message, topic_filter = line.popleft()
        taken = [message]
        while line and len(taken) < most and line[0][1] == topic_filter:
            taken.append(line.popleft()[0])
        return topic_filter, taken

    def _is_full(self) -> bool:
        waiting, size = len(self._line), self._policy.size
        return waiting >= size and waiting >= size + max(0, self._room())

    def _replace(self, message: Message, topic_filter: str) -> bool:
        """Put a repeated message in the place of the one that waits here since a connection that is gone."""
        alike = [
            (waiting.packet_id != message.packet_id, index)  # a broker may number anew when it starts
            for index, (waiting, _) in enumerate(self._line)
            if _says_the_same(waiting, message) and (waiting.packet_id == message.packet_id or not waiting.dup)
        ]
        if not alike:
            return False
        self._line[min(alike)[1]] = message, topic_filter
        return True

    def _make_room(self, message: Message) -> bool:
        """Whether there is room for it, after dropping another if that is the policy."""
        if self._policy.overflow == "drop_newest":
            return False
        if self._policy.overflow != "drop_oldest" and message.qos:
            return True  # the broker's window bounds it
        for index, (waiting, _) in enumerate(self._line):
            if self._policy.overflow == "drop_oldest" or waiting.qos == 0:
                del self._line[index]
                self._drop(waiting)
                return True
        return False

    def _drop(self, message: Message) -> None:
        self.dropped += 1
        message.ack()


def _says_the_same(waiting: Message, other: Message) -> bool:
    return (waiting.topic, waiting.payload) == (other.topic, other.payload)
