"""The topics that the fleet's documents name: what edges and devices may use at a broker with an ACL."""

from collections.abc import Iterable

from schemas.collections import CollectionSpec
from schemas.pipelines import PipelineSpec
from schemas.topics import as_filter


def user_topics(collections: Iterable[CollectionSpec], pipelines: Iterable[PipelineSpec]) -> frozenset[str]:
    """Every topic filter that a collection or a pipeline names, dead letters included."""
    topics = {topic for spec in collections for topic in spec.topics}
    for pipeline in pipelines:
        topics.add(pipeline.dead_letters)
        topics |= {as_filter(str(node.params["topic"])) for node in pipeline.nodes if "topic" in node.params}
    return frozenset(topics)
