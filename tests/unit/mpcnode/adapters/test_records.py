"""A participant's records: found by pseudonym, and every mistake in the file is named without quoting it."""

import pytest

from mpcnode.adapters.records import Range, load_records
from mpcnode.errors import RecordsError
from mpcnode.sealing.pseudonyms import make_pseudonym, normalise

KEY = b"\x05" * 32


def pseudonym(identifier):
    return make_pseudonym(KEY, normalise(identifier))


def said(records, identifier):
    """All that the records say of one subject, by attribute; None if they do not know it."""
    found = records.lookup(pseudonym(identifier), records.attributes)
    if not found.known[0]:
        assert not found.present.any()
        assert not found.values.any()
        return None
    cells = zip(records.attributes, found.values[:, 0].tolist(), found.present[:, 0].tolist(), strict=True)
    return {name: value if present else None for name, value, present in cells}


@pytest.fixture
def load(tmp_path):
    def loaded(text, id_column="subject", **asked):
        path = tmp_path / "r.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_records(path, id_column, KEY, asked)

    return loaded


def test_subjects_are_found_by_pseudonym(load):
    records = load("income,subject,debts\n3000, de-1 ,\n-5,DE-2,7\n")
    assert len(records) == 2
    assert records.attributes == ("income", "debts")
    assert said(records, "DE-1") == {"income": 3000, "debts": None}
    assert said(records, "de-2") == {"income": -5, "debts": 7}
    assert said(records, "DE-3") is None


def test_many_are_found_at_once(load):
    records = load("".join(["subject,a,b\n", *(f"S{place},{place},{place or ''}\n" for place in range(500))]))
    asked = [f"S{place}" for place in (499, 0, 7, 7, 1000, 3)]
    found = records.lookup(b"".join(map(pseudonym, asked)), ["b", "nobody's", "a"])
    assert found.known.tolist() == [True, True, True, True, False, True]
    assert found.values.tolist() == [[499, 0, 7, 7, 0, 3], [0] * 6, [499, 0, 7, 7, 0, 3]]
    assert found.present.tolist() == [
        [True, False, True, True, False, True],
        [False] * 6,
        [True, True, True, True, False, True],
    ]


def test_pseudonyms_that_differ_in_zeros_at_their_end_are_apart(load, monkeypatch):
    made = {"A": b"\1" + bytes(31), "B": b"\1" + bytes(30) + b"\1", "C": bytes(32)}
    monkeypatch.setattr("mpcnode.adapters.records.make_pseudonym", lambda _, name: made[name.decode()])
    records = load("subject,a\nA,1\nB,2\nC,3\n")
    found = records.lookup(made["B"] + made["C"] + made["A"] + bytes(31) + b"\1", ["a"])
    assert (found.values.tolist(), found.known.tolist()) == ([[2, 3, 1, 0]], [True, True, True, False])


def test_values_are_plain_integers_of_64_bits(load):
    records = load(f"subject,a,b\nX,{-(1 << 63)},{(1 << 63) - 1}\n")
    assert said(records, "X") == {"a": -(1 << 63), "b": (1 << 63) - 1}


def test_files_of_spreadsheets_are_read(load):
    assert said(load(b'\xef\xbb\xbfsubject,a\r\n"DE-1","4"\r\n'), "DE-1") == {"a": 4}


def test_a_file_without_subjects_knows_nobody(load):
    records = load("subject,a,b\n")
    assert len(records) == 0
    assert said(records, "DE-1") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"r\.csv:1: expected a header"),
        ("subject,a,a\n", r"r\.csv:1: column 3: expected a name that no other column has, got 'a'"),
        ("subject,\n", r"r\.csv:1: column 2: expected a name"),
        ("id,a\n", r"r\.csv:1: expected a column 'subject', got id, a"),
        ("subject,a\nDE-1,1\nDE-2\n", r"r\.csv:3: expected 2 values as in the header, got 1"),
        ("subject,a\nDE-1,1,2\n", r"r\.csv:2: expected 2 values as in the header, got 3"),
        ("subject,a\nDE-1,secretive\n", r"r\.csv:2: column a: expected an integer or nothing, got 9 characters"),
        ("subject,a\nDE-1,1.5\n", r"r\.csv:2: column a: expected an integer or nothing"),
        ("subject,a\nDE-1,1_000\n", r"r\.csv:2: column a: expected an integer or nothing"),
        ("subject,a\nDE-1,-\n", r"r\.csv:2: column a: expected an integer or nothing"),
        ("subject,a\nDE-1,٣\n", r"r\.csv:2: column a: expected an integer or nothing"),
        (f"subject,a\nDE-1,{1 << 63}\n", r"r\.csv:2: column a: expected an integer of 64 bits"),
        ("subject,a\n,1\n", r"r\.csv:2: column subject: expected an identifier of 1 to 64 bytes"),
        ("subject,a\nDE-1,1\nde-1,2\n", r"r\.csv:3: column subject: expected each subject once"),
        (b"subject,a\n\xff,1\n", r"r\.csv: expected CSV in UTF-8"),
        ('subject,a\n"DE-1,1\n', r"r\.csv: expected CSV"),
    ],
)
def test_a_mistake_is_named_with_its_place(load, text, message):
    with pytest.raises(RecordsError, match=message) as caught:
        load(text)
    for value in ("DE-1", "de-1", "secretive"):
        assert value not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordsError, match=r"none\.csv: expected readable records, got No such file"):
        load_records(tmp_path / "none.csv", "subject", KEY)


def test_values_are_those_that_the_models_allow(load):
    asked = {"a": Range(-3, 1_234_567_890_123), "b": Range(0, 9)}
    assert len(load("subject,a,b,c\nX,-3,0,77\nY,1234567890123,9,\nZ,,,\n", **asked)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subject,a,b\nX,0,0\nY,0,77123\n", r"r\.csv:3: column b: expected 0 to 9 as the models say, got one outside"),
        ("subject,a,b\nX,-77123,0\n", r"r\.csv:2: column a: expected -3 to 5 as the models say, got one outside"),
        ("subject,a\nX,1\n", r"r\.csv:1: expected a column 'b', got subject, a"),
    ],
)
def test_what_the_supervisor_would_reject_is_refused_at_the_start(load, text, message):
    with pytest.raises(RecordsError, match=message) as caught:
        load(text, a=Range(-3, 5), b=Range(0, 9))
    assert "77123" not in str(caught.value)
