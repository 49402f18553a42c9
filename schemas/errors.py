"""What can go wrong, one class for each decision a caller can take."""


class TidemillError(Exception):
    """Any failure that Tidemill names itself; the message says what was wrong, where, and what to do."""

    code = "internal"  # stable: on the wire, in HTTP bodies and in `--json` output
    retryable = False


class Conflict(TidemillError):
    """It changed under us, or a name is taken: look again, then decide again."""

    code, retryable = "conflict", True


class Stale(Conflict):
    """It is not any more what the change was meant for: read it again, and decide again."""

    code = "stale"
    retryable = False


class Unreachable(TidemillError):
    """The broker, an edge, Docker or the controller did not answer in time: back off and try again."""

    code, retryable = "unreachable", True


class TimedOut(TidemillError):
    """The time somebody was willing to wait is over; what was waited for goes on."""

    code = "timed_out"


class NotFound(TidemillError):
    """There is nothing of that name."""

    code = "not_found"


class BadInput(TidemillError):
    """What a person wrote does not fit: nothing was changed, and the message says where to mend it."""

    code = "bad_input"


class TooLarge(BadInput):
    """More bytes than the configured cap."""

    code = "too_large"


class Unfit(BadInput):
    """A model or a library does not do on this machine what it should: go on with what there was before."""

    code = "unfit"


class Unauthorized(TidemillError):
    """The token or the credentials are missing or wrong."""

    code = "unauthorized"


class BadPayload(TidemillError):
    """A message from outside does not fit: put it aside, count it, go on."""

    code = "bad_payload"


class Untrusted(TidemillError):
    """A signature, a digest or a generation is wrong: refuse it whole."""

    code = "untrusted"


class TaskFailed(TidemillError):
    """A training task cannot go on; the message is the run's reason."""

    code = "task_failed"


class OutOfDisk(TaskFailed):
    """The edge's disk is too full for a training task: it may go on elsewhere, or here once there is room."""

    code = "out_of_disk"


class InvalidTransition(TidemillError):
    """Our own bug: an event that makes no sense in this state."""

    code = "invalid_transition"
