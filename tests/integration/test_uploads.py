"""Models that people bring: as files, with weights beside them, from MLflow and back."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from tests.integration.api import Api, problem
from tests.integration.site import Site, controller
from tests.onnx_graphs import save, times


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller, and the command beside it."""
    with controller(tmp_path_factory.mktemp("site")) as running:
        yield running


def with_weights(folder: Path, factor: float, location: str = "weights.bin", *, write: bool = True) -> Path:
    """A model that keeps its factor in another file."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(str(times(folder / "model.onnx", factor)))
    (tensor,) = model.graph.initializer
    tensor.raw_data = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
    if write:
        (folder / location).write_bytes(tensor.raw_data)
    set_external_data(tensor, location, length=len(tensor.raw_data))
    tensor.ClearField("raw_data")
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def test_a_model_with_all_that_belongs_to_it(site: Site) -> None:
    """Files, metrics, note, tags and alias are the version's; the same again is no other; it comes back whole."""
    times(site.home / "net.onnx", 2.0)
    (site.home / "labels.json").write_text('["a", "b"]')
    words = ("model", "create", "iris", "--file", "net.onnx", "--file", "labels.json", "--metric", "accuracy=0.9")
    more = ("--note", "from the lab", "--tag", "author=ada", "--alias", "candidate")
    first = site.ask(*words, *more)
    assert (first["version"], first["metrics"], first["note"], first["tags"]) == (
        *(1, {"accuracy": 0.9}, "from the lab", {"author": "ada"}),
    )
    again = site.ask(*words, "--note", "from the other lab", "--alias", "tried")
    assert (again["version"], again["note"], again["tags"]) == (1, "from the other lab", {"author": "ada"})
    times(site.home / "net.onnx", 3.0)
    assert site.ask(*words)["version"] == 2
    aliases = {one["name"]: one["version"] for one in site.ask("model", "show", "iris")["aliases"]}
    assert aliases == {"champion": 1, "candidate": 1, "tried": 1}
    assert site.run("model", "export", "iris:2", "--output", "iris.tar").returncode == 0
    with tarfile.open(site.home / "iris.tar") as tar:
        assert tar.getnames() == ["iris-2.json", "iris-2/labels.json", "iris-2/model.onnx"]
        packed = tar.extractfile("iris-2/model.onnx")
        assert packed is not None
        assert packed.read() == (site.home / "net.onnx").read_bytes()
    taken = site.run("model", "export", "iris:2", "--output", "iris.tar")
    assert (taken.returncode, "holds something already" in taken.stderr) == (4, True)


def test_weights_in_files_beside_the_model(site: Site) -> None:
    """They are checked and kept together; one that is missing, or lies elsewhere, is named."""
    with_weights(site.home / "large", 5.0)
    made = site.ask("model", "create", "large", "--folder", "large")
    assert sorted(made["files"]) == ["model.onnx", "weights.bin"]
    assert site.run("model", "export", "large", "--output", "back").returncode == 0
    session = ort.InferenceSession(str(site.home / "back/model.onnx"))
    assert session.run(None, {"x": np.ones((1, 2), np.float32)})[0].tolist() == [[5.0, 5.0]]
    for location, complaint in {
        "gone.bin": "keeps weights in gone.bin, which is not among its files",
        "../outside.bin": "keeps weights in '../outside.bin', which is no file beside it",
        "/etc/passwd": "keeps weights in '/etc/passwd', which is no file beside it",
    }.items():
        with_weights(site.home / "bad", 5.0, location, write=False)
        refused = site.run("model", "create", "large", "--folder", "bad")
        assert (refused.returncode, complaint in refused.stderr) == (2, True), refused.stderr


def _of_opset(path: Path, opset: int) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def _fails_to_run(path: Path) -> Path:
    shape = numpy_helper.from_array(np.array([-1, 1009], np.int64), "shape")
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", 1009])],
        [shape],
    )


def test_what_cannot_be_served_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """Each with its reason: no model, half of one, an opset of the future, an operator nobody has, one that fails."""
    good = times(tmp_path / "good.onnx", 2.0).read_bytes()
    unknown = onnx.load_from_string(good)
    unknown.graph.node[0].op_type = "Conjure"
    cases = {
        "no model.onnx among the files": None,
        "is empty": b"",
        "is no valid ONNX model": b"not a model",
        "no valid ONNX model: ": good[: len(good) // 2],
        "No Op registered for Conjure": unknown.SerializeToString(),
        "fails on zeros": _fails_to_run(tmp_path / "fails.onnx").read_bytes(),
        "opset 999": _of_opset(tmp_path / "future.onnx", 999).read_bytes(),
    }
    home = tmp_path / "home"
    home.mkdir()
    with Api.running(home) as api:
        for complaint, content in cases.items():
            files = {} if content is None else {"model.onnx": api.file("model.onnx", content)["blob"]}
            told = problem(api.http.post("models/iris/versions", json={"files": files}))
            assert told.status == 422
            assert complaint in told.detail, told.detail
        absent = {"model.onnx": {"digest": f"sha256:{'0' * 64}", "size_bytes": 1}}
        assert "upload it first" in problem(api.http.post("models/iris/versions", json={"files": absent})).detail
        held = api.file("model.onnx", good)["blob"]
        outside = {"model.onnx": held, "../evil": held}
        assert problem(api.http.post("models/iris/versions", json={"files": outside})).status == 422
        assert api.http.get("models").json()["items"] == []


def test_a_model_goes_to_mlflow_and_comes_back(site: Site) -> None:
    """What is written has what MLflow reads: the flavour, its signature, its requirements; imported, it is the same."""
    with_weights(site.home / "there", 7.0)
    site.ask("model", "create", "there", "--folder", "there", "--metric", "f1=0.5")
    assert site.run("model", "export", "there", "--output", "mlflow", "--mlflow").returncode == 0
    described = yaml.safe_load((site.home / "mlflow/MLmodel").read_text())
    assert described["flavors"]["onnx"]["data"] == "model.onnx"
    assert described["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert json.loads(described["signature"]["inputs"]) == [
        {"name": "x", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]}}
    ]
    assert "onnxruntime" in (site.home / "mlflow/requirements.txt").read_text()
    back = site.ask("model", "import", "back-again", "mlflow")
    assert sorted(back["files"]) == ["model.onnx", "weights.bin"]
    assert back["lineage"]["imported"].startswith("MLflow run ")
    assert back["metrics"] == {"f1": 0.5}


def mlflow_version(root: Path, number: int, **meta: object) -> Path:
    """A version in a registry's tree, as MLflow writes it."""
    place = root / "models/plant/" / f"version-{number}"
    (place / "tags").mkdir(parents=True)
    (place / "meta.yaml").write_text(yaml.safe_dump({"name": "plant", "version": number, **meta}))
    return place


def mlflow_model(folder: Path, factor: float, described: str = "flavors: {onnx: {data: model.onnx}}\n") -> None:
    """A model folder, as MLflow writes it."""
    folder.mkdir(parents=True)
    times(folder / "model.onnx", factor)
    (folder / "MLmodel").write_text(described)


def test_a_registry_of_mlflows_comes_whole(site: Site) -> None:
    """Of MLflow 2 and 3, also moved since: versions with metrics, note, tags and aliases; what cannot come is named."""
    root, runs = site.home / "mlruns", {1: "a1" * 16, 2: "b2" * 16}
    mlflow_model(root / f"0/{runs[1]}/artifacts/net", 2.0)
    mlflow_version(root, 1, run_id=runs[1], source=f"file:///elsewhere/mlruns/0/{runs[1]}/artifacts/net")
    mlflow_model(root / f"0/models/m-{'c3' * 16}/artifacts", 3.0)
    source = f"models:/m-{'c3' * 16}"
    second = mlflow_version(root, 2, run_id=runs[2], source=source, description="from the lab", current_stage="None")
    (second / "tags/season").write_text("summer")
    (second / "tags/secret").symlink_to(site.home / "elsewhere")
    mlflow_model(root / f"0/models/m-{'d4' * 16}/artifacts", 4.0, "flavors: {sklearn: {pickled_model: model.pkl}}\n")
    mlflow_version(root, 3, source=f"models:/m-{'d4' * 16}")
    mlflow_version(root, 4, source="models:/m-0000000000000000", current_stage="Deleted_Internal")
    mlflow_version(root, 5, source="file:///elsewhere/mlruns/0/../../../../etc/artifacts/passwd")
    mlflow_version(root, 6)
    (root / "models/plant/version-6/meta.yaml").write_bytes(b"\xff\xfe")
    (root / "models/plant/version-7").mkdir()
    for number, run in runs.items():
        (root / f"0/{run}/metrics/val").mkdir(parents=True)
        (root / f"0/{run}/metrics/accuracy").write_text(f"170 0.5 0\n171 0.{number} 2 data 5f\n172 0.5 0\n")
        (root / f"0/{run}/metrics/nan").write_text("170 nan 0\n")
        (root / f"0/{run}/metrics/odd").write_text("170\n")
    (root / "models/plant/aliases").mkdir()
    (root / "models/plant/aliases/champion").write_text("1")
    (root / "models/plant/aliases/tried").write_text("2")
    (root / "models/plant/aliases/_odd").write_bytes(b"\xff")
    came = site.run("model", "import", "plant", "mlruns", "--alias", "candidate", "--json")
    made = json.loads(came.stdout)
    assert [(one["version"], one["metrics"], one["note"], one["tags"]) for one in made] == [
        (1, {"accuracy": 0.1}, "", {}),
        (2, {"accuracy": 0.2}, "from the lab", {"season": "summer"}),
    ]
    assert made[1]["lineage"]["imported"] == f"MLflow registry: plant version 2, run {runs[2]}"
    for complaint in (
        "version 3 of plant is left out",
        "4 of plant is left out: it was deleted",
        "5 of plant",
        "6 of plant",
    ):
        assert complaint in came.stderr
    aliases = {one["name"]: one["version"] for one in site.ask("model", "show", "plant")["aliases"]}
    assert aliases == {"champion": 1, "tried": 2, "candidate": 2}
    again = site.ask("model", "import", "plant", "mlruns/models/plant")
    assert [one["version"] for one in again] == [1, 2]
    mlflow_model(root / "0/x", 5.0)
    (root / "models/other/version-1").mkdir(parents=True)
    (root / "models/other/version-1/meta.yaml").write_text("version: 1\n")
    unclear = site.run("model", "import", "third", "mlruns")
    assert (unclear.returncode, "has the models other, plant; name one" in unclear.stderr) == (2, True)


def test_what_is_no_onnx_model_of_mlflows_is_refused(site: Site) -> None:
    """A folder without a description, one of another flavour, and one that names a file elsewhere."""
    folder = site.home / "other"
    folder.mkdir()
    none = site.run("model", "import", "other", "other")
    assert "there is no MLmodel in it" in none.stderr
    (folder / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}\n")
    assert "describes no ONNX model" in site.run("model", "import", "other", "other").stderr
    (folder / "MLmodel").write_text("flavors: {onnx: {data: ../net.onnx}}\n")
    assert "lies outside of its folder" in site.run("model", "import", "other", "other").stderr


def test_a_link_in_a_folder_is_not_followed(site: Site) -> None:
    """It may lead to what nobody meant to upload: in a folder of one's own, and in one of MLflow's."""
    (site.home / "secret").write_text("what nobody shall have")
    for folder, words in {"own": ("create", "linked", "--folder", "own"), "flow": ("import", "linked", "flow")}.items():
        (site.home / folder).mkdir()
        times(site.home / folder / "model.onnx", 2.0)
        (site.home / folder / "MLmodel").write_text("flavors: {onnx: {data: model.onnx}}\n")
        (site.home / folder / "extra").symlink_to(site.home / "secret")
        refused = site.run("model", *words)
        assert (refused.returncode, "extra is a link" in refused.stderr) == (2, True), refused.stderr


def test_mistakes_in_what_is_uploaded_are_named(site: Site) -> None:
    """Nothing is sent before everything is known to be right."""
    times(site.home / "a.onnx", 2.0)
    times(site.home / "b.onnx", 2.0)
    for words, complaint in {
        (): "name the model with --file",
        ("--file", "a.onnx", "--file", "b.onnx"): "a.onnx, b.onnx could each be the model",
        ("--file", "nowhere.onnx"): "nowhere.onnx is no file",
        ("--file", "a.onnx", "--metric", "f1=good"): "'good' is no number",
        ("--file", "a.onnx", "--alias", "a b"): "alias",
    }.items():
        refused = site.run("model", "create", "x", *words)
        assert refused.returncode != 0
        assert complaint in refused.stderr, refused.stderr
    assert [model["name"] for model in site.ask("model", "list") if model["name"] == "x"] == []
