"""Models go from one controller to another: signed by the one, and taken by the other from whom it trusts."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.site import Site, controller
from tests.integration.test_uploads import with_weights
from tests.onnx_graphs import times


@pytest.fixture(name="there", scope="module")
def _there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with two versions of a model, one of which has its weights in another file."""
    with controller(tmp_path_factory.mktemp("there")) as site:
        times(site.home / "a.onnx", 2.0)
        site.ask(
            "model",
            "create",
            "iris",
            "--file",
            "a.onnx",
            "--metric",
            "f1=0.5",
            "--note",
            "the first",
            "--tag",
            "by=ada",
        )
        with_weights(site.home / "large", 3.0)
        site.ask("model", "create", "iris", "--folder", "large", "--alias", "candidate")
        assert site.run("model", "export", "iris", "--output", "iris.tidemill").returncode == 0
        yield site


@pytest.fixture(name="here", scope="module")
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Another controller."""
    with controller(tmp_path_factory.mktemp("here")) as site:
        yield site


def _key(site: Site) -> str:
    return str(site.ask("key", "list")[0]["public_key"])


def test_a_model_arrives_whole(there: Site, here: Site) -> None:
    """Files, numbers, metrics, notes, tags and aliases; where it is from stands in its lineage; once is enough."""
    archive = str(there.home / "iris.tidemill")
    refused = here.run("model", "import", "iris", archive)
    assert "a controller that nobody trusts here" in refused.stderr
    assert here.ask("model", "list") == []
    made = here.ask("model", "import", "iris", archive, "--trust", _key(there))
    assert [(one["version"], sorted(one["files"])) for one in made] == [
        (1, ["model.onnx"]),
        (2, ["model.onnx", "weights.bin"]),
    ]
    assert made[0]["lineage"]["imported"].startswith("iris:1 of the controller with key ")
    shown = here.ask("model", "show", "iris")
    oldest = shown["versions"][-1]
    assert (oldest["metrics"], oldest["note"], oldest["tags"]) == ({"f1": 0.5}, "the first", {"by": "ada"})
    assert {one["name"]: one["version"] for one in shown["aliases"]} == {"champion": 1, "candidate": 2}
    assert here.ask("model", "import", "iris", archive, "--trust", _key(there)) == []


def test_numbers_that_are_taken_are_not_given_twice(there: Site, here: Site) -> None:
    """Versions of another model of that name stay; those that come are behind them."""
    times(here.home / "own.onnx", 9.0)
    assert here.ask("model", "create", "other", "--file", "own.onnx")["version"] == 1
    archive = str(there.home / "iris.tidemill")
    made = here.ask("model", "import", "other", archive, "--trust", _key(there))
    assert [one["version"] for one in made] == [2, 3]
    assert {one["name"]: one["version"] for one in here.ask("model", "show", "other")["aliases"]}["champion"] == 1


def _altered(source: Path, to: Path, change: Callable[[str, bytes], bytes | None]) -> str:
    """The archive with its members changed; None leaves one out."""
    with tarfile.open(source) as tar, tarfile.open(to, "w") as out:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            content = change(member.name, file.read())
            if content is not None:
                info = tarfile.TarInfo(member.name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return str(to)


def _better(name: str, content: bytes) -> bytes:
    if name != "manifest.json":
        return content
    signed = json.loads(content)
    return json.dumps({**signed, "payload": signed["payload"].replace("0.5", "0.9")}).encode()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_better, "it was altered: its signature"),
        (lambda name, content: content if name == "manifest.json" else content[:-1] + b"\0", "was altered"),
        (
            lambda name, content: content if name == "manifest.json" else content + b"more",
            "bytes, and its manifest says",
        ),
        (lambda name, content: content if name == "manifest.json" else None, "lacks"),
        (lambda name, content: None if name == "manifest.json" else content, "does not begin with a manifest.json"),
    ],
)
def test_an_altered_archive_is_refused(
    there: Site, here: Site, change: Callable[[str, bytes], bytes | None], complaint: str
) -> None:
    """Whatever was changed, it is named, and nothing comes of it."""
    path = _altered(there.home / "iris.tidemill", here.home / "altered.tidemill", change)
    refused = here.run("model", "import", "altered", path, "--trust", _key(there))
    assert (refused.returncode != 0, complaint in refused.stderr) == (True, True), refused.stderr
    assert "altered" not in [model["name"] for model in here.ask("model", "list")]


def test_a_file_that_leads_elsewhere_is_not_followed(there: Site, here: Site) -> None:
    """Names of members are never paths to write to: only those that the manifest names count."""
    evil = here.home / "evil.tidemill"
    _altered(there.home / "iris.tidemill", evil, lambda _, content: content)
    with tarfile.open(evil, "a") as tar:
        for name in ("../../outside", "/tmp/tidemill-outside"):  # noqa: S108 - where it must not be written
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("blobs/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert here.run("model", "import", "fine", str(evil), "--trust", _key(there)).returncode == 0
    assert not Path("/tmp/tidemill-outside").exists()  # noqa: S108
    assert not (here.home.parent.parent / "outside").exists()
