"""Addresses of web services in which parts are named, as in ``https://mes.example/lines/{line}/orders?id={order.id}``."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from pipeline_runtime.values.fields import field_of
from pipeline_runtime.values.payloads import shown
from schemas.errors import BadPayload

_NAMED = re.compile(r"\{([^.\s{}]+(?:\.[^.\s{}]+)*)\}")


def check_url(template: str) -> str:
    """Return a template as it is.

    Raises:
        ValueError: it is no address of a web service, names something in its host, or holds an account.
    """
    plain = _NAMED.sub("x", template)
    parts = urlsplit(plain)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not re.fullmatch(r"[!-z|~]+", plain):
        raise ValueError(f"{template!r} is no address such as https://mes.example/lines/{{line}}/orders")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{template!r}: {error}") from error
    if port == 0 or _NAMED.search(template.split("/")[2]):
        raise ValueError(f"{template!r}: a message cannot say which host is called, and on which port")
    if parts.username is not None:
        raise ValueError("an account does not belong into the address: write a header `Authorization`")
    if parts.fragment:
        raise ValueError(f"{template!r}: what is behind the # is never sent; leave it out")
    return template


def filled(template: str, value: object, levels: Mapping[str, str]) -> str:
    """The address: each name is a named level of the message's topic, or else a field of the value; percent-encoded.

    Raises:
        BadPayload: what is named is not there, or can be no part of an address.
    """

    def part(match: re.Match[str]) -> str:
        name = match[1]
        found = levels[name] if name in levels else field_of(value, name)
        if isinstance(found, bool) or not isinstance(found, str | int | float) or found in {"", ".", ".."}:
            raise BadPayload(f"{{{name}}} is {shown(found, 100)}, which can be no part of an address")
        try:
            return quote(str(found), safe="")
        except UnicodeEncodeError as error:
            raise BadPayload(f"{{{name}}} is no text that can be sent: {error.reason}") from error

    return _NAMED.sub(part, template)
