"""Which nodes come before which: the one place that knows how to walk a graph."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


class NodeOrder:
    """The nodes of a pipeline with those that feed them. Nodes are told by their ids, in the order of the document."""

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        """``parents`` has every node, and no parent that is none."""
        self._parents = parents
        self._children: dict[str, list[str]] = {node: [] for node in parents}
        for node, above in parents.items():
            for parent in dict.fromkeys(above):
                self._children[parent].append(node)

    def cycles(self) -> Iterator[list[str]]:
        """Ways round, each from its least node back to that node; none has a node of another."""
        parents = dict(self._parents)
        while True:
            try:
                TopologicalSorter(parents).prepare()
            except CycleError as error:
                around: list[str] = error.args[1][:-1]
                start = around.index(min(around))
                yield [*around[start:], *around[:start], around[start]]
                parents = {
                    node: [parent for parent in above if parent not in around]
                    for node, above in parents.items()
                    if node not in around
                }
            else:
                return

    def feeds(self, node: str) -> bool:
        """Whether any node has it as an input."""
        return bool(self._children[node])

    def parents_first(self) -> list[str]:
        """Every node behind those that feed it; where that leaves a choice, as in the document."""
        written = {node: place for place, node in enumerate(self._parents)}
        sorter = TopologicalSorter(self._parents)
        sorter.prepare()
        ready, order = list(sorter.get_ready()), []
        while ready:
            ready.remove(node := min(ready, key=written.__getitem__))
            order.append(node)
            sorter.done(node)
            ready += sorter.get_ready()
        return order

    def behind(self, node: str) -> set[str]:
        """Every node that its result reaches."""
        reached: set[str] = set()
        coming = list(self._children[node])
        while coming:
            if (child := coming.pop()) not in reached:
                reached.add(child)
                coming += self._children[child]
        return reached
