"""Words, statements and digests, and the table of domains in docs/protocol.md."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import (
    WORD_BYTES,
    digest,
    encode_header,
    proposal_statement,
    read_text,
    read_uint,
    split_words,
    statement,
    transaction_id,
    transaction_statement,
    validators_hash,
    vote_statement,
    word,
)
from ledger.errors import DecodeError
from ledger.types import BlockHash, ChainId, Height, View, VoteKind
from tests.support import ledger_values as values

PROTOCOL = Path(__file__).resolve().parents[4] / "docs" / "protocol.md"
CHAIN = ChainId(bytes([7] * 32))
WORDS = {
    "ledger/block/1": 12,
    "ledger/vote/1": 6,
    "ledger/proposal/1": 6,
    "ledger/tx/1": 3,
    "ledger/rejoin/1": 6,
    "mpcnode/tls/1": 3,
    "mpcnode/request/1": 18,
    "mpcnode/shares/1": 7,
    "mpcnode/deal/1": 6,
    "mpcnode/corrections/1": 5,
    "mpcnode/accept/1": 4,
    "mpcnode/flush/1": 6,
    "mpcnode/end/1": 10,
    "mpcnode/release/1": 7,
    "mpcnode/dispute/1": 7,
    "mpcnode/message/1": 6,
    "mpcnode/held/1": 8,
    "mpcnode/call/1": 6,
}
word_texts = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=32)


def documented() -> dict[str, int]:
    """Words of every domain as the table of section 1.1 lists them; commas inside brackets separate nothing."""
    rows = re.findall(r"^\| `([a-z]+/[a-z]+/1)` \| ([^|]*) \|", PROTOCOL.read_text(), re.MULTILINE)
    return {domain: 2 + len(re.sub(r"\([^)]*\)", "", listed).split(",")) for domain, listed in rows}


def test_the_protocol_lists_these_domains_with_these_words():
    assert documented() == WORDS


@given(header=values.headers, tx=values.transactions)
def test_statements_of_the_ledger_have_the_words_of_the_protocol(header, tx):
    voted = BlockHash(bytes([1] * 32))
    made = {
        "ledger/block/1": encode_header(header),
        "ledger/vote/1": vote_statement(CHAIN, VoteKind.NOTARIZE, Height(1), View(1), voted),
        "ledger/proposal/1": proposal_statement(CHAIN, Height(1), View(1), voted, View(0)),
        "ledger/tx/1": transaction_statement(tx),
    }
    for domain, stated in made.items():
        assert len(split_words(stated, domain, WORDS[domain])) == WORDS[domain] - 1


def test_a_word_is_padded_where_the_protocol_says():
    assert word(258) == bytes(30) + b"\x01\x02"
    assert word("ab") == b"ab" + bytes(30)
    assert word(bytes(range(32))) == bytes(range(32))


@pytest.mark.parametrize("value", ["x" * 33, "a\0", "é", bytes(31), bytes(33), -1, 1 << 256])
def test_what_fits_no_word_is_refused(value):
    with pytest.raises((ValueError, OverflowError)):
        word(value)


@given(number=st.integers(0, 2**256 - 1))
def test_integers_survive_a_word(number):
    assert read_uint(word(number), 256) == number


@given(text=word_texts)
def test_texts_survive_a_word(text):
    assert read_text(word(text)) == text


@given(data=st.binary(min_size=32, max_size=32))
def test_a_word_is_read_as_at_most_one_text(data):
    try:
        text = read_text(data)
    except DecodeError:
        return
    assert word(text) == data


def test_an_integer_over_its_width_is_refused():
    assert read_uint(word(2**64 - 1), 64) == 2**64 - 1
    with pytest.raises(DecodeError, match="at most 64 bits"):
        read_uint(word(2**64), 64)


@given(count=st.integers(0, 20), wanted=st.integers(1, 20))
def test_a_statement_of_another_length_is_refused(count, wanted):
    stated = b"".join(word("d/1") for _ in range(count))
    if count == wanted:
        assert split_words(stated, "d/1", wanted) == (word("d/1"),) * (wanted - 1)
        return
    with pytest.raises(DecodeError, match="expected"):
        split_words(stated, "d/1", wanted)


def test_a_statement_of_another_domain_is_refused():
    stated = statement("ledger/vote/1", CHAIN, 1, 2, 3, bytes(32))
    with pytest.raises(DecodeError, match="expected the domain ledger/proposal/1"):
        split_words(stated, "ledger/proposal/1", 6)
    with pytest.raises(DecodeError, match="expected 384 bytes"):
        split_words(stated, "ledger/vote/1", 12)


def test_digest_is_what_the_protocol_writes():
    length = 4
    preimage = (
        len(b"a/1").to_bytes(length, "big")
        + b"a/1"
        + (2).to_bytes(length, "big")
        + (1).to_bytes(length, "big")
        + b"x"
        + (0).to_bytes(length, "big")
    )
    assert digest("a/1", b"x", b"") == hashlib.sha256(preimage).digest()


fields = st.lists(st.binary(max_size=6), max_size=4).map(tuple)


@given(one=st.tuples(st.sampled_from(("a/1", "a/11", "a/2")), fields), other=st.tuples(st.just("a/1"), fields))
def test_distinct_tuples_have_distinct_digests(one, other):
    assert (digest(one[0], *one[1]) == digest(other[0], *other[1])) == (one == other)


@given(joined=st.binary(min_size=1, max_size=40), data=st.data())
def test_bytes_moved_over_a_border_change_the_digest(joined, data):
    first, second = data.draw(st.tuples(st.integers(0, len(joined)), st.integers(0, len(joined))))
    split = [digest("a/1", joined[:at], joined[at:]) for at in (first, second)]
    assert (split[0] == split[1]) == (first == second)
    assert digest("a/1", joined) not in split
    assert digest("a/1", joined, b"") != digest("a/1", joined)


@given(tx=values.transactions, other=values.transactions)
def test_a_transaction_id_depends_on_everything_but_the_signatures(tx, other):
    def unsigned(one):
        cosigned = tuple((cosigner.key, cosigner.statement) for cosigner in one.cosigners)
        return (one.chain, one.sender, one.expiry_ms, one.unique, one.method, one.args, cosigned)

    assert (transaction_id(tx) == transaction_id(other)) == (unsigned(tx) == unsigned(other))


@given(data=st.data(), tx=values.transactions)
def test_each_part_of_a_transaction_changes_its_id(data, tx):
    other = data.draw(values.transactions)
    name = data.draw(st.sampled_from(("chain", "sender", "expiry_ms", "unique", "method", "args")))
    changed = replace(tx, **{name: getattr(other, name)})
    assert (transaction_id(changed) == transaction_id(tx)) == (getattr(other, name) == getattr(tx, name))
    resigned = replace(tx, signature=other.signature)
    assert transaction_id(resigned) == transaction_id(tx)


@given(keys=st.sets(values.keys, max_size=6), data=st.data())
def test_a_validator_set_is_hashed_whatever_its_order(keys, data):
    shuffled = data.draw(st.permutations(sorted(keys)))
    assert validators_hash(shuffled) == digest("ledger/validators/1", *sorted(keys))


def test_a_word_has_32_bytes():
    assert WORD_BYTES == 32
