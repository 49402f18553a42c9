"""What several commands about pipelines are told: a broker, and the files that a pipeline refers to."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import ValidationError

from schemas.broker import BrokerAddress
from schemas.errors import BadInput

GivenFiles = Mapping[str, Collection[str]]
"""What a person named as ``name=file``, by the option that it came with; of two for one name the last holds."""


def broker_address(broker: str) -> BrokerAddress:
    """A broker by its URL, such as ``mqtt://127.0.0.1:1883``. Raises BadInput when it is none."""
    try:
        return BrokerAddress(url=broker)
    except ValidationError as error:
        raise BadInput(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def files_by_name(given: GivenFiles, needed: Collection[str], allowed: Collection[str] = ()) -> dict[str, Path]:
    """The file for each name that a pipeline refers to.

    Args:
        given: ``name=file`` for each; a name that is missing could be given with the last of the options.
        needed: the names.
        allowed: names that it does not refer to, and that are no mistake.

    Raises:
        BadInput: one is missing, unknown, or names a file that is not there.
    """
    files = {}
    known = {*needed, *allowed}
    for option, text in ((option, text) for option, texts in given.items() for text in texts):
        name, separator, path = text.partition("=")
        if not separator or name not in known:
            raise BadInput(f"{option} {text}: write NAME=FILE, with a name from {', '.join(sorted(known)) or 'none'}")
        if not Path(path).is_file():
            raise BadInput(f"{option} {text}: there is no file {path}")
        files[name] = Path(path)
    if missing := sorted(set(needed) - files.keys()):
        raise BadInput(f"the pipeline refers to {', '.join(missing)}: add {list(given)[-1]} {missing[0]}=FILE")
    return files
