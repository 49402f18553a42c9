"""Remembers which sessions the broker keeps for this edge's pipelines, so that none of them fills up for ever."""

import json
import os
from pathlib import Path

from schemas.topics import unshared

Filters = frozenset[str]


class PipelineSessions:
    """For each pipeline that ever listened from here, the topic filters that its session may be subscribed to."""

    def __init__(self, path: Path | None) -> None:
        """Read what an earlier agent left; without a path, nothing outlives this one."""
        self._path = path
        self._filters: dict[str, Filters] = {}
        if path is not None and path.exists():
            self._filters = {name: frozenset(filters) for name, filters in json.loads(path.read_bytes()).items()}

    @property
    def names(self) -> frozenset[str]:
        """The pipelines that may have a session."""
        return frozenset(self._filters)

    def filters(self, name: str) -> Filters:
        """What its session may be subscribed to."""
        return self._filters.get(name, frozenset())

    def left_over(self, name: str, wanted: Filters) -> tuple[Filters, Filters]:
        """What its session may be subscribed to besides what is wanted.

        Returns:
            Those whose messages nobody wants any more, and those whose topics are wanted still, shared otherwise.
        """
        unwanted = self.filters(name) - wanted
        topics = {unshared(topic_filter) for topic_filter in wanted}
        replaced = frozenset(topic_filter for topic_filter in unwanted if unshared(topic_filter) in topics)
        return unwanted - replaced, replaced

    def remember(self, name: str, filters: Filters) -> None:
        """Its session may be subscribed to these and to no others."""
        if self._filters.get(name) != filters:
            self._filters[name] = filters
            self._save()

    def forget(self, name: str) -> None:
        """The broker has forgotten its session."""
        if self._filters.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        draft = self._path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({name: sorted(filters) for name, filters in sorted(self._filters.items())}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
