"""A version as one tar: from the API, by `tidemill model pull --tar`, and by `model export`."""

import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from schemas.errors import Untrusted
from schemas.model_views import VersionView
from schemas.models import ModelVersion
from tests.e2e.world import until
from tests.integration.api import Api
from tests.integration.command import PROGRAM
from tests.integration.site import Site, controller
from tests.onnx_graphs import times
from tidemill.version_tars import pass_on

LARGE_BYTES = 64 * 1024 * 1024  # more than sockets hold while nobody reads
LONG = f"{'deep/' * 30}ünïcode.txt"


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with a version of three files, one large, one of a name that plain tars have no room for."""
    home = tmp_path_factory.mktemp("site")
    folder = home / "net"
    (folder / LONG).parent.mkdir(parents=True)
    (folder / LONG).write_text("a")
    times(folder / "model.onnx", 2.0)
    with (folder / "vectors.bin").open("wb") as file:
        file.write(b"some")
        file.truncate(LARGE_BYTES)
    with controller(home) as running:
        assert running.run("model", "create", "iris", "--folder", "net").returncode == 0
        yield running


@pytest.fixture(name="api")
def _api(site: Site) -> Iterator[Api]:
    """The same controller's API."""
    api = Api(site.url, site.token, site.home / "controller-data")
    with api.http:
        yield api


def blob(api: Api, card: ModelVersion, place: str) -> Path:
    """Where the controller keeps a file."""
    digits = card.files[place].digest.removeprefix("sha256:")
    return api.data_dir / "blobs" / digits[:2] / digits


def card_of(api: Api) -> VersionView:
    """What the API tells of the version."""
    return VersionView.model_validate_json(api.http.get("models/iris/versions/1").content)


def test_a_tar_has_all_files_and_the_card(site: Site, api: Api, tmp_path: Path) -> None:
    """Unpacked it is the folder that was uploaded, with the card beside it; it is the same each time."""
    answer = api.http.get("models/iris/versions/1/files.tar")
    assert answer.headers["content-disposition"] == 'attachment; filename="iris-1.tar"'
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.content == api.http.get("models/iris/versions/1/files.tar").content
    card = card_of(api)
    with tarfile.open(fileobj=BytesIO(answer.content), mode="r:") as tar:
        assert tar.getnames() == ["iris-1.json", f"iris-1/{LONG}", "iris-1/model.onnx", "iris-1/vectors.bin"]
        assert {(one.mtime, one.uid, one.mode) for one in tar} == {(int(card.created_at.timestamp()), 0, 0o644)}
        tar.extractall(tmp_path, filter="data")
    assert ModelVersion.model_validate_json((tmp_path / "iris-1.json").read_bytes()).files == card.files
    for place in card.files:
        assert (tmp_path / "iris-1" / place).read_bytes() == (site.home / "net" / place).read_bytes()


def test_pulled_into_a_file_or_a_pipe(site: Site, api: Api) -> None:
    """`--tar` writes what the API gives, into a file that was not there, or to standard output; so does `export`."""
    expected = api.http.get("models/iris/versions/1/files.tar").content
    pulled = site.ask("model", "pull", "iris", "--tar", "out/iris.tar")
    assert (pulled["tar"], pulled["version"]["version"]) == ("out/iris.tar", 1)
    assert (site.home / "out/iris.tar").read_bytes() == expected
    assert list((site.home / "out").iterdir()) == [site.home / "out/iris.tar"]
    again = site.run("model", "pull", "iris", "--tar", "out/iris.tar")
    assert (again.returncode, "--force" in again.stderr) == (4, True)
    assert site.run("model", "pull", "iris:1", "--tar", "out/iris.tar", "--force").returncode == 0
    assert site.run("model", "export", "iris", "--output", "exported.tar").returncode == 0
    assert (site.home / "exported.tar").read_bytes() == expected
    command = [str(PROGRAM), "--url", site.url, "--token", site.token, "model", "pull", "iris", "--tar", "-"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stdout == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--tar", "-", "--json"), "name a file with --tar"),
        (("--tar", "a.tar", "--output", "b"), "either into a folder"),
    ],
)
def test_options_that_do_not_go_together(site: Site, words: tuple[str, ...], complaint: str) -> None:
    """One place to write to, and nothing else on standard output."""
    done = site.run("model", "pull", "iris", *words)
    assert (done.returncode, complaint in done.stderr, done.stdout) == (2, True, "")


async def test_who_leaves_ends_the_reading(api: Api) -> None:
    """A client that goes away in the middle leaves no file of the controller's open."""
    large = blob(api, card_of(api), "vectors.bin")

    def opened() -> bool:
        return any(_leads_to(place, large) for place in Path("/proc").glob("[0-9]*/fd/*"))

    with api.http.stream("GET", "models/iris/versions/1/files.tar") as answer:
        pieces = answer.iter_bytes()
        assert next(pieces)
        await until(lambda: opened() or None, "the controller to read the file")
    await until(lambda: not opened() or None, "the controller to close the file")


def test_damage_on_the_disk_breaks_the_tar_off(site: Site, api: Api) -> None:
    """What is not as its digest says ends the answer before it is whole, and no file is left behind."""
    large = blob(api, card_of(api), "vectors.bin")
    whole = large.stat()
    large.chmod(0o600)
    with large.open("r+b") as file:
        file.write(b"evil")
    try:
        done = site.run("model", "pull", "iris", "--tar", "damaged/iris.tar")
        assert done.returncode == 1
        assert not list((site.home / "damaged").iterdir())
    finally:
        with large.open("r+b") as file:
            file.write(b"some")
        large.chmod(whole.st_mode)


def test_no_file_of_the_version_is_a_404(api: Api) -> None:
    """A version that is not there has no tar."""
    answer = api.http.get("models/iris/versions/7/files.tar")
    assert (answer.status_code, "no version 7" in answer.text) == (404, True)


def test_a_tar_that_was_altered_on_its_way_is_refused(api: Api) -> None:
    """Another byte, a file too few, and what is no tar are told, each by its name."""
    content, card = api.http.get("models/iris/versions/1/files.tar").content, card_of(api)
    other = content.replace(b"some\x00", b"evil\x00", 1)
    for came, complaint in {
        other: "iris-1/vectors.bin came damaged",
        bytes(1024): "lacks iris-1/deep",
        b"<html>" * 200: "is no whole tar",
    }.items():
        with pytest.raises(Untrusted, match=complaint):
            pass_on(iter([came]), card, BytesIO())


def _leads_to(place: Path, file: Path) -> bool:
    try:
        return place.readlink() == file
    except OSError:
        return False
