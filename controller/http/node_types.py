"""The node types that pipelines may use here."""

from fastapi import APIRouter

from pipeline_runtime.catalog import node_schema
from pipeline_runtime.installed import node_types
from schemas.pipeline_views import NodeTypeView
from schemas.views import Page

router = APIRouter(tags=["pipelines"])


@router.get("/node-types")
async def all_node_types() -> Page[NodeTypeView]:
    """Every node type that this controller knows, those of installed packages included, by name."""
    items = (
        NodeTypeView(
            name=node_type.name,
            doc=node_type.doc,
            example=node_type.example,
            starts_runs=node_type.starts_runs,
            may_skip=node_type.may_skip,
            json_schema=node_schema(node_type),
        )
        for node_type in sorted(node_types(), key=lambda node_type: node_type.name)
    )
    return Page(items=tuple(items))
