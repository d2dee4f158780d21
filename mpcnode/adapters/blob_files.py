"""Blobs on disk: for each one a file that says what it is, and one with its sealed chunks, in the daemon's own folder.

A chunk is checked before it is written and on disk before it is counted; so what is held is always a run of chunks from
the first on, and a transfer goes on there. What a crash leaves beyond that run is cut off when the blob is next used.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.encoding import Reader, Writer
from ledger.errors import DecodeError
from ledger.types import Millis
from mpcnode.adapters.durable import (
    PRIVATE_FILE,
    flush_directory,
    make_private_directory,
    replace_file,
    storage_error,
)
from mpcnode.errors import (
    ErrorCode,
    MalformedMessageError,
    RequestError,
    SealedBoxError,
    StorageError,
    UnavailableError,
)
from mpcnode.query.blobs import OFFER_BYTES_MAX, BlobLabel, BlobOffer, decode_offer, encode_offer
from mpcnode.sealing.blobs import SEALED_CHUNK_BYTES, BlobReference, BlobSealer, Manifest, open_chunk
from mpcnode.types import BlobId

FREE_BYTES_MIN = 512 * 1024 * 1024
"""Room on the disk that blobs leave to the ledger and the journal."""

_ABOUT = ".about"
_CHUNKS = ".chunks"
_NEW = ".new"


@dataclass(slots=True)
class _Kept:
    """A blob that was announced."""

    offer: BlobOffer
    until: Millis
    held: int | None
    """Chunks on disk from the first on; None until they have been counted."""


class BlobFiles:
    """The blobs of one daemon. Every method may be called from any thread.

    `find`, `about` and `until` wait for nothing: an event loop may call them while others wait for the disk.
    """

    def __init__(self, directory: Path, bytes_max: int, *, free_min: int = FREE_BYTES_MIN) -> None:
        """Open a folder, making it if there is none; what a crash left unfinished there is removed.

        Args:
            directory: where the blobs are.
            bytes_max: what all of them may take together.
            free_min: what they leave free on the disk.

        Raises:
            StorageError: the folder cannot be read.
        """
        self._directory = directory
        self._bytes_max = bytes_max
        self._free_min = free_min
        self._lock = threading.RLock()
        self._blobs: dict[BlobId, _Kept] = {}
        self._labels: dict[BlobLabel, BlobId] = {}
        make_private_directory(directory)
        try:
            self._read_directory()
        except OSError as error:
            raise storage_error(f"{directory}: expected a readable folder of blobs", error) from error

    def offer(self, offer: BlobOffer, until: Millis) -> int:
        """Make room for a blob, or find it again; return how many of its chunks are held.

        Args:
            offer: what it is.
            until: when it may be swept; the latest of all its offers counts.

        Raises:
            MalformedMessageError: another blob was offered under this label, or this one under another.
            UnavailableError: BUSY; there is no room for it.
            StorageError: the disk failed.
        """
        blob = offer.manifest.blob
        with self._lock:
            if self._labels.get(offer.label, blob) != blob:
                raise MalformedMessageError("blob: expected the one offered under this label before, got another")
            kept = self._blobs.get(blob)
            if kept is None:
                self._check_room(offer.manifest.sealed_bytes)
                replace_file(self._path(blob, _ABOUT), _encode_about(offer, until))
                kept = self._keep(_Kept(offer, until, 0))
            elif kept.offer != offer:
                raise MalformedMessageError("blob: expected the label that it was offered under before, got another")
            elif until > kept.until:
                replace_file(self._path(blob, _ABOUT), _encode_about(offer, until))
                kept.until = until
            return self._held(blob, kept)

    def put(self, blob: BlobId, number: int, sealed: bytes) -> int:
        """Keep the next chunk; it is on disk when this returns. Return how many are held; one that is, is not taken.

        Raises:
            RequestError: the blob was not offered.
            MalformedMessageError: it is not the next chunk, or has other bytes.
            StorageError: the disk failed; nothing of the blob is held any more.
        """
        with self._lock:
            kept = self._known(blob)
            held = self._held(blob, kept)
            kept.offer.manifest.check_chunk(number, sealed)
            if number < held:
                return held
            if number > held:
                raise MalformedMessageError(f"blob {blob.hex()}: expected chunk {held}, got {number}")
            try:
                _write_chunk(self._path(blob, _CHUNKS), held, sealed)
                if not held:
                    flush_directory(self._directory)
            except OSError as error:
                self._forget(blob)
                raise storage_error(f"blob {blob.hex()}: expected to write chunk {number}", error) from error
            kept.held = held + 1
            return kept.held

    def get(self, blob: BlobId, number: int) -> bytes:
        """Return a sealed chunk that is held.

        Raises:
            RequestError: the blob was not offered, or has no such chunk here.
            StorageError: the disk failed, or gave other bytes than it was given.
        """
        sealed = self._pread(blob, number)
        self._check(blob, number, sealed)
        return sealed

    def read(self, reference: BlobReference) -> Iterator[bytes]:
        """Yield the body of a blob that is held whole, chunk by chunk.

        That a chunk opens shows that the disk gives back what was checked before it was written, for less than a hash.

        Raises:
            RequestError: it is not held whole.
            SealedBoxError: it does not open under the key.
            StorageError: the disk failed, or gave other bytes than it was given.
        """
        for number in range(len(self.about(reference.blob).manifest.chunks)):
            sealed = self._pread(reference.blob, number)
            try:
                yield open_chunk(reference.key, number, sealed)
            except SealedBoxError:
                self._check(reference.blob, number, sealed)  # its author is to blame, or the disk
                raise

    def create(self, label: BlobLabel, key: bytes, pieces: Iterable[bytes], until: Millis) -> Manifest:
        """Seal a body into a blob of one's own and keep it whole; on disk when this returns.

        Another blob under this label, of which nobody was told before a crash, gives way.

        Args:
            label: whose it is.
            key: 32 bytes that seal nothing else.
            pieces: the body, in pieces of any size.
            until: when it may be swept.

        Raises:
            MalformedMessageError: the body is empty or too long.
            UnavailableError: BUSY; there is no room for it.
            StorageError: the disk failed.
        """
        path = self._directory / f"{label.kind.name.lower()}-{label.query.hex()}-{label.attempt}{_NEW}"
        try:
            manifest = self._seal(path, BlobSealer(key), pieces)
            with self._lock:
                offer = BlobOffer(label=label, manifest=manifest)
                older = self._labels.get(label, manifest.blob)
                if older != manifest.blob:
                    self._forget(older)
                if self.offer(offer, until) < len(manifest.chunks):
                    path.replace(self._path(manifest.blob, _CHUNKS))
                    flush_directory(self._directory)
                    self._blobs[manifest.blob].held = len(manifest.chunks)
        except OSError as error:
            raise storage_error(f"{path}: expected to write a blob", error) from error
        finally:
            path.unlink(missing_ok=True)
        return manifest

    def _seal(self, path: Path, sealer: BlobSealer, pieces: Iterable[bytes]) -> Manifest:
        with self._lock:
            self._check_room(0)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for piece in pieces:
                for sealed in sealer.feed(piece):
                    _write(file.fileno(), sealed)
            last, manifest = sealer.finish()
            if last is not None:
                _write(file.fileno(), last)
            os.fsync(file.fileno())
        return manifest

    def find(self, label: BlobLabel) -> BlobId | None:
        """Return the blob that was offered under a label."""
        return self._labels.get(label)

    def about(self, blob: BlobId) -> BlobOffer:
        """Return what was offered as a blob.

        Raises:
            RequestError: nothing was.
        """
        return self._known(blob).offer

    def until(self, blob: BlobId) -> Millis:
        """Return when a blob may be swept.

        Raises:
            RequestError: there is none.
        """
        return self._known(blob).until

    def is_whole(self, blob: BlobId) -> bool:
        """Whether all chunks of a blob are held."""
        with self._lock:
            kept = self._blobs.get(blob)
            return kept is not None and self._held(blob, kept) == len(kept.offer.manifest.chunks)

    def held(self, blob: BlobId) -> int:
        """Chunks of a blob that are held, from the first on; 0 if it was not offered."""
        with self._lock:
            kept = self._blobs.get(blob)
            return 0 if kept is None else self._held(blob, kept)

    def has_room(self, size: int) -> bool:
        """Whether a blob of so many bytes would find room now."""
        with self._lock:
            try:
                self._check_room(size)
            except UnavailableError:
                return False
            return True

    def sweep(self, now: Millis) -> int:
        """Remove the blobs whose time is over; return how many there were.

        Raises:
            StorageError: the disk failed.
        """
        with self._lock:
            over = [blob for blob, kept in self._blobs.items() if kept.until < now]
            for blob in over:
                self._forget(blob)
        if over:
            flush_directory(self._directory)
        return len(over)

    def remove(self) -> None:
        """Remove all blobs and their folder, now; nothing can be done with this afterwards.

        Raises:
            StorageError: the disk failed.
        """
        with self._lock:
            for blob in list(self._blobs):
                self._forget(blob)
            try:
                shutil.rmtree(self._directory)
            except OSError as error:
                raise storage_error(f"{self._directory}: expected to remove the folder", error) from error
        flush_directory(self._directory.parent)

    # ------------------------------------------------------------------------------------------ inside

    def _read_directory(self) -> None:
        for path in sorted(self._directory.iterdir()):
            if path.suffix == _ABOUT:
                self._read_about(path)
        named = {self._path(blob, suffix) for blob in self._blobs for suffix in (_ABOUT, _CHUNKS)}
        for path in self._directory.iterdir():
            if path not in named:
                path.unlink()

    def _read_about(self, path: Path) -> None:
        try:
            kept = _decode_about(path.read_bytes())
        except (DecodeError, MalformedMessageError):
            return  # a crash while it was written; its author offers it again
        if path.stem == kept.offer.manifest.blob.hex():
            self._keep(kept)

    def _keep(self, kept: _Kept) -> _Kept:
        blob = kept.offer.manifest.blob
        self._blobs[blob] = kept
        self._labels[kept.offer.label] = blob
        return kept

    def _known(self, blob: BlobId) -> _Kept:
        kept = self._blobs.get(blob)
        if kept is None:
            raise RequestError(f"blob {blob.hex()}: expected one that was offered, got another", ErrorCode.NOT_READY)
        return kept

    def _held(self, blob: BlobId, kept: _Kept) -> int:
        if kept.held is None:
            kept.held = _count_chunks(self._path(blob, _CHUNKS), kept.offer.manifest)
        return kept.held

    def _check_room(self, size: int) -> None:
        taken = sum(kept.offer.manifest.sealed_bytes for kept in self._blobs.values())
        if taken + size > self._bytes_max:
            raise UnavailableError(
                f"blobs: expected at most {self._bytes_max} bytes, got {taken + size}", ErrorCode.BUSY
            )
        if shutil.disk_usage(self._directory).free < size + self._announced() + self._free_min:
            raise UnavailableError(f"blobs: expected {self._free_min} bytes to stay free", ErrorCode.BUSY)

    def _pread(self, blob: BlobId, number: int) -> bytes:
        """Read a chunk; whether it is what was written, the caller finds out."""
        with self._lock:
            kept = self._known(blob)
            if not 0 <= number < self._held(blob, kept):
                raise RequestError(f"blob {blob.hex()}: chunk {number} is not held", ErrorCode.NOT_READY)
        path = self._path(blob, _CHUNKS)
        try:
            with path.open("rb") as file:
                return os.pread(file.fileno(), kept.offer.manifest.chunk_bytes(number), number * SEALED_CHUNK_BYTES)
        except OSError as error:
            raise storage_error(f"{path}: expected chunk {number}", error) from error

    def _check(self, blob: BlobId, number: int, sealed: bytes) -> None:
        try:
            self._known(blob).offer.manifest.check_chunk(number, sealed)
        except MalformedMessageError as error:
            path = self._path(blob, _CHUNKS)
            raise StorageError(f"{path}: the disk does not give back what was written: {error}") from error

    def _announced(self) -> int:
        """Bytes that are on their way here: the disk calls them free."""
        return sum(max(0, kept.offer.manifest.sealed_bytes - self._stored(blob)) for blob, kept in self._blobs.items())

    def _stored(self, blob: BlobId) -> int:
        try:
            return self._path(blob, _CHUNKS).stat().st_size
        except FileNotFoundError:
            return 0

    def _forget(self, blob: BlobId) -> None:
        kept = self._blobs.pop(blob)
        self._labels.pop(kept.offer.label, None)
        with suppress(OSError):  # what stays is removed at the next start
            # what says that there is something first: chunks without it are nothing
            self._path(blob, _ABOUT).unlink(missing_ok=True)
            self._path(blob, _CHUNKS).unlink(missing_ok=True)

    def _path(self, blob: BlobId, suffix: str) -> Path:
        return self._directory / f"{blob.hex()}{suffix}"


def _encode_about(offer: BlobOffer, until: Millis) -> bytes:
    return Writer().uint(until, 8).blob(encode_offer(offer)).bytes()


def _decode_about(data: bytes) -> _Kept:
    reader = Reader(data, "blob")
    until = Millis(reader.uint(8))
    offer = decode_offer(reader.blob(OFFER_BYTES_MAX))
    reader.end()
    return _Kept(offer, until, None)


def _count_chunks(path: Path, manifest: Manifest) -> int:
    """Count the good chunks from the first on, and cut off what comes after them."""
    if not path.exists():
        return 0
    held = 0
    try:
        with path.open("r+b") as file:
            for expected in manifest.chunks:
                if hashlib.sha256(file.read(manifest.chunk_bytes(held))).digest() != expected:
                    break
                held += 1
            end = held * SEALED_CHUNK_BYTES if held < len(manifest.chunks) else manifest.sealed_bytes
            if os.fstat(file.fileno()).st_size > end:
                file.truncate(end)
                os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(f"{path}: expected readable chunks", error) from error
    return held


def _write_chunk(path: Path, number: int, sealed: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        os.lseek(descriptor, number * SEALED_CHUNK_BYTES, os.SEEK_SET)
        _write(descriptor, sealed)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
