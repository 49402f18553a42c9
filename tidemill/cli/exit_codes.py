"""What the command's exit status says, from the code of the error that ended it."""

DONE, FAILED, BAD_INPUT, NOT_FOUND, CONFLICT, TIMED_OUT = range(6)

_BY_ERROR = {
    "bad_input": BAD_INPUT,
    "too_large": BAD_INPUT,
    "not_found": NOT_FOUND,
    "conflict": CONFLICT,
    "stale": CONFLICT,
    "timed_out": TIMED_OUT,
}


def exit_code(error_code: str) -> int:
    """The exit status for a ``TidemillError.code``; whatever is not listed has failed."""
    return _BY_ERROR.get(error_code, FAILED)
