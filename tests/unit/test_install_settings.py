"""Which installer may be used, and what it is told."""

import os
from pathlib import Path

import pytest

from edge_agent.execution import installer
from edge_agent.execution.install_settings import InstallSettings, has_options


@pytest.mark.parametrize(
    ("pip_args", "suits"),
    [
        ((), True),
        (("--no-index", "--find-links", "/wheels", "--only-binary=:all:"), True),
        (("-c", "constraints.txt", "--pre"), True),
        (("--prefer-binary",), False),
        (("--find-links",), False),
        (("--no-index=yes",), False),
        (("--proxy", "http://proxy:3128"), False),
    ],
)
def test_uv_is_given_what_it_understands(pip_args: tuple[str, ...], suits: bool) -> None:
    """One argument that uv has not, or has differently, and pip installs."""
    assert InstallSettings(pip_args=pip_args).suit_uv is suits
    assert not InstallSettings(pip_args=pip_args, uv=False).suit_uv


@pytest.mark.parametrize(
    ("requirements", "found"),
    [
        ("numpy==2.4.6\nscikit-learn>=1.6 ; python_version > '3.8'\n", False),
        ("numpy==2.4.6 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via -r requirements.in\n", False),
        ("# --no-binary numpy\nnumpy # -e .\n", False),
        ("--no-binary numpy\nnumpy", True),
        ("numpy\n  -r more.txt", True),
        ("# a comment\r--no-binary numpy\rnumpy", True),  # uv ends a line here too
        ("numpy --no-binary numpy", True),
        ("numpy --hash=sha256:" + "a" * 64 + "-e .", True),
        ("\x0c-e .", True),
    ],
)
def test_options_in_requirements_are_found(requirements: str, found: bool) -> None:
    """Nothing that could make uv build a package passes for a plain list of requirements."""
    assert has_options(requirements) is found


@pytest.fixture
def pip_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which only this file says something to pip."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    file = tmp_path / "named.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    return file


def test_uv_looks_where_pip_would(pip_configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The places of pip's configuration, and no others, are those that uv is told; variables win over files."""
    pip_configured.write_text(
        "[global]\nindex-url = https://own.example/simple\nfind-links =\n  /one\n  /two\n"
        "[install]\nextra_index_url = https://more.example/simple\n"
    )
    index = ["--index-url", "https://own.example/simple"]
    more = ["--extra-index-url", "https://more.example/simple"]
    links = ["--find-links", "/one", "--find-links", "/two"]
    settings = installer.pip_settings()
    assert installer.configured(settings, ["--requirement", "r.txt"]) == [*index, *more, *links]
    assert installer.configured(settings, ["--index-url", "https://job.example"]) == [*more, *links]
    assert installer.configured(settings, ["--no-index"]) == links
    monkeypatch.setenv("PIP_FIND_LINKS", "/three")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert installer.configured(installer.pip_settings(), []) == ["--no-index", "--find-links", "/three"]


def test_uv_keeps_to_the_constraints_that_pip_would_keep_to(pip_configured: Path) -> None:
    """What pip's configuration forbids stays forbidden when uv installs, also where there is no index."""
    pip_configured.write_text("[global]\nconstraint = /caps.txt\n  /more.txt\n")
    told = installer.configured(installer.pip_settings(), ["--no-index"])
    assert told == ["--constraint", "/caps.txt", "--constraint", "/more.txt"]
