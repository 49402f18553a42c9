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
    window,
)


def builtin_types() -> Registry:
    """A registry of them all."""
    everyday = [mqtt_sub, mqtt_pub, model, library, transform, filter, switch, window]
    return Registry(module.NODE for module in [*everyday, collect, http, shadow, dead_letter])
