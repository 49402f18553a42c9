"""The node types that pipelines may use here: those that come with Tidemill, and those of installed packages."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.catalog import node_schema
from pipeline_runtime.node_type import NodeParams, NodeType, Registry
from schemas.errors import BadInput
from schemas.pipelines import NODE_TYPE_NAME, NodeSpec

log = logging.getLogger(__name__)

GROUP = "tidemill.nodes"
"""The group of the entry points by which a package adds node types: ``name = "module:NODE"``."""

_FOREIGN = (Exception, SystemExit)
"""What importing somebody's package may raise, and must not end a daemon with."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A node type that an installed package offers; nothing of it is loaded yet."""

    name: str
    package: str
    entry: EntryPoint


@cache
def node_types() -> Registry:
    """All of them. Packages are looked for and loaded once: what is installed later counts after a restart."""
    offers = [Offer(entry.name, entry.dist.name if entry.dist else "?", entry) for entry in entry_points(group=GROUP)]
    return with_offers(builtin_types(), offers)


def with_offers(registry: Registry, offers: Iterable[Offer]) -> Registry:
    """The registry with the types that packages offer; one that cannot be had is left out, warned of and remembered."""
    types: dict[str, NodeType[Any]] = {node_type.name: node_type for node_type in registry}
    refused: dict[str, str] = {}
    offered = sorted(offers, key=lambda offer: (offer.name, offer.package))
    times = Counter(offer.name for offer in offered)
    for offer in offered:
        try:
            if registry.get(offer.name) is not None:
                raise BadInput("a type of that name comes with Tidemill; the package must give its own another name")
            if times[offer.name] > 1:
                raise BadInput("several packages offer a type of that name; remove all of them but one")
            types[offer.name] = _loaded(offer)
        except BadInput as error:
            log.warning(
                "node type not taken",
                extra={"type": offer.name, "package": offer.package, "reason": str(error)},
            )
            refused.setdefault(offer.name, f"the package {offer.package} has one, which is not taken: {error}")
    return Registry(types.values(), refused=refused)


def _loaded(offer: Offer) -> NodeType[Any]:
    try:
        found = offer.entry.load()
        problems = list(_problems(offer.name, found))
    except _FOREIGN as error:
        raise BadInput(f"{offer.entry.value} cannot be loaded: {type(error).__name__}: {error}") from error
    if problems:
        raise BadInput(f"{offer.entry.value}: {'; '.join(problems)}")
    return found  # type: ignore[no-any-return]


def _problems(name: str, found: object) -> Iterator[str]:
    if not isinstance(found, NodeType):
        yield f"it is no NodeType but {type(found).__name__}"
        return
    if not NODE_TYPE_NAME.fullmatch(name):
        yield f"{name!r} is no name for a type; write small letters, digits and _"
    if found.name != name:
        yield f"the entry point is called {name!r}, and the type {found.name!r}; call them the same"
    if not issubclass(found.params, NodeParams):
        yield "its params are no NodeParams"
        return
    taken = sorted(found.params.model_fields.keys() & NodeSpec.model_fields.keys())
    if taken:
        yield f"its parameters may not be called {', '.join(taken)}, as every node has keys of that name"
    node_schema(found)  # raises for parameters that no document could hold
