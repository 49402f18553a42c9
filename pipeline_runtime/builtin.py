"""The node types that come with Tidemill, listed in one place."""

from pipeline_runtime.node_type import Registry
from pipeline_runtime.nodes import (
    collect,
    dead_letter,
    filter,  # noqa: A004 - the name of its node type
    http,
    library,
    model,
    mqtt_pub,
    mqtt_sub,
    shadow,
    switch,
    transform,
)


def builtin_types() -> Registry:
    """A registry of them all."""
    types = [mqtt_sub, mqtt_pub, model, library, collect, dead_letter, filter, http, shadow, switch, transform]
    return Registry(module.NODE for module in types)
