"""Blobs in memory; they outlive the daemon that holds them."""

import asyncio
from collections.abc import Iterable, Iterator

from ledger.types import Millis
from mpcnode.errors import ErrorCode, MalformedMessageError, RequestError, UnavailableError
from mpcnode.query.blobs import BlobLabel, BlobOffer
from mpcnode.sealing.blobs import BlobReference, BlobSealer, Manifest, open_chunk
from mpcnode.types import BlobId


class MemoryBlobs:
    """`roles.ports.BlobsPort` of one daemon."""

    def __init__(self) -> None:
        self.offers: dict[BlobId, tuple[BlobOffer, Millis]] = {}
        self.chunks: dict[BlobId, list[bytes]] = {}
        self.labels: dict[BlobLabel, BlobId] = {}
        self.full = False
        """Whether there is no room for another of one's own."""
        self.closed = False
        """Whether there is no room for others'."""

    async def offer(self, offer: BlobOffer, until: Millis) -> int:
        blob = offer.manifest.blob
        if self.closed and blob not in self.offers:
            raise UnavailableError("blobs: expected room, got none", ErrorCode.BUSY)
        if self.labels.setdefault(offer.label, blob) != blob:
            raise MalformedMessageError("another blob under this label")
        _, known = self.offers.get(blob, (offer, until))
        self.offers[blob] = (offer, max(known, until))
        return len(self.chunks.setdefault(blob, []))

    async def put(self, blob: BlobId, number: int, sealed: bytes) -> int:
        self.offers[blob][0].manifest.check_chunk(number, sealed)
        assert number == len(self.chunks[blob])
        self.chunks[blob].append(sealed)
        return len(self.chunks[blob])

    async def get(self, blob: BlobId, number: int) -> bytes:
        return self.chunks[blob][number]

    async def about(self, blob: BlobId) -> tuple[BlobOffer, Millis]:
        return self.offers[blob]

    async def is_whole(self, blob: BlobId) -> bool:
        return blob in self.offers and len(self.chunks[blob]) == len(self.offers[blob][0].manifest.chunks)

    async def whole(self, label: BlobLabel) -> Manifest:
        while label not in self.labels or not await self.is_whole(self.labels[label]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self.offers[self.labels[label]][0].manifest

    async def has_room(self, size: int) -> bool:
        del size
        return not self.closed

    async def create(self, label: BlobLabel, key: bytes, pieces: Iterable[bytes], until: Millis) -> Manifest:
        if self.full:
            raise UnavailableError("blobs: expected room, got none", ErrorCode.BUSY)
        sealer, chunks = BlobSealer(key), list[bytes]()
        for piece in pieces:
            chunks += sealer.feed(piece)
        last, manifest = sealer.finish()
        self.labels[label] = manifest.blob
        self.offers[manifest.blob] = (BlobOffer(label=label, manifest=manifest), until)
        self.chunks[manifest.blob] = chunks if last is None else [*chunks, last]
        return manifest

    def read(self, reference: BlobReference) -> Iterator[bytes]:
        if reference.blob not in self.offers:
            raise RequestError("no such blob", ErrorCode.NOT_READY)
        return (open_chunk(reference.key, number, sealed) for number, sealed in enumerate(self.chunks[reference.blob]))
