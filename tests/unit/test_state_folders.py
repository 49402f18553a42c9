"""Where nodes keep what must outlive their worker."""

from pathlib import Path

from edge_agent.serving.replicas import worker_names
from edge_agent.serving.state_folders import StateFolders


def test_a_worker_finds_its_folder_again_until_it_leaves(tmp_path: Path) -> None:
    """Also the next agent's; each replica has one, and after the end a worker of that name begins anew."""
    names = worker_names("line.press", 3)
    before = {name: StateFolders(tmp_path).of(name) for name in names}
    assert len(set(before.values())) == 3
    states = StateFolders(tmp_path)
    assert {name: states.of(name) for name in names} == before
    states.leave(names[1])
    after = {name: states.of(name) for name in names}
    assert [name for name in names if after[name] != before[name]] == [names[1]]


def test_what_was_left_goes_when_nobody_needs_it(tmp_path: Path) -> None:
    """A worker's folder goes as a whole, and what is still wanted stays."""
    states = StateFolders(tmp_path)
    folders = [states.of(name) / node for name in ("gone", "here") for node in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        (folder / "file").touch()
    states.leave("gone")
    states.leave("gone")
    states.leave("never")
    assert sorted(states.nodes()) == sorted(folders)
    states.sweep(lambda folder: folder == folders[1])
    assert sorted(states.nodes()) == sorted(folders)
    states.sweep(lambda _: False)
    assert sorted(states.nodes()) == sorted(folders[2:])
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
