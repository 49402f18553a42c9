"""The node types that come with Tidemill, listed in one place."""

from pipeline_runtime.node_type import Registry
from pipeline_runtime.nodes import collect, dead_letter, http, library, model, mqtt_pub, mqtt_sub, shadow


def builtin_types() -> Registry:
    """A registry of them all."""
    return Registry(
        [mqtt_sub.NODE, mqtt_pub.NODE, model.NODE, library.NODE, http.NODE, collect.NODE, dead_letter.NODE, shadow.NODE]
    )
