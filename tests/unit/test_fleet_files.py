"""Reading fleet files: what is wrong is told with its place, and files become blobs."""

from pathlib import Path

import pytest

from schemas.errors import BadInput, NotFound, TidemillError
from schemas.fleet import JobDocument, LibraryDocument
from schemas.names import BlobRef, FileRef
from tidemill.cli.pipeline_file import read_pipeline
from tidemill.client import blob_ref
from tidemill.fleet_files import read_fleet
from tidemill.yaml_places import read_documents, written

JOB = "kind: Job\nname: iris-retrain\nmodel: iris\nedge: press-1\nscripts: [training/train.py]\n"


def complaints(tmp_path: Path, text: str) -> list[str]:
    """What is said about a fleet file, without the folder's name."""
    (tmp_path / "training").mkdir(exist_ok=True)
    (tmp_path / "training/train.py").touch()
    file = tmp_path / "fleet.yaml"
    file.write_text(text)

    with pytest.raises(TidemillError) as caught:
        read_fleet(file)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


IN_JOB = "(document 1, Job iris-retrain) "
KINDS = "Collection, Model, Job, Library, Pipeline, Deployment, MaintenanceWindow"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (JOB + "shedule: {every: 5m}\n", 6, IN_JOB + "shedule: no such key; did you mean schedule?"),
        (JOB + "limits:\n  cpus: 1\n  timeout: 10m\n", 8, IN_JOB + "limits.timeout: no such key"),
        (JOB + "schedule: {every: 5 minutes}\n", 6, IN_JOB + "schedule.every: '5 minutes' is no duration"),
        (JOB + "queries:\n- query: SELECT 1\n- {}\n", 8, IN_JOB + "queries[1].query: is needed"),
        (JOB + "edge: press-2\n", 6, "the key 'edge' stands here a second time"),
        (JOB + "requirements: needed.txt\n", 6, "there is no file needed.txt"),
        (JOB + "inputs:\n- training/train.py\n- weights.bin\n", 8, "there is no file weights.bin"),
        (JOB.replace("press-1", "Press_1"), 4, IN_JOB + "edge: 'Press_1' does not fit ^[a-z0-9]"),
        (JOB + "requirements: [six, 5]\n", 6, IN_JOB + "requirements[1]: 5 is no text; put it in quotes"),
        (JOB + "triggers: {new_rows: 5}\n", 6, IN_JOB + "triggers: is no list: write [one, another]"),
        (JOB + "triggers:\n- new_rows: 5\n", 7, IN_JOB + "triggers[0].collection: is needed"),
        (JOB + "triggers:\n- query: SELECT 1\n", 7, IN_JOB + "triggers[0]: exactly one of above and below is needed"),
        (JOB + "retry: 3\n", 6, IN_JOB + "retry: is no mapping of keys to values"),
        (JOB + "schedule: {at: 10:30}\n", 6, IN_JOB + "schedule.at: '10:30' is no moment; write it with its zone"),
        (JOB + "---\n" + JOB, 7, "Job iris-retrain stands already at fleet.yaml:1"),
        (JOB + "---\nkind: Jobs\n", 7, "(document 2) no such kind: Jobs; did you mean Job?"),
        ("name: iris\n", 1, f"(document 1) has no kind; write one of {KINDS}"),
        ("- iris\n", 1, "(document 1) is no mapping of keys to values"),
        ("kind: [Job\n", 2, "not YAML: expected ',' or ']'"),
        ("kind: !!python/object:os.system {}\n", 1, "not YAML: could not determine a constructor for the tag"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    """Each mistake is one line that begins with file and line."""
    (said,) = complaints(tmp_path, text)
    assert said.startswith(f"fleet.yaml:{line}: {complaint}")


PIPELINE = """\
kind: Pipeline
name: p
nodes:
  - {id: in, type: mqtt_sub, topic: a}
  - {id: out, type: mqtt_pub, topic: b, inputs: [in]}
"""
IN_OUT = "(document 1, Pipeline p) nodes[1]"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (PIPELINE.replace("in]}", "in], join: some}"), 5, f"{IN_OUT}.join: node 'out': Input should be 'all' or 'any'"),
        (
            PIPELINE.replace("in]}", "in], on_error: {retires: 3}}"),
            5,
            f"{IN_OUT}.on_error.retires: node 'out': no such key; did you mean retry?",
        ),
        (
            PIPELINE.replace("in]}", "in], on_error: {backoff: soon}}"),
            5,
            f"{IN_OUT}.on_error.backoff: node 'out': 'soon' is no duration",
        ),
        (PIPELINE.replace("[in]", "[in.a.b]"), 5, f"{IN_OUT}.inputs[0]: node 'out': 'in.a.b' does not fit"),
        (PIPELINE.replace("id: out, ", ""), 5, f"{IN_OUT}.id: is needed"),
        (PIPELINE + "queue:\n  in_flight: 0\n", 7, "(document 1, Pipeline p) queue.in_flight: Input should be greater"),
        (
            PIPELINE + "queue: {overflow: drop}\n",
            6,
            "(document 1, Pipeline p) queue.overflow: Input should be 'block', ",
        ),
        (PIPELINE + "layout:\n  in: {x: 1}\n", 7, "(document 1, Pipeline p) layout.in.y: is needed"),
        (
            "kind: Pipeline\nname: p\nnodes:\n- {id: in}\n",
            4,
            "(document 1, Pipeline p) nodes[0].type: node 'in': is needed",
        ),
        (
            PIPELINE + "  - {id: out, type: mqtt_pub, topic: c, inputs: [in]}\n",
            6,
            "(document 1, Pipeline p) nodes[2].id: node 'out': nodes[1] has this id already",
        ),
        (PIPELINE + "queu: {}\n", 6, "(document 1, Pipeline p) queu: no such key; did you mean queue?"),
    ],
)
def test_a_mistake_in_a_pipeline_names_its_node(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    """Of the keys that every node has, and of the pipeline's own, each mistake is one line with node and field."""
    (said,) = complaints(tmp_path, text)
    assert said.startswith(f"fleet.yaml:{line}: {complaint}"), said
    (tmp_path / "fleet.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_pipeline(tmp_path / "fleet.yaml")
    told = complaint.partition(") ")[2].partition(";")[0]  # of one pipeline alone nobody says which it is
    assert str(caught.value).startswith(f"{tmp_path}/fleet.yaml:{line}: {told}")


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    """A file without documents says what belongs there."""
    assert complaints(tmp_path, "---\n---\n") == [
        f"fleet.yaml: no documents in it; each begins with a kind, one of {KINDS}"
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Who made three mistakes in two documents need not apply three times to learn of them."""
    said = complaints(tmp_path, JOB + "a: 1\nb: 2\n---\nkind: Model\nname: '?'\n")
    assert [line.split(":")[1] for line in said] == ["6", "7", "10"]


def test_a_missing_fleet_file_is_said(tmp_path: Path) -> None:
    """No such file is NotFound, with the path as it was written."""
    with pytest.raises(NotFound, match=r"there is no file .*nowhere\.yaml"):
        read_fleet(tmp_path / "nowhere.yaml")


def test_files_become_blobs(tmp_path: Path) -> None:
    """Paths are relative to the fleet file; each becomes its last part and the digest of its bytes."""
    (tmp_path / "training").mkdir()
    (tmp_path / "training/train.py").write_text("print('hello')")
    (tmp_path / "lib.py").write_text("")
    (tmp_path / "needs.txt").write_text("numpy")
    (tmp_path / "fleet.yaml").write_text(
        JOB + "---\nkind: Library\nname: pipelib_x\nfile: lib.py\nrequirements: needs.txt\n"
    )
    job, library = read_fleet(tmp_path / "fleet.yaml").fleet(blob_ref).documents
    assert isinstance(job, JobDocument)
    assert isinstance(library, LibraryDocument)
    assert job.scripts[0].path == "train.py"
    assert job.scripts[0].blob == blob_ref(tmp_path / "training/train.py")
    assert library.requirements == FileRef(path="needs.txt", blob=blob_ref(tmp_path / "needs.txt"))
    assert library.file.blob == BlobRef(
        digest="sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", size_bytes=0
    )


def test_only_what_was_written_is_sent(tmp_path: Path) -> None:
    """Defaults are left to the controller, so that a newer one may choose better."""
    (tmp_path / "fleet.yaml").write_text("kind: Model\nname: iris\n")
    fleet = read_fleet(tmp_path / "fleet.yaml").fleet(blob_ref)
    assert fleet.model_dump(exclude_unset=True) == {"documents": ({"kind": "Model", "name": "iris"},)}


def test_what_the_controller_refuses_has_a_place_too(tmp_path: Path) -> None:
    """The controller counts documents; a person is told the file and the line."""
    (tmp_path / "fleet.yaml").write_text("kind: Model\nname: a\n---\nkind: Model\nname: b\ndescription: c\n")
    written = read_fleet(tmp_path / "fleet.yaml")
    assert written.place("documents[1].description") == f"{tmp_path}/fleet.yaml:6"
    assert written.place("documents[1].not.there") == f"{tmp_path}/fleet.yaml:4"
    assert written.place("documents[7]") == "documents[7]"
    assert written.told("documents[1].description", "b: no") == f"{tmp_path}/fleet.yaml:6: description of b: no"
    assert written.told("documents[1]", "b: no") == f"{tmp_path}/fleet.yaml:4: b: no"


def test_plain_words_are_what_they_look_like(tmp_path: Path) -> None:
    """``on`` is a key and ``no`` a text, ``1e-3`` is a number, dates are texts; so they are kept."""
    file = tmp_path / "job.yaml"
    file.write_text("on: [edge_lost, no, 'no', 'true', true, 1e-3, '1e-3', 10:30, 2026-11-20, 007, 0x1f, 7, -.5, ~]\n")
    said = {
        "on": ["edge_lost", "no", "no", "true", True, 0.001, "1e-3", "10:30", "2026-11-20", "007", 31, 7, -0.5, None]
    }
    assert [placed.data for placed in read_documents(file)] == [said]
    file.write_text(written(said))
    assert [placed.data for placed in read_documents(file)] == [said]
    (tmp_path / "fleet.yaml").write_text(JOB.replace("training/", "") + "retry: {on: [script_failed]}\n")
    (tmp_path / "train.py").touch()
    (job,) = read_fleet(tmp_path / "fleet.yaml").documents
    assert isinstance(job, JobDocument)
    assert job.retry.on == ("script_failed",)


def test_absurd_nesting_is_refused(tmp_path: Path) -> None:
    """A file that nests deeper than Python can follow is refused with a message."""
    (tmp_path / "fleet.yaml").write_text("[" * 10_000)
    with pytest.raises(BadInput, match="not YAML"):
        read_fleet(tmp_path / "fleet.yaml")
