"""What the inquirer's machine keeps of a query about many subjects: read, sealed, taken up again, written, private."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import pytest

from ledger.types import Millis
from mpcnode.adapters.clock import SystemClock
from mpcnode.client import batches
from mpcnode.client.batches import (
    LINE_CHARACTERS_MAX,
    BatchFiles,
    BatchState,
    OwnThreads,
    check_output,
    fetch_batch,
    load_batch,
    read_subjects,
    send_batch,
    sweep_batches,
    write_answers,
)
from mpcnode.errors import ErrorCode, MalformedIdError, RequestError, StorageError, UnavailableError
from mpcnode.query.blobs import EVERY_ATTEMPT, INQUIRER, BlobKind, BlobLabel, BlobOffer
from mpcnode.scorecard import INSUFFICIENT, Outcome
from mpcnode.sealing.blobs import CHUNK_BYTES, BlobReference, BlobSealer
from mpcnode.sealing.pseudonyms import make_pseudonyms, pseudonyms_key, pseudonyms_root
from mpcnode.types import QueryId
from tests.support.consortium import SUBJECT_KEY, stream
from tests.support.queries import SEALED
from tests.support.tools import ROOT
from tests.support.virtual_time import run

NOW = Millis(1_800_000_000_000)
QUERY = QueryId(b"q" * 32)
SUBJECTS = [f"DE-{place:05d}".encode() for place in range(5000)]


@pytest.fixture
def answers(tmp_path):
    folder = tmp_path / "answers"
    folder.mkdir(mode=0o700)
    return folder


def files_in(answers, query=QUERY):
    return BatchFiles(answers, query, NOW)


def state_of(files):
    many = files.seal(SUBJECTS, SUBJECT_KEY, stream("batch"))
    return BatchState(many=many, model="credit-rating", purpose="loan", consent="paper 7")


def test_identifiers_are_read_line_by_line(tmp_path):
    path = tmp_path / "ids"
    path.write_bytes(b"\xef\xbb\xbfde-1\r\n\n  DE-2 \n\xc3\xa4\nde-1")
    assert read_subjects(path) == [b"DE-1", b"DE-2", "Ä".encode(), b"DE-1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected 2 to 1000000 subjects, got 0"),
        (b"one\n", "expected 2 to 1000000 subjects, got 1"),
        (b"\n \n\t\r\n" * 20, "expected 2 to 1000000 subjects, got 0"),
        (b"a\n" * 1_000_000 + b"\nb\n" * 2, r"ids:1000002: expected 2 to 1000000 subjects, got one more here"),
    ],
)
def test_files_that_nobody_can_be_asked_about(tmp_path, content, message):
    path = tmp_path / "ids"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        read_subjects(path)


def test_files_that_cannot_be_read_say_why(tmp_path):
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "nowhere", "No such file or directory")):
        with pytest.raises(RequestError, match=why):
            read_subjects(path)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b""])
def test_a_line_may_be_longer_than_an_identifier_and_not_endless(tmp_path, end):
    path = tmp_path / "ids"
    spread = "\u1e69".encode()  # 3 bytes here, 5 where its marks stand apart
    marks = "s\u0323\u0307".encode()
    blanks = b" " * (LINE_CHARACTERS_MAX - 3 * 21)
    path.write_bytes(b"DE-1\n" + blanks + marks * 21 + end)
    assert read_subjects(path) == [b"DE-1", spread.decode().upper().encode() * 21]
    path.write_bytes(b"DE-1\n" + blanks + b" " + marks * 21 + end)
    with pytest.raises(MalformedIdError, match=f"ids:2: expected at most {LINE_CHARACTERS_MAX} characters in a line"):
        read_subjects(path)


@pytest.mark.parametrize("filler", [b"a", b" ", b"\0", b"\xff"])
def test_a_file_that_is_one_long_line_takes_no_memory(tmp_path, filler):
    path = tmp_path / "ids"
    path.write_bytes(b"DE-1\n" + filler * 32_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedIdError, match=r"ids:2: "):
            read_subjects(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", [b"M\xfcller", b"\xed\xb0\x80", b"\xff\xfe1\0", b"\xc3"])
def test_a_line_in_another_encoding_is_named(tmp_path, line):
    path = tmp_path / "ids"
    path.write_bytes(b"DE-1\n" * 9_000 + line + b"\n")
    with pytest.raises(MalformedIdError, match=r"ids:9001: expected an identifier in UTF-8, got other bytes"):
        read_subjects(path)


def test_a_pipe_is_read_as_a_file_is(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found = OwnThreads().submit(read_subjects, path)
    path.write_bytes(b"DE-1\nDE-2\n")
    assert found.result() == [b"DE-1", b"DE-2"]


def test_what_goes_wrong_in_a_thread_is_raised_where_it_is_awaited(tmp_path):
    with pytest.raises(RequestError, match="Is a directory"):
        OwnThreads().submit(read_subjects, tmp_path).result()


WAITING = """
import asyncio, pathlib, sys
from mpcnode.client.batches import OwnThreads, read_subjects

async def work():
    print("waits", flush=True)
    await asyncio.get_running_loop().run_in_executor(OwnThreads(), read_subjects, pathlib.Path(sys.argv[1]))

try:
    asyncio.run(work())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_pipe_that_nobody_writes_to_can_be_interrupted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", WAITING, str(tmp_path / "pipe")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waits\n"
        child.send_signal(signal.SIGINT)
        try:
            said, _ = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (said, child.returncode) == ("interrupted\n", 0)


@pytest.mark.parametrize("line", [b"secret\0name", b"secret" * 11, b"sec\tret", b"secret" * 200, b"sec\xffret"])
def test_a_wrong_line_is_named_and_not_quoted(tmp_path, line):
    path = tmp_path / "ids"
    path.write_bytes(b"DE-1\nDE-2\n" + line + b"\n")
    with pytest.raises(MalformedIdError, match=r"ids:3: ") as raised:
        read_subjects(path)
    assert "sec" not in str(raised.value).replace(str(path), "")


def test_what_is_sealed_is_what_was_given(answers):
    files = files_in(answers)
    many = state_of(files).many
    joined = make_pseudonyms(SUBJECT_KEY, SUBJECTS)
    key = pseudonyms_key(many.nonce, many.query)
    assert b"".join(files.blobs.read(BlobReference(blob=many.pseudonyms, key=key))) == joined
    assert (many.root, many.subjects) == (pseudonyms_root([joined]), len(SUBJECTS))
    assert list(files.identifiers(many)) == [subject.decode() for subject in SUBJECTS]
    assert not any(SUBJECTS[7] in path.read_bytes() for path in answers.rglob("*") if path.is_file())


@pytest.mark.parametrize("sealed", [None, SEALED])
def test_a_query_is_taken_up_from_its_files(answers, sealed):
    files = files_in(answers)
    state = replace(state_of(files), sealed=sealed)
    files.keep(state)
    again = files_in(answers)
    assert load_batch(answers, QUERY.hex()[:6]) == state
    assert list(again.identifiers(state.many))[:2] == ["DE-00000", "DE-00001"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in answers.rglob("*") if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in answers.rglob("*") if path.is_dir()} == {0o700}
    again.forget()
    assert list(answers.rglob("*")) == [answers / "blobs"]
    with pytest.raises(RequestError, match="expected one unfinished, got 0"):
        load_batch(answers, QUERY.hex())


def test_commands_at_once_leave_each_others_files_alone(answers):
    """One seals while another begins, and ends."""
    first, second = files_in(answers), QueryId(b"r" * 32)

    def others():
        yield b"begun"
        other = files_in(answers, second)
        state_of(other)
        other.forget()
        yield b" and ended"

    label = BlobLabel(query=QUERY, attempt=EVERY_ATTEMPT, kind=BlobKind.IDENTIFIERS, author=INQUIRER)
    manifest = first.blobs.create(label, bytes(32), others(), first.until)
    sweep_batches(answers, SystemClock().now_ms())
    assert b"".join(first.blobs.read(BlobReference(blob=manifest.blob, key=bytes(32)))) == b"begun and ended"


def test_files_of_two_queries_are_told_apart(answers):
    for query in (QUERY, QueryId(b"q" * 31 + b"r")):
        files = files_in(answers, query)
        files.keep(state_of(files))
    with pytest.raises(RequestError, match="expected one unfinished, got 2"):
        load_batch(answers, QUERY.hex()[:8])
    assert load_batch(answers, QUERY.hex()).many.query == QUERY


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"query": 7}', b'{"query": "??"}'])
def test_damaged_files_are_said_to_be(answers, content):
    path = answers / f"{QUERY.hex()}.batch"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(RequestError, match="expected an unfinished query"):
        load_batch(answers, QUERY.hex())


def test_what_was_left_unfinished_long_ago_is_removed(answers):
    for query, age_ms in ((QUERY, batches.KEPT_MS + 1000), (QueryId(b"r" * 32), batches.KEPT_MS - 1000)):
        files = files_in(answers, query)
        files.keep(state_of(files))
        for path in (answers / f"{query.hex()}.batch", answers / "blobs" / query.hex()):
            os.utime(path, ((NOW - age_ms) / 1000, (NOW - age_ms) / 1000))
    sweep_batches(answers, NOW)
    assert [path.name for path in (answers / "blobs").iterdir()] == [(b"r" * 32).hex()]
    assert [path.stem for path in answers.glob("*.batch")] == [(b"r" * 32).hex()]


# ------------------------------------------------------------------- transfers

BODY = bytes(2 * CHUNK_BYTES + 7)


def sealed_answer(key=bytes(32)):
    sealer = BlobSealer(key)
    chunks = list(sealer.feed(BODY))
    last, manifest = sealer.finish()
    return manifest, [*chunks, last], BlobReference(blob=manifest.blob, key=key)


class Link:
    """`rpc.blobs.BlobLink` to a desk that holds one answer, or nothing."""

    def __init__(self, *, moves=True):
        self.manifest, self.chunks, self.reference = sealed_answer()
        self.moves = moves
        self.refused: UnavailableError | None = None
        self.begun: list[int] = []

    async def send(self, offer, get, progress):
        for number in range(len(offer.manifest.chunks)):
            await get(number)
        progress(len(offer.manifest.chunks))
        while not self.moves:
            await get(0)
            await asyncio.sleep(1)

    async def fetch(self, blob, first, put):
        assert blob == self.manifest.blob
        self.begun.append(first)
        for number in range(first, len(self.chunks)):
            await put(self.manifest, number, self.chunks[number])
        while not self.moves:
            await put(self.manifest, 0, self.chunks[0])
            await asyncio.sleep(1)


async def fetched(files: BatchFiles, link: Any) -> None:
    await fetch_batch(link, files, QUERY, [link.reference], lambda *_: None)


@pytest.mark.parametrize("held", [0, 1, 2, 3])
def test_answers_are_fetched_from_where_an_earlier_transfer_ended(answers, held):
    files, link = files_in(answers), Link()
    label = BlobLabel(query=QUERY, attempt=1, kind=BlobKind.OUTPUT, author=0)
    if held:
        files.blobs.offer(BlobOffer(label=label, manifest=link.manifest), files.until)
    for number in range(held):
        files.blobs.put(link.manifest.blob, number, link.chunks[number])
    again = files_in(answers)
    run(fetched(again, link))
    assert link.begun == ([] if held == 3 else [held])
    assert batches.body_of(again, link.reference) == BODY


def test_a_full_disk_ends_a_fetch_and_is_said(answers, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
    with pytest.raises(StorageError, match="make some, and resume") as raised:
        run(fetched(files_in(answers), Link()))
    assert raised.value.code is ErrorCode.DISK_FULL


@pytest.mark.parametrize("sends", [True, False])
def test_a_transfer_that_stands_still_is_given_up(answers, sends):
    async def scenario():
        files, link = files_in(answers), Link(moves=False)
        many = state_of(files).many
        transfer = partial(send_batch, cast("Any", link), files, many, lambda *_: None)
        work = transfer() if sends else fetched(files, link)
        with pytest.raises(UnavailableError, match="nothing has moved for 120 s"):
            await work
        assert asyncio.get_running_loop().time() == pytest.approx(batches.STILL_S, abs=2)

    run(scenario())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (ErrorCode.OFFERS_FULL, ErrorCode.OFFERS_FULL),
        (ErrorCode.BUSY, ErrorCode.BUSY),
        (ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE),
    ],
)
def test_who_gives_up_says_what_the_operator_said(answers, said, code):
    async def scenario():
        files, link = files_in(answers), Link(moves=False)
        link.refused = UnavailableError("wait an hour.", said)
        with pytest.raises(UnavailableError, match=f"120 s; the operator says {said}: wait an hour$") as raised:
            await send_batch(cast("Any", link), files, state_of(files).many, lambda *_: None)
        assert raised.value.code is code

    run(scenario())


# ------------------------------------------------------------------- answers


def test_answers_go_where_they_can_be_written_and_not_over_the_subjects(tmp_path):
    subjects = tmp_path / "ids"
    subjects.write_text("DE-1")
    (tmp_path / "link").symlink_to(subjects)
    check_output(tmp_path / "answers.csv", subjects)
    check_output(tmp_path / "answers.csv")
    for path in (subjects, tmp_path / "link", tmp_path / "nowhere" / "answers.csv"):
        with pytest.raises(RequestError, match="expected"):
            check_output(path, subjects)


def test_answers_are_whole_and_for_their_owner_alone(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("of an earlier query")
    path.chmod(0o644)
    grades = (INSUFFICIENT, None, Outcome(sufficient=True, grade="A", grade_index=0, coverage_band=2))
    write_answers(path, iter(["DE-1", 'X,"Y"', "DE-3", "DE-4"]), grades, np.array([2, 0, 1, 2]))
    lines = ["subject,answer,coverage_band", "DE-1,A,2", '"X,""Y""",insufficient,', "DE-3,undecodable,", "DE-4,A,2"]
    assert path.read_bytes() == "".join(f"{line}\r\n" for line in lines).encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_answers_that_do_not_fit_their_subjects_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("of an earlier query")
    with pytest.raises(ValueError, match="zip"):
        write_answers(path, iter(["DE-1"]), (INSUFFICIENT,), np.array([0, 0]))
    assert path.read_text() == "of an earlier query"
    assert list(tmp_path.iterdir()) == [path]
