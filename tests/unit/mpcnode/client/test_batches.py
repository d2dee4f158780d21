"""What the inquirer's machine keeps of a query about many subjects: read, sealed, taken up again, written, private."""

import stat
from dataclasses import replace

import numpy as np
import pytest

from ledger.types import Millis
from mpcnode.client import batches
from mpcnode.client.batches import BatchFiles, BatchState, read_subjects, write_answers
from mpcnode.errors import MalformedIdError, RequestError
from mpcnode.scorecard import INSUFFICIENT, Outcome
from mpcnode.sealing.blobs import open_chunks
from mpcnode.sealing.pseudonyms import make_pseudonyms, pseudonyms_key, pseudonyms_root
from tests.support.consortium import SUBJECT_KEY, stream
from tests.support.queries import SEALED

NOW = Millis(1_800_000_000_000)
SUBJECTS = [f"DE-{place:05d}".encode() for place in range(5000)]


@pytest.fixture
def answers(tmp_path):
    folder = tmp_path / "answers"
    folder.mkdir(mode=0o700)
    return folder


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
        (b"\xff\n", "expected identifiers in UTF-8"),
        (b"a\n" * 1_000_001, "got 1000001"),
    ],
)
def test_files_that_nobody_can_be_asked_about(tmp_path, content, message):
    path = tmp_path / "ids"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        read_subjects(path)


@pytest.mark.parametrize("line", [b"secret\0name", b"secret" * 11, b"sec\tret"])
def test_a_wrong_line_is_named_and_not_quoted(tmp_path, line):
    path = tmp_path / "ids"
    path.write_bytes(b"DE-1\nDE-2\n" + line + b"\n")
    with pytest.raises(MalformedIdError, match=r"ids:3: ") as raised:
        read_subjects(path)
    assert "sec" not in str(raised.value).replace(str(path), "")


def test_what_is_sealed_is_what_was_given(answers):
    files = BatchFiles(answers, NOW)
    many = state_of(files).many
    joined = make_pseudonyms(SUBJECT_KEY, SUBJECTS)
    key = pseudonyms_key(many.nonce, many.query)
    assert b"".join(open_chunks(key, files.blobs.chunks(many.pseudonyms))) == joined
    assert (many.root, many.subjects) == (pseudonyms_root([joined]), len(SUBJECTS))
    assert list(files.identifiers(many)) == [subject.decode() for subject in SUBJECTS]
    assert not any(SUBJECTS[7] in path.read_bytes() for path in answers.rglob("*") if path.is_file())


@pytest.mark.parametrize("sealed", [None, SEALED])
def test_a_query_is_taken_up_from_its_files(answers, sealed):
    files = BatchFiles(answers, NOW)
    state = replace(state_of(files), sealed=sealed)
    files.keep(state)
    again = BatchFiles(answers, NOW)
    assert again.load(state.many.query.hex()[:6]) == state
    assert list(again.identifiers(state.many))[:2] == ["DE-00000", "DE-00001"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in answers.rglob("*") if path.is_file()} == {0o600}
    again.forget(state)
    assert [path for path in answers.rglob("*") if path.is_file()] == []
    with pytest.raises(RequestError, match="expected one unfinished, got 0"):
        again.load(state.many.query.hex())


def test_what_was_left_unfinished_long_ago_is_removed(answers):
    state_of(BatchFiles(answers, NOW))
    later = BatchFiles(answers, Millis(NOW + batches.KEPT_MS + 1))
    assert list((answers / "blobs").iterdir()) == []
    assert later.blobs.sweep(NOW) == 0


def test_answers_are_whole_and_for_their_owner_alone(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("of an earlier query")
    path.chmod(0o644)
    grades = (INSUFFICIENT, Outcome(sufficient=True, grade="A", grade_index=0, coverage_band=2))
    write_answers(path, iter(["DE-1", 'X,"Y"', "DE-3"]), grades, np.array([1, 0, 1]))
    assert path.read_bytes() == b'subject,answer,coverage_band\r\nDE-1,A,2\r\n"X,""Y""",insufficient,\r\nDE-3,A,2\r\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_answers_that_do_not_fit_their_subjects_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("of an earlier query")
    with pytest.raises(ValueError, match="zip"):
        write_answers(path, iter(["DE-1"]), (INSUFFICIENT,), np.array([0, 0]))
    assert path.read_text() == "of an earlier query"
    assert list(tmp_path.iterdir()) == [path]
