"""Environments: what makes them, what of them is kept, and what happens when something goes wrong meanwhile."""

import asyncio
import fcntl
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.execution.environment_place import Place, disk_use
from edge_agent.execution.environments import EnvironmentCache, Installer
from edge_agent.execution.executor import TaskKey, TaskRequest
from edge_agent.execution.images import availability
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.polling import until
from schemas.errors import OutOfDisk, TaskFailed
from tests.integration.workbench import IMAGE, limits, workbench

USE = {"use.py": "import tidepool; print(tidepool.DEPTH)"}


def only(wheels: Path, **chosen: object) -> InstallSettings:
    """Install from a folder of wheels alone."""
    return replace(InstallSettings(wheelhouse=wheels, pip_args=("--no-index",)), **chosen)  # type: ignore[arg-type]


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def kind(request: pytest.FixtureRequest) -> str:
    """Each executor in turn."""
    if request.param == "docker" and (reason := await availability(IMAGE)):
        pytest.skip(reason)
    return str(request.param)


@pytest.mark.parametrize("uv", [True, False])
async def test_a_site_without_internet_installs_from_its_wheels(kind: str, uv: bool, tmp_path: Path) -> None:
    """With a wheelhouse and --no-index both installers need no network; told is which one it was (defect 17)."""
    async with workbench(kind, tmp_path, only(tmp_path / "wheels", uv=uv)) as bench:
        spec = bench.spec(USE, requirements="tidepool==1.0")
        made = await bench.executor.prepare(bench.request(spec), lambda _note: None)
        assert (made.installer, made.cached) == ("uv" if uv else "pip", False)
        assert list(made.path.rglob("tidepool*.pyc"))  # tasks cannot write there, and would compile it each time
        again = bench.request(spec, attempt=2)
        found = await bench.executor.prepare(again, lambda _note: None)
        assert (found.installer, found.cached, found.key) == ("", True, made.key)
        _, lines = await bench.run(again)
    assert lines == ["7"]


async def test_what_uv_cannot_do_pip_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip is configured as uv cannot be, and for what has to be built in a container, pip takes over."""
    monkeypatch.setenv("PIP_PREFER_BINARY", "1")  # of this machine, not of a container
    async with workbench(kind, tmp_path) as bench:
        sdist(tmp_path / "wheels")
        notes: list[str] = []
        request = bench.request(bench.spec({"use.py": "import ebb; print('here')"}, requirements="ebb"))
        made = await bench.executor.prepare(request, notes.append)
        assert made.installer == "pip"
        reason = {"process": "prefer-binary", "docker": "--no-build"}[kind]
        changed = [note for note in notes if note.startswith("uv could not install the requirements (")]
        assert len(changed) == 1
        assert reason in changed[0]
        assert changed[0].endswith("; trying pip")
        _, lines = await bench.run(request)
    assert lines == ["here"]


async def test_a_failure_tells_what_each_installer_said(kind: str, tmp_path: Path) -> None:
    """Requirements that cannot be had fail the task with the last lines of uv and of pip."""
    async with workbench(kind, tmp_path) as bench:
        request = bench.request(bench.spec(USE, requirements="no-such-tide==1"))
        with pytest.raises(TaskFailed) as caught:
            await bench.executor.prepare(request, lambda _note: None)
    said = str(caught.value)
    assert "with uv (exit code 1):" in said
    assert "no-such-tide was not found" in said
    assert "with pip (exit code 1):\n" in said
    assert "No matching distribution found for no-such-tide==1" in said
    assert not isinstance(caught.value, OutOfDisk)


@pytest.mark.docker
async def test_no_package_reaches_what_uv_keeps(tmp_path: Path) -> None:
    """Code that runs while a package is built finds no folder that another job's installation takes from."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    async with workbench("docker", tmp_path) as bench:
        sdist(tmp_path / "wheels")
        for requirements in ("ebb", "--no-binary ebb\nebb", "# harmless\r--no-binary ebb\rebb\r"):
            spec = bench.spec({"use.py": "import ebb; print(ebb.BESIDE)"}, requirements=requirements)
            _, lines = await bench.run(bench.request(spec))
            assert "wheels" in lines[0]
            assert "downloads" not in lines[0]
        spec = bench.spec(USE, requirements="tidepool")
        assert (await bench.executor.prepare(bench.request(spec), lambda _note: None)).installer == "uv"
    assert disk_use(tmp_path / "environments/downloads") > 0


@pytest.mark.docker
async def test_what_an_image_brings_along_counts(tmp_path: Path) -> None:
    """Packages of an image satisfy requirements, so pip installs; another image is another environment."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    wheel = tmp_path / "wheels/tidepool-1.0-py3-none-any.whl"
    unpack = f"import zipfile; zipfile.ZipFile('/from/{wheel.name}').extractall('/usr/lib/python3/dist-packages')"
    async with workbench("docker", tmp_path) as bench, image_with(wheel, "python3", "-c", unpack) as image:
        wheel.unlink()
        spec = bench.spec(USE, requirements="tidepool").model_copy(update={"image": image})
        request, notes = bench.request(spec), list[str]()
        made = await bench.executor.prepare(request, notes.append)
        assert made.installer == "pip"
        assert any("the image brings packages along" in note and "tidepool" in note for note in notes)
        assert made.image == image
        _, lines = await bench.run(request)
        assert lines == ["7"]
        plain = bench.request(bench.spec(USE).model_copy(update={"image": IMAGE}))
        bare = bench.request(bench.spec(USE).model_copy(update={"image": image}))
        keys = {(await bench.executor.prepare(each, notes.append)).key for each in (plain, bare)}
        assert len(keys) == 2


@pytest.mark.docker
async def test_another_python_in_the_image_just_works(tmp_path: Path) -> None:
    """A job whose image has another Python gets an environment of that one, and its scripts run with it."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    prefix = Path(sys.base_prefix)
    if prefix == Path("/usr"):
        pytest.skip("the tests' own Python stands in for the other one, and has no folder of its own")
    left_out = "--exclude=./lib/python*/site-packages/* --exclude=./lib/python*/test --exclude=./lib/*.a"
    copy = f"mkdir -p {prefix} && tar -C /from/{prefix.name} {left_out} -cf - . | tar -C {prefix} -xf -"
    opened = " ".join(str(parent) for parent in prefix.parents)
    link = f"chmod 755 {opened} && ln -s {prefix}/bin/python3 /usr/local/bin/python3"
    async with workbench("docker", tmp_path) as bench, image_with(prefix, "sh", "-c", f"{copy} && {link}") as image:
        scripts = {"use.py": "import platform, tidepool; print(platform.python_version(), tidepool.DEPTH)"}
        request = bench.request(bench.spec(scripts, requirements="tidepool").model_copy(update={"image": image}))
        _, lines = await bench.run(request)
    assert lines == [f"{platform.python_version()} 7"]


async def test_an_installer_that_outlives_its_agent_is_waited_for(tmp_path: Path) -> None:
    """After ``kill -9`` of an agent that installs, the next one touches nothing until that installer has ended."""
    requirements = tmp_path / "more-requirements"
    os.mkfifo(requirements)  # the installer stops here until somebody writes
    async with workbench("process", tmp_path) as bench:
        spec = bench.spec(USE, requirements=f"-r {requirements}")
        (bench.data / "spec.json").write_text(spec.model_dump_json())
        agent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.start_task", "process", str(bench.data), str(spec.run_id))
        )
        installer = await writer(requirements)
        agent.kill()
        await agent.wait()
        request, notes = bench.request(spec), list[str]()
        again = asyncio.create_task(bench.executor.prepare(request, notes.append))
        assert await until(lambda: notes == ["waiting for the same environment to be installed"], 20)
        requirements.unlink()
        os.mkfifo(requirements)  # the old installer has the old pipe open: what is written next is not for it
        os.close(installer)  # the old installer ends
        installer = await writer(requirements)  # the new one starts
        os.write(installer, b"tidepool\n")
        os.close(installer)
        async with asyncio.timeout(60):
            assert not (await again).cached
        assert notes[1] == "installing requirements"
        _, lines = await bench.run(request)
        assert lines == ["7"]


async def test_installing_has_a_time_limit(tmp_path: Path) -> None:
    """An installation that hangs is ended, and one that hangs elsewhere is not waited for without end."""
    cache, key = (
        EnvironmentCache(tmp_path / "environments", tmp_path / "tasks", InstallSettings(timeout_s=0.5)),
        "0" * 32,
    )
    ended = asyncio.Event()

    async def hang(_place: Place, _lock: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    with pytest.raises(TaskFailed, match="not installed within"):
        await cache.get(key, task(tmp_path), [Installer("pip", hang)], lambda _note: None)
    assert ended.is_set()
    with (tmp_path / "environments" / key / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TaskFailed, match="not installed within"):
            await cache.get(key, task(tmp_path), [Installer("pip", hang)], lambda _note: None)


async def test_the_longest_unused_goes_first_and_none_that_a_task_has(tmp_path: Path) -> None:
    """Over the cap environments go by their last use; one whose task is still here stays, also after a restart."""
    settings = InstallSettings(environments_bytes=5 * 1024 * 1024)

    async def have(number: int, request: TaskRequest) -> bool:
        cache = EnvironmentCache(tmp_path / "environments", tmp_path / "tasks", settings)  # as of a new agent
        return (await cache.get(str(number) * 32, request, [Installer("pip", fill(2))], lambda _note: None)).cached

    def kept() -> list[int]:
        return sorted(int(path.name[0]) for path in (tmp_path / "environments").iterdir() if path.name[0].isdigit())

    first, second, third = (task(tmp_path) for _ in range(3))
    for number, request in enumerate((first, second), 1):
        assert not await have(number, request)
        os.utime(tmp_path / f"environments/{str(number) * 32}/complete", (number, number))
    assert await have(1, second)  # used anew, so that the other one is the one unused for longest
    assert not await have(3, third)
    assert kept() == [1, 2, 3]  # three times 2 MB are over 5 MB, but all three are in use
    shutil.rmtree(first.folder)
    shutil.rmtree(second.folder)
    assert not await have(4, third)
    assert kept() == [3, 4]
    shutil.rmtree(third.folder)
    half = tmp_path / "environments" / ("5" * 32)
    (half / "venv").mkdir(parents=True)
    assert not await have(6, task(tmp_path))
    assert kept() == [4, 6]


async def test_a_disk_without_room_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    """With less disk free than the reserve unused environments go, and then the task is out of disk."""
    cache = EnvironmentCache(tmp_path / "environments", tmp_path / "tasks", InstallSettings())
    unused = task(tmp_path)
    await cache.get("1" * 32, unused, [Installer("pip", fill(1))], lambda _note: None)
    shutil.rmtree(unused.folder)
    full = EnvironmentCache(tmp_path / "environments", tmp_path / "tasks", InstallSettings(reserve_bytes=1 << 60))
    with pytest.raises(OutOfDisk, match="not enough disk to install requirements: "):
        await full.get("2" * 32, task(tmp_path), [Installer("pip", fill(1))], lambda _note: None)
    assert not (tmp_path / "environments" / ("1" * 32)).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_an_installation_that_fills_the_disk_is_ended(small_disk: Path, tmp_path: Path) -> None:
    """Before an installation has filled the disk it is ended as out of disk, and what it wrote is gone."""
    cache = EnvironmentCache(small_disk / "environments", tmp_path / "tasks", InstallSettings(reserve_bytes=16_000_000))

    async def fill_and_wait(place: Place, lock: int) -> int:
        await fill(40)(place, lock)
        await asyncio.Event().wait()
        return 0

    async with asyncio.timeout(30):
        with pytest.raises(OutOfDisk, match="left less than 16 MB of disk free"):
            await cache.get("1" * 32, task(tmp_path), [Installer("pip", fill_and_wait)], lambda _note: None)
    assert disk_use(small_disk) < 1024 * 1024


@pytest.mark.parametrize("sign", ["OSError: [Errno 28] No space left on device", "failed to write (os error 28)"])
async def test_an_installer_without_disk_is_not_followed_by_another(sign: str, tmp_path: Path) -> None:
    """An installer that could not write for want of disk makes the task out of disk."""
    cache = EnvironmentCache(tmp_path / "environments", tmp_path / "tasks", InstallSettings())

    async def fail(place: Place, _lock: int) -> int:
        (place.log / "install.log").write_text(f"{sign}\n")
        return 1

    installers = [Installer("uv", fail), Installer("pip", fill(1))]
    with pytest.raises(OutOfDisk, match="the disk became full"):
        await cache.get("1" * 32, task(tmp_path), installers, lambda _note: None)


def task(data: Path) -> TaskRequest:
    """A task with requirements and an empty folder."""
    key = TaskKey(uuid4(), 1)
    folder = data / "tasks" / str(key)
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("tidepool")
    digest = "sha256:" + "0" * 64
    return TaskRequest(key, folder, (), {}, {}, limits(), None, folder / "requirements.txt", digest)


def fill(size_mb: int) -> Callable[[Place, int], Coroutine[None, None, int]]:
    """An installation of that size."""

    async def write(place: Place, _lock: int) -> int:
        with (place.venv / "library.so").open("wb") as file:
            for _ in range(size_mb):
                file.write(bytes(1024 * 1024))
        (place.log / "install.log").touch()
        return 0

    return write


BACKEND = """
import os, zipfile

def build_wheel(folder, settings=None, metadata=None):
    beside = sorted(os.listdir("/opt/tidemill")) if os.path.isdir("/opt/tidemill") else []
    info, name = "ebb-1.0.dist-info", "ebb-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("ebb.py", f"BESIDE = {beside!r}\\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: ebb\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", f"ebb.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
    return name
""".replace("\\\\", "\\")
BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def sdist(wheels: Path) -> None:
    """Put a package ``ebb`` 1.0 there as its source, whose build writes down what it finds beside it."""
    files = {
        "backend.py": BACKEND,
        "pyproject.toml": BUILD,
        "PKG-INFO": "Metadata-Version: 2.1\nName: ebb\nVersion: 1.0\n",
    }
    with tarfile.open(wheels / "ebb-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"ebb-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


@asynccontextmanager
async def image_with(mounted: Path, *command: str) -> AsyncIterator[str]:
    """The training image as this command leaves it, which has a path of this machine at ``/from``."""
    made = f"tidemill-test-{uuid4().hex[:8]}"

    async def docker(*arguments: str) -> None:
        process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=subprocess.DEVNULL)
        async with asyncio.timeout(240):
            assert await process.wait() == 0

    try:
        await docker(
            "run", "--name", made, "--network", "none", "-v", f"{mounted}:/from/{mounted.name}:ro", IMAGE, *command
        )
        await docker("commit", made, f"{made}:1")
        yield f"{made}:1"
    finally:
        await docker("rm", "--force", made)
        await docker("image", "rm", "--force", f"{made}:1")


async def writer(pipe: Path) -> int:
    """Open a named pipe for writing once somebody reads it."""
    opened: list[int] = []

    def try_to_open() -> bool:
        try:
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    assert await until(try_to_open, 60)
    return opened[0]
