"""Writer and Reader: what one writes the other takes, and nothing is taken that is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import Reader, Writer
from ledger.errors import DecodeError


@given(
    number=st.integers(0, 2**64 - 1),
    blob=st.binary(max_size=50),
    text=st.text(st.characters(max_codepoint=127), max_size=255),
    items=st.lists(st.integers(0, 255), max_size=9),
)
def test_reader_takes_what_writer_added(number, blob, text, items):
    writer = Writer().uint(number, 8).blob(blob).text(text).uint(len(items), 4)
    for item in items:
        writer.uint(item, 1)
    reader = Reader(writer.bytes(), "value")
    assert (reader.uint(8), reader.blob(50), reader.text()) == (number, blob, text)
    assert reader.items(9, lambda: reader.uint(1)) == tuple(items)
    reader.end()


def test_integers_are_big_endian():
    assert Writer().uint(258, 4).bytes() == bytes([0, 0, 1, 2])


def test_a_length_beyond_the_end_is_refused_with_its_place():
    reader = Reader(b"\0\0\0\5abc", "letter")
    with pytest.raises(DecodeError, match=r"letter: expected 5 bytes at offset 4, got 3"):
        reader.blob(100)


def test_a_length_over_the_limit_is_refused_although_the_bytes_are_there():
    reader = Reader(b"\0\0\0\5abcde", "letter")
    with pytest.raises(DecodeError, match="expected at most 4 bytes at offset 4, got 5"):
        reader.blob(4)


def test_a_count_over_the_limit_takes_no_item():
    reader = Reader((2**32 - 1).to_bytes(4, "big"), "list")
    with pytest.raises(DecodeError, match="expected at most 3 items, got 4294967295"):
        reader.items(3, lambda: pytest.fail("an item was taken"))


def test_text_beyond_ascii_is_refused():
    with pytest.raises(DecodeError, match="expected ASCII text"):
        Reader(b"\2\xc3\xa9", "name").text()


def test_left_bytes_are_refused():
    reader = Reader(b"ab", "value")
    reader.fixed(1)
    with pytest.raises(DecodeError, match="expected the end at offset 1, got 1 more"):
        reader.end()


@pytest.mark.parametrize("value", [b"", b"abc"])
def test_writer_refuses_a_fixed_field_of_another_size(value):
    with pytest.raises(ValueError, match="expected 2 bytes"):
        Writer().fixed(value, 2)


@pytest.mark.parametrize("text", ["é", "x" * 256])
def test_writer_refuses_a_text_that_has_no_encoding(text):
    with pytest.raises((ValueError, OverflowError)):
        Writer().text(text)
