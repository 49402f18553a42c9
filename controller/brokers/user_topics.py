"""The topics that the fleet's documents name: what edges and devices may use at a broker with an ACL."""

from collections.abc import Iterable

from pipeline_runtime.compiling.steps import links_of
from pipeline_runtime.installed import node_types
from schemas.collections import CollectionSpec
from schemas.pipelines import PipelineSpec
from schemas.topics import as_filter


def user_topics(collections: Iterable[CollectionSpec], pipelines: Iterable[PipelineSpec]) -> frozenset[str]:
    """Every topic filter that a collection or a pipeline names, dead letters included."""
    topics = {topic for spec in collections for topic in spec.topics}
    for pipeline in pipelines:
        topics.add(pipeline.dead_letters)
        for links in (links_of(node, node_types()) for node in pipeline.nodes):
            topics |= {as_filter(topic) for topic in (links.subscribes, links.publishes) if topic}
    return frozenset(topics)
