"""Dead letters: looked at, published again, dropped."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from sqlmodel import Session

from controller.http.services import Parts
from controller.stores.dead_letters import (
    drop_letters,
    get_letter,
    letter_content,
    letter_view,
    list_letters,
    note_retry,
)
from controller.stores.serving import get_pipeline
from controller.stores.tables import DeadLetterRow
from schemas.errors import BadInput
from schemas.payload_text import Encoding, as_bytes
from schemas.pipeline_views import DeadLetterContent, DeadLetterView
from schemas.topics import check_topic
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["serving"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]


class NewPayload(Written):
    """What is published in place of the payload that failed."""

    payload: str
    encoding: Encoding = "text"


@router.get("/pipelines/{name}/dead-letters")
async def all_letters(
    name: str, parts: Parts, limit: Limit = 100, cursor: Number | None = None
) -> Page[DeadLetterView]:
    """The messages that the pipeline could not answer, as far as they are kept, newest first."""

    def look(session: Session) -> list[DeadLetterView]:
        get_pipeline(session, name=name)
        return list_letters(session, pipeline=name, before=cursor, limit=limit + 1)

    views = await parts.database.read(look)
    following = str(views[limit - 1].id) if len(views) > limit else None
    return Page(items=tuple(views[:limit]), next=following)


@router.get("/pipelines/{name}/dead-letters/{number}")
async def one_letter(name: str, number: Number, parts: Parts) -> DeadLetterContent:
    """One of them, with its payload."""
    return await parts.database.read(lambda session: letter_content(get_letter(session, pipeline=name, number=number)))


@router.post("/pipelines/{name}/dead-letters/{number}/retry")
async def retry(name: str, number: Number, parts: Parts, edited: NewPayload | None = None) -> DeadLetterView:
    """Publish the message again on the topic that it came on, with another payload if one is given.

    The letter stays, with the time of the retry. A message that fails again becomes a letter of its own.
    """

    def find(session: Session) -> tuple[str, bytes]:
        row = get_letter(session, pipeline=name, number=number)
        return row.topic, _message(row, edited)

    topic, payload = await parts.database.read(find)
    await parts.link.publish(topic, payload)
    return await parts.database.write(
        lambda session: letter_view(note_retry(session, pipeline=name, number=number, now=parts.clock()))
    )


@router.delete("/pipelines/{name}/dead-letters/{number}", status_code=204)
async def drop(name: str, number: Number, parts: Parts) -> None:
    """Forget one of them."""

    def forget(session: Session) -> None:
        get_letter(session, pipeline=name, number=number)
        drop_letters(session, pipeline=name, numbers=[number])

    await parts.database.write(forget)


@router.delete("/pipelines/{name}/dead-letters", status_code=204)
async def drop_all(name: str, parts: Parts) -> None:
    """Forget all of them."""

    def forget(session: Session) -> None:
        get_pipeline(session, name=name)
        drop_letters(session, pipeline=name, numbers=None)

    await parts.database.write(forget)


def _message(row: DeadLetterRow, edited: NewPayload | None) -> bytes:
    """What is published for a letter. Anybody may have published that letter: it must not speak for the controller."""
    if not row.topic:
        raise BadInput(f"dead letter {row.id} cannot be published again: no message brought it, a node began with it")
    try:
        check_topic(row.topic)
        if edited is not None:
            return as_bytes(edited.payload, edited.encoding)
    except ValueError as error:
        raise BadInput(f"dead letter {row.id} is not published again: {error}") from error
    if row.truncated:
        raise BadInput(
            f"dead letter {row.id} holds only the first {row.size_bytes} bytes of its message, which was too large to "
            "be kept: it can be published again only with a payload of your own"
        )
    return row.payload
