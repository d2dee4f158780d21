"""Blobs as the event loop uses them: disk and cryptography in worker threads, and word of what has become whole."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator

import structlog

from ledger.types import Millis
from mpcnode.adapters.blob_files import BlobFiles
from mpcnode.adapters.clock import SystemClock
from mpcnode.query.blobs import BlobLabel, BlobOffer
from mpcnode.sealing.blobs import BlobReference, Manifest
from mpcnode.types import BlobId

SWEEP_S = 600
"""Between two sweeps."""

_log = structlog.get_logger(__name__)


class BlobStore:
    """The blobs of a daemon, as `roles.ports.BlobsPort` wants them. Owned by the event loop's thread."""

    def __init__(self, files: BlobFiles) -> None:
        """Take the open folder."""
        self._files = files
        self._waiting: dict[BlobLabel, list[asyncio.Event]] = defaultdict(list)

    async def run(self) -> None:
        """Remove what is over, now and then; runs until cancelled."""
        while True:
            swept = await asyncio.to_thread(self._files.sweep, SystemClock().now_ms())
            if swept:
                _log.info("blobs.swept", blobs=swept)
            await asyncio.sleep(SWEEP_S)

    async def offer(self, offer: BlobOffer, until: Millis) -> int:
        """Make room for a blob, or find it again; return how many of its chunks are held."""
        return await asyncio.to_thread(self._files.offer, offer, until)

    async def put(self, blob: BlobId, number: int, sealed: bytes) -> int:
        """Keep the next chunk durably before returning; return how many are held."""
        held = await asyncio.to_thread(self._files.put, blob, number, sealed)
        offer = self._files.about(blob)
        if held == len(offer.manifest.chunks):
            self._tell(offer.label)
        return held

    async def get(self, blob: BlobId, number: int) -> bytes:
        """Return a sealed chunk."""
        return await asyncio.to_thread(self._files.get, blob, number)

    async def about(self, blob: BlobId) -> tuple[BlobOffer, Millis]:
        """Return what was offered as a blob, and until when it is kept at least."""
        return self._files.about(blob), self._files.until(blob)

    async def is_whole(self, blob: BlobId) -> bool:
        """Whether all chunks of a blob are held."""
        return await asyncio.to_thread(self._files.is_whole, blob)

    async def whole(self, label: BlobLabel) -> Manifest:
        """Wait until the blob of a label is held whole."""
        event = asyncio.Event()
        self._waiting[label].append(event)
        try:
            while True:
                blob = self._files.find(label)
                if blob is not None and await asyncio.to_thread(self._files.is_whole, blob):
                    return self._files.about(blob).manifest
                await event.wait()
                event.clear()
        finally:
            self._waiting[label].remove(event)
            if not self._waiting[label]:
                del self._waiting[label]

    async def has_room(self, size: int) -> bool:
        """Whether a blob of so many bytes would find room now."""
        return await asyncio.to_thread(self._files.has_room, size)

    async def create(self, label: BlobLabel, key: bytes, pieces: Iterable[bytes], until: Millis) -> Manifest:
        """Seal a body into a blob of one's own; it is held whole when this returns."""
        manifest = await asyncio.to_thread(self._files.create, label, key, pieces, until)
        self._tell(label)
        return manifest

    def read(self, reference: BlobReference) -> Iterator[bytes]:
        """Yield the body of a blob that is held whole, chunk by chunk; for worker threads."""
        return self._files.read(reference)

    def _tell(self, label: BlobLabel) -> None:
        for event in self._waiting.get(label, ()):
            event.set()
