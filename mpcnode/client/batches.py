"""Queries about many subjects on the inquirer's machine: sealing, sending, fetching and writing, each taken up again.

Whatever is needed to go on is in private files before it is sent anywhere: the sealed blobs, their keys, the request.
Identifiers and answers are in clear nowhere but in the file that the inquirer gives and the one that it gets.
"""

import asyncio
import csv
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ledger.errors import DecodeError
from ledger.types import Millis
from mpcnode.adapters.blob_files import BlobFiles
from mpcnode.adapters.durable import (
    PRIVATE_FILE,
    flush_directory,
    make_private_directory,
    replace_file,
    storage_error,
)
from mpcnode.adapters.private_files import read_private_file
from mpcnode.client.asking import Many
from mpcnode.errors import (
    CallerError,
    ErrorCode,
    Exit,
    MalformedIdError,
    RequestError,
    StorageError,
    UnavailableError,
)
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel, BlobOffer
from mpcnode.query.request import SealedRequest, decode_sealed_request, encode_sealed_request
from mpcnode.roles.ports import RandomBytes
from mpcnode.rpc.blobs import BlobLink
from mpcnode.scorecard import Outcome
from mpcnode.sealing.blobs import KEY_BYTES, BlobReference, Manifest, decode_reference, encode_reference
from mpcnode.sealing.pseudonyms import (
    NONCE_BYTES,
    SUBJECTS_BLOCK,
    make_pseudonyms,
    normalise,
    pad_identifiers,
    pseudonyms_key,
    pseudonyms_root,
    split_identifiers,
)
from mpcnode.types import SUBJECTS_MAX, BlobId, Pseudonym, QueryId

KEPT_MS = Millis(30 * 24 * 3_600_000)
"""How long a query that is not finished is kept here after it was last worked on."""

STILL_S = 120.0
"""How long a transfer may stand still; then whoever asks decides."""

LOCAL_BYTES_MAX = 8 << 30

LINE_CHARACTERS_MAX = 1024
"""Of a subjects file: more than any form of an identifier of 64 bytes takes, with room for blanks around it."""

_Found = TypeVar("_Found")

OnStep: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

COLUMNS = ("subject", "answer", "coverage_band")

UNDECODABLE = "undecodable"
"""Stands for the answer about a subject whose output bits are none; as for `insufficient` there is no band then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """What going on needs."""

    many: Many
    model: str
    purpose: str
    consent: str
    sealed: SealedRequest | None = field(default=None, repr=False)
    """As it was sent; None before."""


def read_subjects(path: Path) -> list[bytes]:
    """Read identifiers, one in a line, and normalise them; blank lines are skipped, and a byte order mark is.

    No more than a line is held beside what was found, whatever the file holds; it may be a pipe.

    Raises:
        RequestError: the file cannot be read, or has fewer than 2 or more than 1,000,000.
        MalformedIdError: a line holds none; the message names the line and does not quote it.
    """
    found: list[bytes] = []
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(iter(partial(file.readline, LINE_CHARACTERS_MAX + 1), ""), 1):
                if len(line) > LINE_CHARACTERS_MAX and not line.endswith("\n"):
                    why = f"expected at most {LINE_CHARACTERS_MAX} characters in a line, one identifier, got more"
                    raise MalformedIdError(f"{path}:{number}: {why}")
                if not line.strip():
                    continue
                if len(found) == SUBJECTS_MAX:
                    raise RequestError(f"{path}:{number}: expected 2 to {SUBJECTS_MAX} subjects, got one more here")
                found.append(_normalised(path, number, line))
    except OSError as error:
        raise RequestError(f"{path}: expected a file of identifiers that can be read: {error.strerror}") from error
    if len(found) < 2:
        raise RequestError(f"{path}: expected 2 to {SUBJECTS_MAX} subjects, got {len(found)}")
    return found


class OwnThreads(Executor):
    """For work that may wait for others without end, as reading a pipe does: its threads hold up no exit."""

    def submit(self, fn: Callable[..., _Found], /, *args: Any, **kwargs: Any) -> Future[_Found]:  # noqa: ANN401
        """Call a function in a thread of its own."""
        future: Future[_Found] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


def _normalised(path: Path, number: int, line: str) -> bytes:
    if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
        raise MalformedIdError(f"{path}:{number}: expected an identifier in UTF-8, got other bytes")
    try:
        return normalise(line)
    except MalformedIdError as error:
        raise MalformedIdError(f"{path}:{number}: {error}") from error


class BatchFiles:
    """The private files of one query about many subjects, beside the answers of a profile.

    Each query has a folder of its own for blobs: commands that run at once do not touch each other's.
    """

    def __init__(self, directory: Path, query: QueryId, now: Millis) -> None:
        """Take the answers directory, which exists, the query and the time.

        Raises:
            StorageError: the query's folder cannot be read.
        """
        self.until = Millis(now + KEPT_MS)
        self._query = query
        self._state = directory / f"{query.hex()}.batch"
        make_private_directory(_folder(directory))
        self.blobs = BlobFiles(_folder(directory) / query.hex(), LOCAL_BYTES_MAX)

    def seal(self, identifiers: Sequence[bytes], subject_key: bytes, random: RandomBytes) -> Many:
        """Seal what is asked about into blobs; on disk when this returns."""
        query, nonce, key = self._query, random(NONCE_BYTES), random(KEY_BYTES)
        pseudonyms = make_pseudonyms(subject_key, identifiers)
        until = self.until
        sealed = self.blobs.create(
            _label(query, BlobKind.PSEUDONYMS), pseudonyms_key(nonce, query), (pseudonyms,), until
        )
        blocks = (identifiers[at : at + SUBJECTS_BLOCK] for at in range(0, len(identifiers), SUBJECTS_BLOCK))
        named = self.blobs.create(_label(query, BlobKind.IDENTIFIERS), key, map(pad_identifiers, blocks), until)
        return Many(
            query=query,
            nonce=nonce,
            subjects=len(identifiers),
            root=pseudonyms_root((pseudonyms,)),
            pseudonyms=sealed.blob,
            identifiers=BlobReference(blob=named.blob, key=key),
        )

    def keep(self, state: BatchState) -> None:
        """Write what going on needs, durably."""
        many = state.many
        document = {
            "query": many.query.hex(),
            "nonce": many.nonce.hex(),
            "subjects": many.subjects,
            "root": many.root.hex(),
            "pseudonyms": many.pseudonyms.hex(),
            "identifiers": encode_reference(many.identifiers).hex(),
            "model": state.model,
            "purpose": state.purpose,
            "consent": state.consent,
            "sealed": None if state.sealed is None else encode_sealed_request(state.sealed).hex(),
        }
        replace_file(self._state, json.dumps(document, indent=1).encode() + b"\n")

    def forget(self) -> None:
        """Remove everything of a finished query but its answer's file and receipt."""
        self._state.unlink(missing_ok=True)
        self.blobs.remove()

    def identifiers(self, many: Many) -> Iterator[str]:
        """The subjects that were asked about, in their order, normalised."""
        for padded in self.blobs.read(many.identifiers):
            yield from (identifier.decode() for identifier in split_identifiers(padded))


def load_batch(directory: Path, query: str) -> BatchState:
    """Read what going on with a query needs.

    Args:
        directory: the answers directory.
        query: its id in hex, or its beginning.

    Raises:
        RequestError: there is nothing of this query, or of several that begin like this, or it is damaged.
    """
    found = [path for path in directory.glob("*.batch") if path.stem.startswith(query.lower())]
    if len(found) != 1:
        raise RequestError(f"query {query}: expected one unfinished, got {len(found)}", ErrorCode.UNKNOWN_QUERY)
    try:
        return _state(json.loads(read_private_file(found[0])))
    except (ValueError, KeyError, TypeError, CallerError, DecodeError) as error:
        raise RequestError(f"{found[0]}: expected an unfinished query, got {error}", ErrorCode.UNKNOWN_QUERY) from error


def sweep_batches(directory: Path, now: Millis) -> None:
    """Remove what nobody has worked on for long."""
    for path in (*directory.glob("*.batch"), *_folder(directory).glob("*")):
        try:
            is_old = path.stat().st_mtime * 1000 < now - KEPT_MS
        except FileNotFoundError:
            continue  # a command that runs at the same time has just finished
        if is_old and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif is_old:
            path.unlink(missing_ok=True)


def _folder(directory: Path) -> Path:
    return directory / "blobs"


def _state(document: dict[str, Any]) -> BatchState:
    sealed = document["sealed"]
    return BatchState(
        many=Many(
            query=QueryId(bytes.fromhex(document["query"])),
            nonce=bytes.fromhex(document["nonce"]),
            subjects=document["subjects"],
            root=Pseudonym(bytes.fromhex(document["root"])),
            pseudonyms=BlobId(bytes.fromhex(document["pseudonyms"])),
            identifiers=decode_reference(bytes.fromhex(document["identifiers"])),
        ),
        model=document["model"],
        purpose=document["purpose"],
        consent=document["consent"],
        sealed=None if sealed is None else decode_sealed_request(bytes.fromhex(sealed)),
    )


async def send_batch(link: BlobLink, files: BatchFiles, many: Many, on_step: OnStep) -> None:
    """Send what is asked about; goes on where an earlier transfer ended.

    Raises:
        UnavailableError: it stands still.
        PeerRefusedError: the operator will never take it.
    """
    for name, blob in (("sending pseudonyms", many.pseudonyms), ("sending identifiers", many.identifiers.blob)):
        offer = files.blobs.about(blob)
        async with _while_moving(name, link) as moved:

            async def get(number: int, *, blob: BlobId = blob, moved: _Moved = moved) -> bytes:
                moved(number)
                return files.blobs.get(blob, number)

            await link.send(offer, get, partial(_tell, on_step, name, len(offer.manifest.chunks)))


def _tell(on_step: OnStep, name: str, total: int, done: int) -> None:
    on_step(name, done, total)


async def fetch_batch(
    link: BlobLink, files: BatchFiles, query: QueryId, references: Sequence[BlobReference], on_step: OnStep
) -> None:
    """Fetch what references lead to; goes on where an earlier transfer ended.

    Raises:
        UnavailableError: it stands still.
        PeerRefusedError: the operator will never give it.
        StorageError: there is no room for it here.
    """
    for place, reference in enumerate(references):
        # nodes' shares and the mask have labels of their own at the desk; here they are told apart by their place
        label = BlobLabel(query=query, attempt=1, kind=BlobKind.OUTPUT, author=place)
        async with _while_moving("fetching answers", link) as moved:

            async def put(
                manifest: Manifest, number: int, chunk: bytes, *, label: BlobLabel = label, moved: _Moved = moved
            ) -> None:
                _make_room(files, BlobOffer(label=label, manifest=manifest))
                files.blobs.put(manifest.blob, number, chunk)
                moved(number)

            if not files.blobs.is_whole(reference.blob):
                await link.fetch(reference.blob, files.blobs.held(reference.blob), put)
        on_step("fetching answers", place + 1, len(references))


def _make_room(files: BatchFiles, offer: BlobOffer) -> None:
    """Where there is none here, no patience helps: the operator is not who is busy."""
    try:
        files.blobs.offer(offer, files.until)
    except UnavailableError as error:
        raise StorageError(f"answers: no room for them; make some, and resume: {error}", ErrorCode.DISK_FULL) from error


_Moved: TypeAlias = Callable[[int], None]
"""Told the number of a chunk that is under way."""


@asynccontextmanager
async def _while_moving(what: str, link: BlobLink) -> AsyncIterator[_Moved]:
    """Give up a transfer of which no further chunk has moved for `STILL_S`."""
    limit, furthest = asyncio.timeout(STILL_S), -1

    def moved(number: int) -> None:
        nonlocal furthest
        if number > furthest:
            furthest = number
            limit.reschedule(asyncio.get_running_loop().time() + STILL_S)

    try:
        async with limit:
            yield moved
    except TimeoutError as error:
        said, code = "is the operator up, and has it room? Then resume", ErrorCode.UNAVAILABLE
        if link.refused is not None:
            said = f"the operator says {link.refused.code}: {link.refused}".rstrip(".")
            code = link.refused.code if link.refused.entry.exit is Exit.BUSY else code
        raise UnavailableError(f"{what}: nothing has moved for {STILL_S:.0f} s; {said}", code) from error


def check_output(path: Path, subjects: Path | None = None) -> None:
    """Check, before anything is asked, that answers can be written to a file.

    Raises:
        RequestError: there is no such folder, or the file is that of the subjects.
    """
    if not path.parent.is_dir():
        raise RequestError(f"{path}: expected a folder to write the answers to, got none at {path.parent}")
    if subjects is not None and path.exists() and path.samefile(subjects):
        raise RequestError(f"{path}: expected another file for the answers than the one of the subjects")


def write_answers(
    path: Path, subjects: Iterator[str], outcomes: Sequence[Outcome | None], places: NDArray[np.intp]
) -> None:
    """Write the answers as CSV, for the inquirer's eyes only (0600); whole, or not at all.

    Args:
        path: the file.
        subjects: in their order.
        outcomes: those that occur; None stands for bits that are none.
        places: for each subject which one it is.

    Raises:
        StorageError: the disk failed.
    """
    said = [_said(outcome) for outcome in outcomes]
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            rows = zip(subjects, places.tolist(), strict=True)
            writer.writerows((subject, *said[place]) for subject, place in rows)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        flush_directory(path.parent)
    except OSError as error:
        raise storage_error(f"{path}: expected to write the answers", error) from error
    finally:
        aside.unlink(missing_ok=True)


def _said(outcome: Outcome | None) -> tuple[str, str]:
    """What the columns after the subject say."""
    if outcome is None:
        return UNDECODABLE, ""
    band = outcome.coverage_band
    return outcome.grade or "insufficient", "" if band is None else str(band)


def body_of(files: BatchFiles, reference: BlobReference) -> bytes:
    """What a reference leads to, of a blob that was fetched."""
    return b"".join(files.blobs.read(reference))


def with_request(state: BatchState, sealed: SealedRequest | None) -> BatchState:
    """The state of a query that is about to be asked; None: to be asked anew."""
    return replace(state, sealed=sealed)


def _label(query: QueryId, kind: BlobKind) -> BlobLabel:
    return BlobLabel(query=query, attempt=EVERY_ATTEMPT, kind=kind, author=INQUIRER)
