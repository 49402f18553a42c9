"""How long a model's calls take, by the number of their rows: what it did so far tells."""


class CallTimes:
    """A call takes a time for its first row, and one for each further row, which is less as a rule."""

    def __init__(self, one_s: float) -> None:
        """``one_s``: what a call for one row takes; each further row as much, until a call has told otherwise."""
        self._one, self._more = _Usual(one_s), _Usual(one_s)
        self._had_more = False

    def of(self, rows: int) -> float:
        """What a call for so many rows will take, in seconds."""
        return self._one.s + (rows - 1) * self._more.s if rows else 0.0

    def took(self, rows: int, time_s: float) -> None:
        """A call for so many rows took that time."""
        if rows <= 1:
            self._one.seen(time_s)
            return
        more_s = max(time_s - self._one.s, 0.0) / (rows - 1)
        if not self._had_more:
            self._more, self._had_more = _Usual(more_s), True
        self._more.seen(more_s)


class _Usual:
    """What is usual: up at once, but by what was seen twice; down step by step."""

    def __init__(self, s: float) -> None:
        self.s = self._last_s = s

    def seen(self, s: float) -> None:
        """Another one."""
        likely_s, self._last_s = min(s, self._last_s), s  # one alone may have been held up by something else
        if likely_s > self.s:
            self.s = likely_s
        else:
            self.s += (likely_s - self.s) / 4
