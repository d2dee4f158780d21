import dataclasses
import os
import shutil
import stat
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.types import Millis
from mpcnode.adapters.blob_files import BlobFiles
from mpcnode.errors import (
    ErrorCode,
    MalformedMessageError,
    RequestError,
    SealedBoxError,
    StorageError,
    UnavailableError,
)
from mpcnode.mpc import keystream
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel, BlobOffer
from mpcnode.sealing.blobs import CHUNK_BYTES, SEALED_CHUNK_BYTES, BlobReference, BlobSealer
from mpcnode.types import QueryId

KEY = bytes(range(32))
BODY = keystream(b"body".ljust(32), 3 * CHUNK_BYTES + 5000).tobytes()
LABEL = BlobLabel(query=QueryId(b"q" * 32), attempt=1, kind=BlobKind.ROWS, author=3)
OTHER = BlobLabel(query=QueryId(b"r" * 32), attempt=EVERY_ATTEMPT, kind=BlobKind.IDENTIFIERS, author=INQUIRER)
UNTIL = Millis(1_000_000)
ROOM = 1 << 30


def sealed(body=BODY, key=KEY, label=LABEL):
    sealer = BlobSealer(key)
    chunks = list(sealer.feed(body))
    last, manifest = sealer.finish()
    return [*chunks, last], BlobOffer(label=label, manifest=manifest)


CHUNKS, OFFER = sealed()
BLOB = OFFER.manifest.blob
REFERENCE = BlobReference(blob=BLOB, key=KEY)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


def opened(folder, **changes):
    return BlobFiles(folder, changes.pop("bytes_max", ROOM), free_min=0, **changes)


def filled(folder, count, *, offer=OFFER, chunks=CHUNKS):
    files = opened(folder)
    files.offer(offer, UNTIL)
    for number in range(count):
        assert files.put(offer.manifest.blob, number, chunks[number]) == number + 1
    return files


def chunks_path(folder):
    return folder / f"{BLOB.hex()}.chunks"


def test_what_was_put_comes_back(folder):
    files = filled(folder, 4)
    assert files.is_whole(BLOB)
    assert b"".join(files.read(REFERENCE)) == BODY
    assert (files.find(LABEL), files.about(BLOB), files.until(BLOB)) == (BLOB, OFFER, UNTIL)


@pytest.mark.parametrize("held", range(5))
def test_a_transfer_goes_on_after_every_chunk(folder, held):
    filled(folder, held)
    again = opened(folder)
    assert again.offer(OFFER, Millis(5)) == held
    for number in range(held, 4):
        again.put(BLOB, number, CHUNKS[number])
    assert b"".join(again.read(REFERENCE)) == BODY
    assert again.until(BLOB) == UNTIL


def test_a_blob_is_kept_as_long_as_the_last_one_of_its_offers_says(folder):
    """An inquirer's is kept for a while, and longer once it was asked about."""
    files = filled(folder, 1)
    files.offer(OFFER, Millis(UNTIL + 5))
    files.offer(OFFER, Millis(UNTIL + 4))
    assert (files.until(BLOB), opened(folder).until(BLOB)) == (UNTIL + 5, UNTIL + 5)
    assert files.sweep(Millis(UNTIL + 5)) == 0
    assert files.sweep(Millis(UNTIL + 6)) == 1


@pytest.mark.parametrize("torn", [1, 16, SEALED_CHUNK_BYTES - 1])
@pytest.mark.parametrize("held", [0, 2])
def test_what_a_crash_left_of_a_chunk_does_not_count(folder, held, torn):
    filled(folder, held)
    with chunks_path(folder).open("ab") as file:
        file.write(CHUNKS[held][:torn])
    again = opened(folder)
    assert again.offer(OFFER, UNTIL) == held
    assert chunks_path(folder).stat().st_size == held * SEALED_CHUNK_BYTES
    again.put(BLOB, held, CHUNKS[held])
    assert again.get(BLOB, held) == CHUNKS[held]


def test_zeros_that_a_crash_left_do_not_count(folder):
    """The length of a file may reach the disk before its bytes."""
    filled(folder, 1)
    os.truncate(chunks_path(folder), 3 * SEALED_CHUNK_BYTES)
    assert opened(folder).offer(OFFER, UNTIL) == 1


def test_chunks_after_a_bad_one_are_sent_again(folder):
    filled(folder, 4)
    with chunks_path(folder).open("r+b") as file:
        file.seek(SEALED_CHUNK_BYTES + 9)
        file.write(b"?")
    again = opened(folder)
    assert not again.is_whole(BLOB)
    assert again.offer(OFFER, UNTIL) == 1


def test_a_disk_that_changes_what_it_has_is_noticed(folder):
    files = filled(folder, 4)
    with chunks_path(folder).open("r+b") as file:
        file.write(b"?")
    with pytest.raises(StorageError, match="does not give back"):
        files.get(BLOB, 0)
    with pytest.raises(StorageError, match="does not give back"):
        next(files.read(REFERENCE))


def test_a_disk_that_lost_the_end_of_a_chunk_is_noticed(folder):
    files = filled(folder, 4)
    os.truncate(chunks_path(folder), 3 * SEALED_CHUNK_BYTES + 5)
    with pytest.raises(StorageError, match="does not give back"):
        b"".join(files.read(REFERENCE))


def test_a_blob_that_its_author_sealed_otherwise_is_not_the_disks_fault(folder):
    files = filled(folder, 4)
    with pytest.raises(SealedBoxError, match="chunk 0 to open under its key"):
        next(files.read(BlobReference(blob=BLOB, key=bytes(32))))


def test_a_blob_is_read_when_it_is_whole(folder):
    files = filled(folder, 2)
    with pytest.raises(RequestError, match="chunk 2 is not held") as caught:
        b"".join(files.read(REFERENCE))
    assert caught.value.code is ErrorCode.NOT_READY


def test_what_a_crash_left_beside_is_removed(folder):
    filled(folder, 2)
    about = folder / f"{BLOB.hex()}.about"
    for name in ("0" * 64 + ".chunks", "rows-00-1.new", "x.chunks", "x" * 64 + ".about"):
        (folder / name).write_bytes(b"left")
    opened(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([about.name, chunks_path(folder).name])
    about.write_bytes(about.read_bytes()[:-1])
    assert opened(folder).offer(OFFER, UNTIL) == 0
    assert not chunks_path(folder).exists()


def test_only_the_next_chunk_is_taken(folder):
    files = filled(folder, 2)
    for number, chunk in [(3, CHUNKS[3]), (2, CHUNKS[3]), (2, CHUNKS[2][:-1]), (4, CHUNKS[3])]:
        with pytest.raises(MalformedMessageError):
            files.put(BLOB, number, chunk)
    assert files.put(BLOB, 0, CHUNKS[0]) == 2
    assert chunks_path(folder).stat().st_size == 2 * SEALED_CHUNK_BYTES


def test_what_is_not_there_is_not_given(folder):
    files = filled(folder, 1)
    stranger = sealed(key=bytes(32))[1].manifest.blob
    for attempt in (lambda: files.get(BLOB, 1), lambda: files.get(stranger, 0), lambda: files.about(stranger)):
        with pytest.raises(RequestError) as raised:
            attempt()
        assert raised.value.code is ErrorCode.NOT_READY
    with pytest.raises(RequestError):
        files.put(stranger, 0, CHUNKS[0])
    assert not files.is_whole(stranger)


def test_a_label_has_one_blob_and_a_blob_one_label(folder):
    files = filled(folder, 1)
    _, another = sealed(key=bytes(32))
    with pytest.raises(MalformedMessageError, match="under this label"):
        files.offer(another, UNTIL)
    with pytest.raises(MalformedMessageError, match="the label"):
        files.offer(BlobOffer(label=OTHER, manifest=OFFER.manifest), UNTIL)


def test_files_are_their_owners_alone(folder):
    files = filled(folder, 1)
    files.create(OTHER, bytes(32), [BODY], UNTIL)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_there_is_no_room_beyond_what_is_set(folder, monkeypatch):
    size = OFFER.manifest.sealed_bytes
    files = opened(folder, bytes_max=size)
    files.offer(OFFER, UNTIL)
    _, another = sealed(key=bytes(32), label=OTHER)
    with pytest.raises(UnavailableError, match=f"expected at most {size} bytes") as raised:
        files.offer(another, UNTIL)
    assert raised.value.code is ErrorCode.BUSY
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 * size, 7 * size, 3 * size))
    with pytest.raises(UnavailableError, match="to stay free"):
        BlobFiles(folder, ROOM, free_min=size + 1).offer(another, UNTIL)
    BlobFiles(folder, ROOM, free_min=size).offer(another, UNTIL)


def test_what_was_announced_and_has_not_arrived_has_its_room_on_the_disk(folder, monkeypatch):
    """Else many announce at once, each sees the same free bytes, and what they send fills the disk."""
    size = OFFER.manifest.sealed_bytes
    others = [sealed(key=bytes([place]) * 32, label=dataclasses.replace(LABEL, author=place)) for place in (4, 5)]
    free = size * 5 // 2
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 * size, 10 * size - free, free))
    files = opened(folder)
    files.offer(OFFER, UNTIL)
    files.offer(others[0][1], UNTIL)
    with pytest.raises(UnavailableError, match="to stay free"):
        files.offer(others[1][1], UNTIL)
    with pytest.raises(UnavailableError, match="to stay free"):
        opened(folder).offer(others[1][1], UNTIL)
    for number, chunk in enumerate(CHUNKS):  # the disk is as free as before, as if somebody else had made room
        files.put(BLOB, number, chunk)
    files.offer(others[1][1], UNTIL)


@pytest.mark.parametrize("ask", ["about", "until", "find"])
def test_what_is_known_of_a_blob_is_said_while_the_disk_is_slow(folder, monkeypatch, ask):
    """The event loop asks: it may not wait for a disk."""
    files = filled(folder, 1)
    writes, goes_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(descriptor):
        writes.set()
        assert goes_on.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    with ThreadPoolExecutor(2) as threads:
        putting = threads.submit(files.put, BLOB, 1, CHUNKS[1])
        assert writes.wait(10)
        asking = threads.submit(getattr(files, ask), LABEL if ask == "find" else BLOB)
        try:
            assert asking.result(5) == {"about": OFFER, "until": UNTIL, "find": BLOB}[ask]
        finally:
            goes_on.set()
        assert putting.result(10) == 2


def test_a_body_of_ones_own_is_the_blob_that_others_get(folder):
    files = opened(folder)
    manifest = files.create(LABEL, KEY, (BODY[at : at + 300_000] for at in range(0, len(BODY), 300_000)), UNTIL)
    assert manifest == OFFER.manifest
    assert [files.get(BLOB, number) for number in range(4)] == CHUNKS
    # after a restart in the middle: the same again, from what the journal keeps
    again = opened(folder)
    assert again.create(LABEL, KEY, [BODY], UNTIL) == manifest
    assert [again.get(BLOB, number) for number in range(4)] == CHUNKS
    assert not [path for path in folder.iterdir() if path.suffix == ".new"]


def test_a_body_that_cannot_be_made_leaves_nothing(folder):
    def broken():
        yield BODY
        raise KeyError

    files = opened(folder)
    with pytest.raises(KeyError):
        files.create(LABEL, KEY, broken(), UNTIL)
    assert list(folder.iterdir()) == []


def test_what_is_over_is_swept(folder):
    files = filled(folder, 2)
    files.create(OTHER, KEY, [b"short"], Millis(UNTIL + 2))
    assert files.sweep(UNTIL) == 0
    assert files.sweep(Millis(UNTIL + 1)) == 1
    assert files.find(LABEL) is None
    assert files.is_whole(files.find(OTHER))
    assert len(list(folder.iterdir())) == 2
    assert opened(folder).offer(OFFER, UNTIL) == 0


def test_a_disk_that_fails_loses_the_blob_and_says_so(folder, monkeypatch):
    files = filled(folder, 1)

    def failing(_descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="to write chunk 1"):
        files.put(BLOB, 1, CHUNKS[1])
    monkeypatch.undo()
    assert files.offer(OFFER, UNTIL) == 0
