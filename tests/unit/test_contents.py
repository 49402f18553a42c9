"""What a pipeline answers with, and may go back to: decided here, and found again by the next agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.journal import Journal
from edge_agent.serving.contents import Content, Contents
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from schemas.manifest import WantedHealth, WantedModel, WantedPipeline
from schemas.names import BlobRef
from schemas.pipelines import NodeSpec, PipelineSpec

SPEC = PipelineSpec(name="p", nodes=(NodeSpec(id="in", type="mqtt_sub"),))


def blob(number: int) -> BlobRef:
    """Some bytes."""
    return BlobRef(digest=f"sha256:{number:064}", size_bytes=1)


def content(number: int, content_id: str | None = None, *, model: int = 1, card: int = 1) -> Content:
    """A pipeline's version of that number."""
    wanted = WantedPipeline(
        name="p",
        version=number,
        spec=blob(number),
        content_id=f"c{number}" if content_id is None else content_id,
        models={"m": WantedModel(name="m", version=model, card=blob(card))},
    )
    ready = ReadyModel("m", model, Path(f"/models/m/{model}/model.onnx"), blob(card).digest)
    return Content(wanted, ReadyPipeline("p", number, SPEC, {"m": ready}, {}))


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        yield journal


def test_the_last_that_proved_itself_is_gone_back_to(journal: Journal) -> None:
    """Not the one that was swapped away while it was watched; and what proved itself has nothing to go back to."""
    contents = Contents(journal)
    assert not contents.serve(content(1))
    assert contents.serve(content(2))
    assert contents.serve(content(3))
    assert {wanted.version for wanted in contents.in_use()} == {1, 3}
    contents.go_back("p", "it is slow")
    assert contents.serving == {"p": content(1)}
    assert contents.was_refused(content(3).wanted)
    assert not contents.was_refused(content(2).wanted)
    assert (contents.returned["p"].version, contents.returned["p"].models) == (3, {"m": 1})
    assert contents.serve(content(4))
    contents.prove("p")
    assert contents.previous == {}
    assert {wanted.version for wanted in contents.in_use()} == {4}


def test_what_answers_the_same_has_nothing_to_prove(journal: Journal) -> None:
    """Another name, another watch, the old content again, and what has no name: none of them is watched."""
    contents = Contents(journal)
    contents.serve(content(1))
    renamed = content(1, "renamed")
    watched = Content(renamed.wanted.model_copy(update={"health": WantedHealth(watch_s=1)}), renamed.ready)
    assert not contents.serve(renamed)
    assert not contents.serve(watched)
    assert contents.serve(content(2))
    assert not contents.serve(content(2, "renamed"))
    assert contents.previous == {"p": watched}
    assert not contents.serve(content(1))
    assert not contents.serve(content(5, ""))
    assert contents.previous == {}


def test_files_that_were_replaced_are_not_gone_back_to(journal: Journal) -> None:
    """A model's version made anew under its number stands where the old one stood."""
    contents = Contents(journal)
    contents.serve(content(1, card=1))
    assert not contents.serve(content(2, card=2))
    assert contents.previous == {}


def test_what_cannot_be_had_is_turned_away_if_there_is_something_else(journal: Journal) -> None:
    """Without anything to go on with there is nothing to go back to, so it is not noted, and tried again."""
    contents = Contents(journal)
    contents.turn_away(content(1).wanted, "no model")
    assert contents.returned == {}
    contents.serve(content(1))
    contents.turn_away(content(2).wanted, "no model")
    assert contents.serving == {"p": content(1)}
    assert contents.was_refused(content(2).wanted)
    contents.keep_only({"p": content(2).wanted})
    assert contents.was_refused(content(2).wanted)
    contents.keep_only({"p": content(3).wanted})
    assert contents.returned == {}
    contents.keep_only({})
    assert list(contents.in_use()) == []


def test_the_next_agent_knows_it_all(journal: Journal) -> None:
    """Before it has looked at anything, it keeps what is served and what may be gone back to."""
    contents = Contents(journal)
    contents.serve(content(1))
    contents.serve(content(2))
    contents.save()
    following = Contents(journal)
    following.save()
    assert {wanted.version for wanted in Contents(journal).in_use()} == {1, 2}
    contents.go_back("p", "it is slow")
    contents.save()
    after = Contents(journal)
    assert after.was_refused(content(2).wanted)
    assert [wanted.version for wanted in after.in_use()] == [1]
