"""The whole topic tree of Tidemill's own messages; nothing else spells one of these topics."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

ROOT = "tidemill/v1"

_OURS = ROOT.split("/", maxsplit=1)[0]
_SHOWN = 60  # characters of what is refused
_LONGEST_BYTES, _MOST_SLASHES = 65_535, 200  # the first is MQTT's, the second Mosquitto's
_PLANES = "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
_NEVER_IN_A_LEVEL = re.compile(rf"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff{_PLANES}]")
"""What means something else, and characters at which a broker may close the connection (MQTT 3.1.1 §1.5.3)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A family of topics with named levels, such as ``tidemill/v1/edges/{edge}/manifest``."""

    pattern: str

    def to(self, **ids: str) -> str:
        """The one topic to publish on.

        Raises:
            ValueError: an id is empty or holds ``/``, ``+``, ``#`` or white space.
        """
        for name, value in ids.items():
            if not re.fullmatch(r"[^/+#\s]+", value):
                raise ValueError(f"{name}={value!r} cannot be a topic level")
        return self.pattern.format(**ids)

    def filter(self, **ids: str) -> str:
        """The subscription for the family: each id that is not given becomes ``+``."""
        levels = {name: ids.get(name, "+") for name in re.findall(r"\{(\w+)\}", self.pattern)}
        return self.pattern.format(**levels)

    def parse(self, topic: str) -> dict[str, str] | None:
        """The ids in ``topic``, or None if it is not of this family."""
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.pattern), topic)
        return match.groupdict() if match else None


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT filter with ``+`` and ``#`` takes a topic (MQTT 3.1.1 §4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def overlap(first: str, second: str) -> bool:
    """Whether some topic is taken by both filters: a broker may deliver it twice to one who subscribes to both."""
    levels = list(zip_longest(first.split("/"), second.split("/")))
    if "$" in {first[:1], second[:1]} and {"+", "#"} & set(levels[0]):
        return False
    for depth, (ours, theirs) in enumerate(levels):
        if "#" in {ours, theirs}:  # it also takes what stands before it: nothing at all, in `/#`, is no topic
            return depth != 1 or None not in {ours, theirs} or "" not in levels[0]
        if ours is None or theirs is None or ("+" not in {ours, theirs} and ours != theirs):
            return False
    return True


def shared(group: str, topic_filter: str) -> str:
    """The filter by which a group shares the messages of another filter: each goes to one of its members."""
    return f"$share/{group}/{topic_filter}"


def is_shared(topic_filter: str) -> bool:
    """Whether a group shares the messages of this filter."""
    return topic_filter.startswith("$share/")


def unshared(topic_filter: str) -> str:
    """The filter of the topics that are delivered, without the group that shares them."""
    return topic_filter.split("/", 2)[2] if is_shared(topic_filter) else topic_filter


def check_syntax(topic_filter: str) -> str:
    """Return a topic filter as it is.

    Raises:
        ValueError: it is empty, has ``#`` or ``+`` in the wrong place, or is what brokers do not take.
    """
    levels = topic_filter.split("/")
    misplaced = any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels)
    if not topic_filter or misplaced or "#" in levels[:-1] or "\x00" in topic_filter:
        raise ValueError(f"{topic_filter!r} is no MQTT topic filter: + stands for a whole level, # for the last ones")
    if not topic_filter.isprintable():  # the broker's ACL is a file of lines
        raise ValueError(f"{topic_filter!r} holds a control character")
    if len(topic_filter.encode()) > _LONGEST_BYTES or len(levels) > _MOST_SLASHES + 1:
        raise ValueError(f"{topic_filter[:60]!r}…: brokers take {_LONGEST_BYTES} bytes and {_MOST_SLASHES} slashes")
    return topic_filter


def check_filter(topic_filter: str) -> str:
    """Return a user's topic filter as it is.

    Raises:
        ValueError: ``#`` or ``+`` in the wrong place, empty, or inside Tidemill's own tree.
    """
    if check_syntax(topic_filter).split("/")[0] == _OURS:
        raise ValueError(f"{topic_filter!r} is Tidemill's own: topics under {_OURS}/ are not for user data")
    return topic_filter


_NAMED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def as_filter(pattern: str) -> str:
    """The topic filter of a pattern such as ``factory/{line}/score``: levels with a name in them become ``+``."""
    return "/".join("+" if _NAMED.search(level) else level for level in pattern.split("/"))


def names_in(pattern: str) -> tuple[str, ...]:
    """The names in a pattern, in their order."""
    return tuple(_NAMED.findall(pattern))


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """The topic of a pattern.

    Raises:
        ValueError: a name has no value, or one that cannot be part of a level; or it is no topic to publish on.
    """

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1], "")
        if not found or _NEVER_IN_A_LEVEL.search(found):
            raise ValueError(f"{{{match[1]}}} is {_short(found)}, which cannot be a level of the topic {pattern!r}")
        return found

    return _checked_place(_NAMED.sub(value, pattern))


def _checked_place(topic: str) -> str:
    """A topic that may be published on. Raises ValueError: it is the broker's own, or Tidemill's, or too long."""
    if topic.startswith("$"):
        raise ValueError(f"{_short(topic)} is the broker's own: only it publishes on topics that begin with $")
    if topic.split("/", 1)[0] == _OURS:
        raise ValueError(f"{_short(topic)} is Tidemill's own: topics under {_OURS}/ are not for user data")
    if len(topic.encode()) > _LONGEST_BYTES:
        raise ValueError(f"{_short(topic)} is too long: a topic has at most {_LONGEST_BYTES} bytes")
    return topic


def _short(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}… ({len(text)} characters)"


def check_pattern(pattern: str) -> str:
    """Return a user's topic filter in which whole levels may be named, such as ``factory/{line}/#``.

    Raises:
        ValueError: as ``check_filter``, or a name is only a part of its level, or stands there twice.
    """
    check_filter(as_filter(pattern))
    names = names_in(pattern)
    if len(set(names)) < len(names) or any(
        "{" in level and not _NAMED.fullmatch(level) for level in pattern.split("/")
    ):
        raise ValueError(f"{pattern!r}: a name in braces is a whole level, and each name stands there once")
    return pattern


def check_template(pattern: str) -> str:
    """Return a user's topic to publish on, of which parts may be named, such as ``factory/{line}/score``.

    Raises:
        ValueError: as ``check_topic``, or a brace stands alone.
    """
    topic = check_topic(_NAMED.sub("x", pattern))
    if "{" in topic or "}" in topic:
        raise ValueError(f"{pattern!r}: what is in braces is a name, of letters, digits and _")
    return pattern


def check_topic(topic: str) -> str:
    """Return a user's topic to publish on as it is.

    Raises:
        ValueError: it holds a wildcard, is empty, or is inside Tidemill's own tree or the broker's.
    """
    if "+" in topic or "#" in topic:
        raise ValueError(f"{topic!r} holds a wildcard, and so cannot be published on")
    return _checked_place(check_syntax(topic))


MANIFEST = Topic(f"{ROOT}/edges/{{edge}}/manifest")  # controller → edge, retained
REPORT = Topic(f"{ROOT}/edges/{{edge}}/report")  # edge → controller, retained
PRESENCE = Topic(f"{ROOT}/edges/{{edge}}/presence")  # edge → controller, retained, and its last will
RUN_EVENTS = Topic(f"{ROOT}/edges/{{edge}}/runs/{{run}}/events")  # edge → controller
RUN_ACKS = Topic(f"{ROOT}/edges/{{edge}}/runs/{{run}}/acks")  # controller → edge
RUN_LOGS = Topic(f"{ROOT}/edges/{{edge}}/runs/{{run}}/logs")  # edge → controller
RUN_PROGRESS = Topic(f"{ROOT}/edges/{{edge}}/runs/{{run}}/progress")  # edge → controller
ROWS = Topic(f"{ROOT}/edges/{{edge}}/rows")  # edge → controller
ROW_ACKS = Topic(f"{ROOT}/edges/{{edge}}/rows/acks")  # controller → edge
PIPELINE_ASK = Topic(f"{ROOT}/edges/{{edge}}/pipelines/{{pipeline}}/ask")  # controller → edge
PIPELINE_OUTCOMES = Topic(f"{ROOT}/edges/{{edge}}/pipelines/{{pipeline}}/outcomes")  # edge → controller
BLOB_ASK = Topic(f"{ROOT}/edges/{{edge}}/blobs/ask")  # receiver → sender, either way
BLOB_CHUNK = Topic(f"{ROOT}/edges/{{edge}}/blobs/{{digest}}/{{offset}}")  # sender → receiver
CONTROLLER_PRESENCE = Topic(f"{ROOT}/controller/presence")  # controller → all, retained, and its last will
