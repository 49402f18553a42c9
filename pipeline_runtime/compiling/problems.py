"""What is wrong with a pipeline, in words that say where to mend it."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import BadInput
from schemas.pipelines import PipelineSpec


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, as the check that found it says it."""

    node: str  # its id
    field: str  # of the node; empty: the node as a whole
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where in the document."""

    where: str  # such as nodes[2].features
    message: str


class BadPipeline(BadInput):
    """A pipeline that cannot run; ``problems`` is everything that is wrong with it."""

    def __init__(self, spec: PipelineSpec, findings: Iterable[Finding]) -> None:
        places = {node.id: index for index, node in enumerate(spec.nodes)}
        found = sorted(findings, key=lambda finding: places[finding.node])
        self.problems = tuple(_problem(finding, places[finding.node]) for finding in found)
        lines = (f"  {problem.where}: {problem.message}" for problem in self.problems)
        super().__init__("\n".join([f"pipeline {spec.name!r} cannot run:", *lines]))


def _problem(finding: Finding, index: int) -> Problem:
    where = f"nodes[{index}].{finding.field}" if finding.field else f"nodes[{index}]"
    return Problem(where, f"node {finding.node!r}: {finding.message}")
