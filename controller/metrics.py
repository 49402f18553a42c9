"""What Prometheus reads: the only home of its client's metric types."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlmodel import Session

from controller.retention import Freed
from controller.stores.collections import CollectionStore
from controller.stores.edges import list_edges, report_of
from controller.stores.runs import count_by_state
from controller.stores.usage import usage_of_all
from schemas.runs import RunState

_TOOK = {
    "cpu_s": "Processor seconds",
    "energy_kwh": "Energy",
    "co2e_kg": "CO2 equivalents",
    "fetched_bytes": "Bytes fetched as inputs",
    "cached_bytes": "Bytes of inputs that were there already",
}


class ControllerMetrics(Collector):
    """Read from the databases at each scrape, so that nothing is counted twice over a restart.

    What was freed is counted since the controller started: nothing is left of it to be read.
    """

    def __init__(self, session: Session, collections: CollectionStore, freed: Freed) -> None:
        self._session, self._collections, self._freed = session, collections, freed

    def collect(self) -> Iterator[Metric]:
        """Every metric, now."""
        yield self._runs()
        yield from self._edges()
        yield from self._rows()
        yield from self._usage()
        yield from self._forgotten()

    def _runs(self) -> Metric:
        runs = GaugeMetricFamily("tidemill_runs", "Runs by state", labels=["state"])
        counts = count_by_state(self._session)
        for state in RunState:
            runs.add_metric([state], counts.get(state, 0))
        return runs

    def _edges(self) -> Iterator[Metric]:
        online = GaugeMetricFamily("tidemill_edge_online", "Whether an edge is online", labels=["edge"])
        failed = CounterMetricFamily(
            "tidemill_pipeline_messages", "Messages by result", labels=["edge", "pipeline", "result"]
        )
        for edge in list_edges(self._session):
            online.add_metric([edge.name], edge.online)
            report = report_of(edge)
            for status in report.pipelines if report else ():
                for result in ("received", "answered", "failed"):
                    failed.add_metric([edge.name, status.name, result], getattr(status, result))
        yield online
        yield failed

    def _rows(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("tidemill_collection_rows", "Rows in a collection", labels=["collection"])
        rejects = CounterMetricFamily("tidemill_collection_rejects", "Rows that did not fit", labels=["collection"])
        for spec in self._collections.specs():
            view = self._collections.view(spec.name)
            rows.add_metric([spec.name], view.rows)
            rejects.add_metric([spec.name], view.rejects)
        yield rows
        yield rejects

    def _usage(self) -> Iterator[Metric]:
        """Gauges: they are sums over the runs that are kept, and shrink when old ones are forgotten."""
        jobs = usage_of_all(self._session).jobs
        for field, text in _TOOK.items():
            took = GaugeMetricFamily(f"tidemill_job_{field}", f"{text} of a job's kept runs", labels=["job"])
            for job, usage in jobs.items():
                took.add_metric([job], getattr(usage, field))
            yield took

    def _forgotten(self) -> Iterator[Metric]:
        for kind, count in (("runs", self._freed.runs), ("versions", self._freed.versions)):
            yield CounterMetricFamily(
                f"tidemill_forgotten_{kind}", f"Old {kind} forgotten since the start", value=count
            )
        yield CounterMetricFamily(
            "tidemill_swept_blobs", "Unused blobs deleted since the start", value=self._freed.blobs
        )
        yield CounterMetricFamily("tidemill_swept_bytes", "Bytes that freed", value=self._freed.bytes)
