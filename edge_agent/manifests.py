"""Taking in manifests: only what the controller signed, for this edge, newer than what was taken before."""

import asyncio
import logging
from collections.abc import AsyncIterator

from edge_agent.journal import Journal
from schemas.errors import Untrusted
from schemas.manifest import Manifest
from schemas.names import EdgeName
from transport import signing
from transport.mqtt import Subscription

log = logging.getLogger(__name__)

MANIFEST_LIMIT_BYTES = 1024 * 1024  # what it names are digests; a thousand runs and models stay far below


class ManifestIntake:
    """Holds the manifest that this edge follows. It is saved before anyone acts on it."""

    def __init__(self, journal: Journal, edge: EdgeName, public_key: str) -> None:
        self._journal, self._edge, self._public_key = journal, edge, public_key
        self._changed = asyncio.Event()
        self.current = journal.manifest()
        self.refused = ""  # why the last one was, if it was
        if self.current is not None:
            self._changed.set()

    @property
    def trusted(self) -> dict[str, str]:
        """The controller's public keys whose manifests are taken, by their ids.

        That of the configuration, until a manifest retires it, and those that the manifest followed names: so a key is
        changed without a visit to the edge, and one that was stolen is of no use once it is retired. A configuration
        that is given a later key is believed.
        """
        named = self.current.trusted_keys if self.current else ()
        retired = self.current.retired_keys if self.current else ()
        keys = {signing.key_id(public_key): public_key for public_key in (self._public_key, *named)}
        return {key_id: public_key for key_id, public_key in keys.items() if key_id not in retired}

    @property
    def generation(self) -> int:
        """Of the manifest taken last."""
        return self.current.generation if self.current else 0

    def take(self, payload: bytes) -> None:
        """Follow this manifest from now on.

        Raises:
            Untrusted: too large, forged, another edge's, or older than the one followed; nothing has changed.
        """
        if len(payload) > MANIFEST_LIMIT_BYTES:
            raise Untrusted(f"a manifest of {len(payload)} bytes; at most {MANIFEST_LIMIT_BYTES} are read")
        manifest = signing.verify(payload, self.trusted.values(), edge=self._edge)
        if self.current is not None and manifest.generation <= self.generation:
            if manifest == self.current:
                return
            raise Untrusted(
                f"a manifest of generation {manifest.generation}; generation {self.generation} was taken already"
            )
        self._journal.save_manifest(manifest)
        self.current = manifest
        self._changed.set()
        log.info("manifest taken", extra={"generation": manifest.generation})

    async def serve(self, messages: Subscription) -> AsyncIterator[None]:
        """Take manifests as they come; yields after each, so that the report can tell of it."""
        async for message in messages:
            try:
                self.take(message.payload)
                self.refused = ""
            except Untrusted as error:
                self.refused = str(error)
                log.warning("manifest refused", extra={"reason": self.refused})
            yield

    async def changes(self) -> AsyncIterator[Manifest]:
        """The manifest to follow, now and whenever it changes; those overtaken meanwhile are left out."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.current is not None:
                yield self.current
