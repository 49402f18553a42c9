"""The pipeline that is written for a model: which features it takes, and when that has to be asked."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.data.result_columns import ResultColumn
from controller.data.row_formats import encoder
from controller.data.training_columns import numeric_columns
from controller.inference_pipelines import Trained, UnknownFeatures, Wish, propose
from controller.training import trained_on
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.models.model_feed import feed_by_features, feed_by_name
from schemas.collections import ColumnType
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, DataSelection, Lineage, ModelVersion, Signature, TensorSpec
from schemas.names import BlobRef
from schemas.pipeline_views import ProposedPipeline
from schemas.queries import Format
from transport.blob_store import BlobDirectory

IRIS = {"sepal": True, "petal": True, "species": False}
Shape = tuple[int | str | None, ...]


def card(*inputs: tuple[str, str, Shape], name: str = "iris") -> ModelVersion:
    """A version with these inputs."""
    specs = tuple(TensorSpec(name=name, dtype=f"tensor({dtype})", shape=shape) for name, dtype, shape in inputs)
    return ModelVersion(
        name=name,
        version=3,
        files={MODEL_FILE: BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)},
        signature=Signature(inputs=specs, outputs=()),
        created_at=datetime.now(UTC),
    )


UNKNOWN = Trained()
TWO = card(("x", "float", (None, 2)))


def proposed(version: ModelVersion = TWO, trained: Trained = UNKNOWN, **wish: object) -> ProposedPipeline:
    """The pipeline, which can always run."""
    found = propose(version, "iris@candidate", Wish.model_validate(wish), trained)
    compile_graph(found.spec, builtin_types())
    return found


def features(version: ModelVersion = TWO, trained: Trained = UNKNOWN, **wish: object) -> object:
    """What the model node takes."""
    return proposed(version, trained, **wish).spec.nodes[1].params.get("features")


def test_it_reads_asks_and_writes() -> None:
    """From the model's own topic to its own topic, with the reference as it was given; all of it may be named."""
    spec = proposed().spec
    assert (spec.name, [node.type for node in spec.nodes]) == ("iris_pipeline", ["mqtt_sub", "model", "mqtt_pub"])
    assert [node.params.get("topic") or node.params["model"] for node in spec.nodes] == [
        "iris/read",
        "iris@candidate",
        "iris/write",
    ]
    named = proposed(name="mine", read="a", write="b").spec
    assert (named.name, named.nodes[0].params["topic"], named.nodes[2].params["topic"]) == ("mine", "a", "b")


def test_features_are_the_columns_with_numbers() -> None:
    """Where the model takes as many numbers as its rows had columns with numbers, these are its features."""
    assert features(trained=Trained([IRIS])) == ["sepal", "petal"]
    assert features(trained=Trained([{"position": True, **IRIS}])) == ["sepal", "petal"]
    assert proposed(trained=Trained([IRIS])).message == {"sepal": 0.0, "petal": 0.0}


@pytest.mark.parametrize(
    "trained",
    [
        Trained([{"id": True, **IRIS}]),
        Trained([{"sepal": True, "species": False}]),
        Trained([IRIS, {"limit": True}]),
    ],
)
def test_what_cannot_be_told_is_asked(trained: Trained) -> None:
    """With more columns, fewer, or several queries nobody guesses: the columns are named, and so is what to do."""
    with pytest.raises(UnknownFeatures, match="takes 2 numbers") as caught:
        proposed(trained=trained)
    assert next(iter(trained.columns[0])) in str(caught.value)
    assert features(trained=trained, features=("petal", "sepal")) == ["petal", "sepal"]
    assert features(trained=trained, lists=True) is None


def test_the_jobs_own_word_goes_first() -> None:
    """A parameter `features` of the job tells them in the scripts' own order, if there are as many."""
    assert features(trained=Trained([IRIS], ["petal", "sepal"])) == ["petal", "sepal"]
    assert features(trained=Trained([IRIS], ["petal"])) == ["sepal", "petal"]


def test_what_is_known_is_looked_up(tmp_path: Path) -> None:
    """Columns come from the rows themselves, the job's word from its parameters; what is gone is not known."""
    blobs = BlobDirectory(tmp_path)
    rows = blobs.put_bytes(b"".join(chunks("json", ROWS)))
    version = TWO.model_copy(update={"lineage": Lineage(data=(DataSelection(query="SELECT", rows=2, blob=rows),))})
    job = JobSpec.model_validate(
        {"name": "j", "model": "iris", "edge": "e", "scripts": ["t.py"], "params": {"features": ["b", "a"]}}
    )
    known = trained_on(version, job, blobs)
    assert (list(known.columns[0]), known.named) == ([column.key for column in COLUMNS], ("b", "a"))
    blobs.delete(rows.digest)
    assert trained_on(version, job.model_copy(update={"params": {"features": "b,a"}}), blobs) == Trained()


def test_a_wrong_number_of_features_is_refused() -> None:
    """What the model could never be given is not made."""
    with pytest.raises(UnknownFeatures, match="takes 2 numbers, and 3 features are named"):
        proposed(features=("a", "b", "c"))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (TWO, [[0, 0]]),
        (card(("x", "float", ("n", "m"))), [[0]]),
        (card(("text", "string", (None, 1))), [[""]]),
        (card(("on", "bool", (2,))), [False, False]),
        (card(("image", "float", (1, 3, 224, 224))), None),
        (card(("a", "int64", (1, 2)), ("b", "float", (1,))), {"a": [[0, 0]], "b": [0]}),
    ],
)
def test_otherwise_messages_are_lists(version: ModelVersion, message: object) -> None:
    """Of what was never trained here, and of what takes no rows of numbers, messages have the signature's shape."""
    found = proposed(version)
    assert "features" not in found.spec.nodes[1].params
    assert found.message == message
    assert found.why
    if message is not None:
        assert set(feed_by_name(version.signature.inputs)(message)) == {spec.name for spec in version.signature.inputs}


def test_inputs_with_a_column_each_name_their_features() -> None:
    """A model exported with an input for each column says itself what it takes."""
    version = card(("width", "float", (None, 1)), ("height", "float", ("n", 1)))
    found = proposed(version, Trained([IRIS]))
    assert found.spec.nodes[1].params["features"] == ["width", "height"]
    assert set(feed_by_features(version.signature.inputs, ["width", "height"])(found.message)) == {"width", "height"}


def test_a_long_name_makes_no_longer_one() -> None:
    """The name of a pipeline has its limit, which a model's name alone may reach."""
    assert len(proposed(card(("x", "float", (None, 2)), name="m" * 100)).spec.name) <= 100


COLUMNS = [
    ResultColumn("id", ColumnType.INTEGER),
    ResultColumn("size, in mm", ColumnType.REAL),
    ResultColumn("label", ColumnType.TEXT),
    ResultColumn("good", ColumnType.BOOLEAN),
    ResultColumn("never"),
]
ROWS: list[tuple[object, ...]] = [(None, 1.5, "a,\n[", True, None), (2, 2, "7", False, None)]


@pytest.mark.parametrize("written", ["json", "ndjson", "csv", "parquet"])
def test_columns_are_read_as_they_were_written(written: Format, tmp_path: Path) -> None:
    """In each format the columns come in their order, and those that hold numbers are known, whatever is null."""
    file = tmp_path / "rows"
    file.write_bytes(b"".join(chunks(written, ROWS)))
    assert numeric_columns(file, written) == {
        "id": True,
        "size, in mm": True,
        "label": False,
        "good": False,
        "never": False,
    }
    assert list(numeric_columns(file, written)) == [column.key for column in COLUMNS]


@pytest.mark.parametrize("written", ["json", "ndjson", "csv"])
def test_no_rows_have_no_columns(written: Format, tmp_path: Path) -> None:
    """Where no row is, nothing is known of columns."""
    file = tmp_path / "rows"
    file.write_bytes(b"".join(chunks(written, [])))
    assert numeric_columns(file, written) == {}


def chunks(written: Format, rows: list[tuple[object, ...]]) -> Iterable[bytes]:
    """The rows as a run is given them."""
    return encoder(written)(COLUMNS, [rows] if rows else [])


def test_rows_that_nobody_here_wrote_are_refused(tmp_path: Path) -> None:
    """What is not a row a line is not guessed at."""
    file = tmp_path / "rows"
    file.write_text("[[1, 2]]")
    with pytest.raises(ValueError, match="row"):
        numeric_columns(file, "json")
