"""The keys that the controller signs with: listed, a new one made, an old one retired."""

import asyncio

from fastapi import APIRouter

from controller.http.services import Parts
from controller.stores.changes import note_change
from schemas.errors import Conflict
from schemas.views import KeyView, Page

router = APIRouter(tags=["keys"])


@router.get("/keys")
async def all_keys(parts: Parts) -> Page[KeyView]:
    """Every signing key, the newest first, and the edges whose manifests each signs."""
    signed = await parts.database.read(parts.manifests.signed_with)
    found = [
        KeyView(
            id=key.key_id,
            public_key=key.public_key,
            state="older" if number else "newest",
            edges=tuple(signed.get(key.key_id, ())),
        )
        for number, key in enumerate(parts.keys.keys)
    ]
    found += [KeyView(id=key_id, state="retired") for key_id in reversed(parts.keys.retired)]
    return Page(items=tuple(found))


@router.post("/keys/rotate")
async def rotate_key(parts: Parts) -> Page[KeyView]:
    """Make a new signing key. Edges learn it from manifests that the one before signs, and change over."""
    made = await asyncio.to_thread(parts.keys.rotate)
    await _changed(parts, f"{made.key_id} is the newest")
    return await all_keys(parts)


@router.post("/keys/{key_id}/retire")
async def retire_key(key_id: str, parts: Parts, force: bool = False) -> Page[KeyView]:
    """Have no edge take what a key signs any more; with ``force`` also if some know no other: enrol these again."""
    left = (await parts.database.read(parts.manifests.signed_with)).get(key_id, [])
    if left and not force and key_id != parts.keys.newest.key_id:
        raise Conflict(
            f"{', '.join(left)} do not trust a newer key yet: wait until they have been online, or retire it with "
            "force and enrol them again (`tidemill edge re-enrol NAME`)"
        )
    await asyncio.to_thread(parts.keys.retire, key_id)
    await _changed(parts, f"{key_id} is retired")
    return await all_keys(parts)


async def _changed(parts: Parts, what: str) -> None:
    await parts.database.write(
        lambda session: note_change(session, kind="key", subject="signing keys", what=what, at=parts.clock())
    )
    await parts.manifests.mark_all()
