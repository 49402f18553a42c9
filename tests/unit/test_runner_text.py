"""What becomes of the bytes that scripts print."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.execution import runner
from edge_agent.execution.log_lines import Lines as ReadLines
from edge_agent.execution.runner.text import BAR_EVERY_S, LINE_BYTES, MASK, Cleaner, Lines, Redactor


def cleaned(*pieces: bytes, secrets: Iterable[str] = ()) -> bytes:
    """All that is logged of these pieces."""
    cleaner = Cleaner(secrets)
    return b"".join(cleaner.feed(piece) for piece in pieces) + cleaner.end()


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The data, so many bytes at a time."""
    return (data[start : start + size] for start in range(0, len(data), size))


PRINTED = {
    "plain": (b"a\nb", b"a\nb\n"),
    "Windows line ends": (b"a\r\nb\r\n", b"a\nb\n"),
    "colours": (b"\x1b[1;31mred\x1b[0m\n", b"red\n"),
    "a window title": (b"\x1b]0;title\x07text\x1b]0;t\x1b\\\n", b"text\n"),
    "cursor movements": (b"\x1b[2K\x1b[1A\x1b(Bx\x1b7\n", b"x\n"),
    "other controls": (b"bell\x07 back\x08 null\x00 tab\t\n", b"bell back null tab\t\n"),
    "a bar": (b"\r  0%|  |\r 50%|# |\r100%|##|\ndone\n", b"100%|##|\ndone\n"),
    "a bar that wipes itself": (b"50%\r   \rdone\n", b"done\n"),
    "a bar with colours": (b"\r\x1b[32m 50%\x1b[0m\r\x1b[32m100%\x1b[0m\n", b"100%\n"),
    "half a sequence": (b"end\x1b[1;3", b"end\n"),
    "empty lines": (b"\n\n", b"\n\n"),
    "a progress dot": (b"...", b"...\n"),
}


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("name", PRINTED)
def test_a_log_is_plain_whole_lines(name: str, size: int) -> None:
    """Control sequences are gone and bars are shown as they were last, in whatever pieces the bytes come."""
    printed, logged = PRINTED[name]
    assert cleaned(*in_pieces(printed, size)) == logged


def test_a_long_bar_is_shown_now_and_then() -> None:
    """What is drawn over for long is shown as it is every ten seconds, and once more when it is complete."""
    now = 0.0
    lines = Lines(clock=lambda: now)
    shown = b""
    for percent in range(101):
        now = percent * BAR_EVERY_S / 50
        shown += lines.feed(b"\r%d%%" % percent)
    shown += lines.feed(b"\n")
    assert shown.split() == [b"50%", b"100%", b"100%"]


def test_an_endless_line_is_cut() -> None:
    """Of a line that never ends so much is kept as is useful, and a note says how much is missing."""
    piece = b"x" * 65536
    assert cleaned(*[piece] * 100) == b"x" * LINE_BYTES + (
        f" … cut, {100 * len(piece) - LINE_BYTES} bytes more\n".encode()
    )


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("printed", "logged"),
    [
        (b"the password is tide-and-time!\n", b"the password is %b!\n"),
        (b"tide-and-tide-and-time\n", b"tide-and-%b\n"),
        (b"\x1b[31mtide\x1b[0m-and-\x1b[1mtime\x1b[0m\n", b"%b\n"),
        (b"abababab abab\n", b"%b%b %b\n"),
        (b"first line of a key\n  second line of a key\n", b"%b\n  %b\n"),
        (b"'first line of a key\\nsecond line of a key'\n", b"'%b\\n%b'\n"),
        (b"tide-and-tim", b"tide-and-tim\n"),
        (b"no\n", b"no\n"),
    ],
)
def test_no_secret_is_logged(printed: bytes, logged: bytes, size: int) -> None:
    """Every secret of four letters and more is masked, whole or line by line, in whatever pieces it comes."""
    secrets = ["tide-and-time", "abab", "first line of a key\nsecond line of a key\n", "no"]
    assert cleaned(*in_pieces(printed, size), secrets=secrets) == logged.replace(b"%b", MASK)


@given(
    st.lists(st.text("ab", min_size=4, max_size=6), min_size=1, max_size=3),
    st.lists(st.text("abc", max_size=8).map(str.encode), max_size=12),
)
def test_secrets_that_overlap_are_masked_in_any_pieces(secrets: list[str], pieces: list[bytes]) -> None:
    """No secret is ever in what a redactor lets through, and nothing else is lost."""
    redactor = Redactor(secrets)
    text = b"".join(redactor.feed(piece) for piece in pieces) + redactor.end()
    assert not any(secret.encode() in text for secret in secrets)
    if not any(secret.encode() in b"".join(pieces) for secret in secrets):
        assert text == b"".join(pieces)


def test_a_forged_log_reaches_no_terminal_as_it_is() -> None:
    """What a script writes into the log file itself is read as text without controls, and in bounded lines."""
    lines = ReadLines()
    read = [*lines.feed(b"\x1b[2Jclear \xff\xc2\x9b1m\n" + b"y" * 20_000), *lines.end()]
    assert read[0] == "[2Jclear �1m"
    assert len(read[1]) < 10_000


def test_the_runner_is_old_python() -> None:
    """An image may have a Python as old as 3.8."""
    for module in Path(runner.__file__).parent.glob("*.py"):
        ast.parse(module.read_text(), feature_version=(3, 8))
