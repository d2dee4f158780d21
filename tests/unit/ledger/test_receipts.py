"""A receipt file proves what it should, and no change of it proves anything else or raises anything else."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.encoding import decode_transaction, transaction_id
from ledger.errors import InvalidProofError
from ledger.receipts import FILE_BYTES_MAX, encode_receipt_file, prove, verify_receipt
from ledger.types import FinalBlock
from tests.support.chains import final_on, genesis_of, genesis_state, receipt, transaction, verify

GENESIS = genesis_of(4)


def chain_of(*sizes):
    """Final blocks of so many transactions each, with their receipts."""
    head, made, number = genesis_state(GENESIS), [], 0
    for size in sizes:
        txs = [transaction(number + n) for n in range(size)]
        receipts = [receipt(number + n) for n in range(size)]
        final, head = final_on(GENESIS, head, txs, receipts)
        made.append((final, receipts))
        number += size
    return made


def file_of(*wanted, sizes=(1, 5, 3)):
    made = chain_of(*sizes)
    proofs = [prove(made[block][0], made[block][1], GENESIS.validators(), index) for block, index in wanted]
    return encode_receipt_file(proofs)


FILE = file_of((0, 0), (1, 3), (1, 0), (2, 2))


def test_what_a_file_proves():
    verified = verify_receipt(FILE, GENESIS, verify).transactions
    assert [found.height for found in verified] == [1, 2, 2, 3]
    assert [found.tx_id for found in verified] == [
        transaction_id(decode_transaction(transaction(number))) for number in (0, 4, 1, 8)
    ]
    assert [found.receipt for found in verified] == [receipt(number) for number in (0, 4, 1, 8)]
    assert verified[1].block_hash == verified[2].block_hash


def test_blocks_are_written_once():
    assert len(json.loads(FILE)["blocks"]) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9])
def test_every_place_in_a_block_can_be_proved(size):
    for index in range(size):
        found = verify_receipt(file_of((0, index), sizes=(size,)), GENESIS, verify).transactions[0]
        assert found.tx_id == transaction_id(decode_transaction(transaction(index)))
        assert found.receipt == receipt(index)


def test_genesis_and_missing_transactions_cannot_be_proved():
    final, receipts = chain_of(2)[0]
    for wrong in (2, -1):
        with pytest.raises(ValueError, match="expected"):
            prove(final, receipts, GENESIS.validators(), wrong)
    with pytest.raises(ValueError, match="expected"):
        prove(FinalBlock(block=final.block, certificate=None), receipts, GENESIS.validators(), 0)
    with pytest.raises(ValueError, match="expected"):
        encode_receipt_file([])


def test_another_consortium_refuses_it():
    other_chain = replace(GENESIS, chain=type(GENESIS.chain)(b"\x09" * 32))
    other_validators = genesis_of(5)
    for genesis in (other_chain, other_validators):
        with pytest.raises(InvalidProofError):
            verify_receipt(FILE, genesis, verify)


def places(value, at=()):
    """Every leaf of a JSON document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from places(inner, (*at, index))
    else:
        yield at


def changed(at, new):
    document = json.loads(FILE)
    target = document
    for step in at[:-1]:
        target = target[step]
    target[at[-1]] = new(target[at[-1]])
    return json.dumps(document).encode()


def flip(text):
    """Change one digit in the middle, and the first and the last."""
    for place in {0, len(text) // 2, len(text) - 1}:
        yield text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]


def value_at(at):
    document = json.loads(FILE)
    for step in at:
        document = document[step]
    return document


def test_every_value_matters():
    expected = verify_receipt(FILE, GENESIS, verify)
    for at in places(json.loads(FILE)):
        value = value_at(at)
        for variant in flip(value) if isinstance(value, str) and value else [0, 2, 7, -1]:
            try:
                found = verify_receipt(changed(at, lambda _, variant=variant: variant), GENESIS, verify)
            except InvalidProofError:
                continue
            # a path does not prove how many leaves there are beside it, nor its number; nothing else may vary
            assert variant == value or at[-1] in {"index", "size"}
            assert found == expected


@pytest.mark.parametrize("junk", [None, True, 1.5, "", "zz", "AB", [], {}, [[]], 1 << 70, -1, "0" * 63])
def test_no_value_of_another_type_passes(junk):
    for at in places(json.loads(FILE)):
        if value_at(at) != junk or type(value_at(at)) is not type(junk):
            with pytest.raises(InvalidProofError):
                verify_receipt(changed(at, lambda _: junk), GENESIS, verify)


@pytest.mark.parametrize("name", ["format", "chain", "blocks", "transactions"])
def test_keys_are_exactly_these(name):
    document = json.loads(FILE)
    with pytest.raises(InvalidProofError):
        verify_receipt(json.dumps(document | {"more": 1}).encode(), GENESIS, verify)
    del document[name]
    with pytest.raises(InvalidProofError):
        verify_receipt(json.dumps(document).encode(), GENESIS, verify)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"format":' * 50_000,
        b"1" * 10_000,
        b'{"format": NaN}',
        FILE.replace(b'"chain"', b'"chain": "00", "chain"', 1),
        b" " * (FILE_BYTES_MAX + 1),
        FILE[:-10],
        FILE + FILE,
    ],
    ids=range(11),
)
def test_bytes_that_are_no_file(data):
    with pytest.raises(InvalidProofError):
        verify_receipt(data, GENESIS, verify)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, len(FILE) - 1), st.binary(max_size=3))
def test_nothing_else_is_raised(place, junk):
    data = FILE[:place] + junk + FILE[place + len(junk) :]
    try:
        verified = verify_receipt(data, GENESIS, verify)
    except InvalidProofError:
        return
    assert verified == verify_receipt(FILE, GENESIS, verify)  # only white space differs
