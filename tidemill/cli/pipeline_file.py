"""A pipeline file as people write it, checked, with the line of whatever is wrong."""

import re
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.plan import Plan
from pipeline_runtime.compiling.problems import BadPipeline
from pipeline_runtime.installed import node_types
from schemas.errors import BadInput
from schemas.known_keys import keys_at
from schemas.mistakes import mistake_text, node_text, own_mistakes, place_of, place_text
from schemas.pipelines import PipelineSpec
from tidemill.yaml_places import PlacedDocument, read_documents


def read_pipeline(file: Path) -> tuple[PipelineSpec, Plan]:
    """Read and check a pipeline file. Raises BadInput with a line for each problem, beginning with ``file:line``."""
    found = [document for document in read_documents(file) if _is_pipeline(document.data)]
    if len(found) != 1:
        raise BadInput(f"{file}: one pipeline is needed, and {len(found)} are there")
    document = found[0]
    written = {key: value for key, value in dict(document.data).items() if key != "kind"}  # type: ignore[call-overload]
    try:
        spec = PipelineSpec.model_validate(written)
        return spec, compile_graph(spec, node_types())
    except ValidationError as error:
        problems = [
            f"{document.place(fault['loc'])}: {_say(fault, document.data)}" for fault in own_mistakes(error.errors())
        ]
    except BadPipeline as error:
        problems = [
            f"{_place(document, problem.where)}: {problem.where}: {problem.message}" for problem in error.problems
        ]
    raise BadInput("\n".join(problems))


def _is_pipeline(data: object) -> bool:
    return isinstance(data, dict) and data.get("kind", "Pipeline") == "Pipeline"


def _place(document: PlacedDocument, where: str) -> str:
    return document.place([int(number) if number else name for name, number in re.findall(r"(\w+)|\[(\d+)\]", where)])


def _say(fault: ErrorDetails, data: object) -> str:
    place = place_of(fault["loc"])
    known = keys_at(PipelineSpec.model_json_schema(), place[:-1])
    text = f"{node_text(place, data)}{mistake_text(fault, known)}"
    return f"{place_text(place)}: {text}" if place else text
