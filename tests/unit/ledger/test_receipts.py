"""A receipt file proves what it should, and no change of it proves anything else or raises anything else."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.encoding import decode_transaction, transaction_id
from ledger.errors import InvalidProofError
from ledger.handovers import HANDOVERS_MAX
from ledger.prooffile import FILE_BYTES_MAX
from ledger.receipts import TRANSACTIONS_MAX, encode_receipt_file, prove, verify_receipt
from ledger.types import FinalBlock
from tests.support.chains import final_on, genesis_of, genesis_state, receipt, transaction, verify
from tests.support.proofs import Chronicle, Consortium, decided, transactions, validator

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
    proofs = [prove(made[block][0], made[block][1], index) for block, index in wanted]
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
            prove(final, receipts, wrong)
    with pytest.raises(ValueError, match="expected"):
        prove(FinalBlock(block=final.block, certificate=None), receipts, 0)
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


@pytest.mark.parametrize("name", ["format", "chain", "handovers", "blocks", "transactions"])
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


# ------------------------------------------------------------- validators that change


SETS = [
    tuple(sorted(map(validator, numbers))) for numbers in ((0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3))
]
POOL = transactions(GENESIS.chain, 20)


def chronicle(*sets):
    """A block of two transactions for each set, after which that set decides."""
    made = Chronicle(Consortium(b"", GENESIS), POOL)
    for validators in sets:
        made.add(2, validators)
    return made


CHANGING = chronicle(SETS[0], SETS[1], SETS[1], SETS[2], SETS[2], SETS[3], SETS[3])
"""Blocks 1 to 7; the set changes after 2, 4 and 6, and in the end is that of genesis again."""


def refused(document, said):
    with pytest.raises(InvalidProofError, match=said):
        verify_receipt(json.dumps(document).encode(), GENESIS, verify)


def test_receipts_of_every_set_verify_from_genesis():
    for height in range(1, 8):
        found = verify_receipt(CHANGING.receipt_file([(height, 1)]), GENESIS, verify).transactions[0]
        assert (found.height, found.transaction.unique) == (height, CHANGING.blocks[height].txs[1][72:88])
    file = CHANGING.receipt_file([(7, 0), (1, 0), (5, 1), (4, 0)])
    assert [found.height for found in verify_receipt(file, GENESIS, verify).transactions] == [7, 1, 5, 4]


@pytest.mark.parametrize(("height", "expected"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
def test_a_file_holds_the_changes_before_its_newest_block_and_no_others(height, expected):
    assert len(json.loads(CHANGING.receipt_file([(1, 0), (height, 0)]))["handovers"]) == expected


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, r"handovers\[0\].header: expected the validators .*, which the handovers lead to"),
        (1, r"handovers\[1\].header: expected the validators"),
        (2, r"blocks\[0\].header: expected the validators"),
    ],
)
def test_no_change_can_be_left_out(at, said):
    document = json.loads(CHANGING.receipt_file([(7, 0)]))
    if at == 2:
        document = json.loads(CHANGING.receipt_file([(5, 0)]))
        del document["handovers"][1]
    else:
        del document["handovers"][at]
    refused(document, said)


def test_a_removed_quorum_cannot_sign_for_a_later_height_beside_the_change_that_removed_it():
    # blocks of height 5, by the set of genesis: member 0 was removed after block 4
    document = json.loads(CHANGING.receipt_file([(5, 0)]))
    claimed = replace(CHANGING.headers[5], validators_hash=CHANGING.headers[1].validators_hash)
    document["blocks"] = [old_quorum(claimed)]
    refused(document, r"blocks\[0\].header: expected the validators")
    document["blocks"] = [old_quorum(CHANGING.headers[5])]
    refused(document, r"blocks\[0\].certificate: certificate: expected a vote of signer")


def old_quorum(header):
    made = chronicle(*[SETS[0]] * 7)
    return decided(header, made.certificate(header))


def test_without_the_change_a_removed_quorum_can():
    """Documented: from genesis alone nobody can tell; a remembered head can (ledger.consistency)."""
    made = chronicle(*[SETS[0]] * 7)
    assert verify_receipt(made.receipt_file([(5, 0)]), GENESIS, verify).transactions[0].height == 5


def test_changes_that_cancel_each_other_may_be_left_out_only_together():
    document = json.loads(CHANGING.receipt_file([(7, 0)]))
    document["handovers"] = []
    assert verify_receipt(json.dumps(document).encode(), GENESIS, verify).transactions[0].height == 7


def test_a_change_must_change_something():
    document = json.loads(CHANGING.receipt_file([(7, 0)]))
    same = decided(CHANGING.headers[1], CHANGING.certificate(CHANGING.headers[1]))
    document["handovers"].insert(0, same | {"validators": [key.hex() for key in CHANGING.keys(1)]})
    refused(document, r"handovers\[0\].header: expected another set for the next height, got the same")


def test_changes_are_in_order():
    document = json.loads(CHANGING.receipt_file([(7, 0)]))
    document["handovers"].append(document["handovers"][2])
    refused(document, r"handovers\[3\].header")


@pytest.mark.parametrize("change", [lambda keys: keys.reverse(), lambda keys: keys.append(keys[0]), list.clear])
def test_the_keys_of_the_next_set_are_exactly_the_named_ones(change):
    document = json.loads(CHANGING.receipt_file([(3, 0)]))
    change(document["handovers"][0]["validators"])
    refused(document, r"handovers\[0\].validators: expected the ascending keys of the set")


def test_two_final_blocks_of_one_height_are_refused():
    document = json.loads(CHANGING.receipt_file([(3, 0), (2, 0)]))
    forked = replace(CHANGING.headers[2], state_root=CHANGING.headers[2].tx_root)
    document["blocks"].append(decided(forked, CHANGING.certificate(forked)))
    refused(document, r"blocks\[2\].header: expected one final block at height 2, got two")


def test_lists_are_bounded():
    document = json.loads(CHANGING.receipt_file([(7, 0)]))
    refused(document | {"handovers": document["handovers"] * HANDOVERS_MAX}, "handovers: expected 0 to 1024 items")
    refused(document | {"blocks": document["blocks"] * (TRANSACTIONS_MAX + 1)}, "blocks: expected 1 to 1024 items")
    proof = prove(CHANGING.final(1), CHANGING.receipts[1], 0)
    with pytest.raises(ValueError, match="expected 1 to 1024 proofs"):
        encode_receipt_file([proof] * (TRANSACTIONS_MAX + 1), [])
    with pytest.raises(ValueError, match="at most 1024 changes"):
        encode_receipt_file([prove(CHANGING.final(7), CHANGING.receipts[7], 0)], CHANGING.handovers() * 400)
