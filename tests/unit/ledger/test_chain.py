"""Every rule of validity is broken once, and alone."""

from dataclasses import replace

import pytest

from ledger import chain as rules
from ledger.chain import check_body, check_certificate, check_execution, check_final, check_header, check_transaction
from ledger.encoding import BLOCK_BYTES_MAX, decode_transaction, encode_block, encode_transaction, transaction_id
from ledger.errors import DecodeError, InvalidBlockError, InvalidCertificateError, InvalidTransactionError
from ledger.merkle import Frontier
from ledger.types import NO_BLOCK, Digest, FinalBlock, Millis, PublicKey, Signature, VoteKind
from tests.support.chains import (
    CHAIN,
    NOW,
    STATE,
    block_on,
    certificate,
    final_on,
    genesis_of,
    genesis_state,
    receipt,
    signing_key,
    transaction,
    verify,
)

GENESIS = genesis_of(4)
OTHER = Digest(b"\x07" * 32)


@pytest.fixture
def head():
    _, after = final_on(GENESIS, genesis_state(GENESIS), [transaction(1)], [receipt(1)])
    return after


def checked(data):
    return check_transaction(data, CHAIN, verify)


def never(tx_id):
    return False


@pytest.mark.parametrize(
    ("validators", "votes"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (13, 9), (22, 15)]
)
def test_quorum_is_n_less_f(validators, votes):
    assert rules.quorum(validators) == votes


@pytest.mark.parametrize("validators", range(1, 129))
def test_two_quorums_share_an_honest_validator(validators):
    assert 2 * rules.quorum(validators) - validators > rules.faults_tolerated(validators)


def test_a_transaction_with_cosigners_passes():
    data = transaction(1, cosigners=[(signing_key("a"), b"s" * 64), (signing_key("b"), b"t" * 32)])
    assert checked(data) == decode_transaction(data)


def test_a_transaction_of_another_chain():
    with pytest.raises(InvalidTransactionError, match="chain"):
        checked(transaction(1, chain=OTHER))


@pytest.mark.parametrize(
    "change", [{"args": b"other"}, {"expiry_ms": NOW}, {"unique": b"u" * 16}, {"method": "test.get"}]
)
def test_every_signed_field_of_a_transaction_is_covered(change):
    with pytest.raises(InvalidTransactionError, match="sender"):
        checked(encode_transaction(replace(decode_transaction(transaction(1)), **change)))


def test_a_cosigner_with_a_wrong_signature():
    tx = decode_transaction(transaction(1, cosigners=[(signing_key("a"), b"s" * 32)]))
    wrong = replace(tx.cosigners[0], signature=Signature(bytes(64)))
    with pytest.raises(InvalidTransactionError, match=tx.cosigners[0].key.hex()):
        checked(encode_transaction(replace(tx, cosigners=(wrong,))))


def test_bytes_that_are_no_transaction():
    with pytest.raises(DecodeError):
        checked(transaction(1) + b"\0")


def test_a_chain_of_valid_blocks():
    head, history = genesis_state(GENESIS), Frontier()
    for number in range(1, 6):
        history = history.append(head.block_hash)
        final, after = final_on(GENESIS, head, [transaction(number)], [receipt(number)])
        check_final(final, head, verify)
        assert len(check_body(final.block, checked, never)) == 1
        check_execution(final.block, STATE, [receipt(number)], head.validators)
        assert final.block.header.history_root == history.root()
        assert after.header.height == number
        head = after


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"chain": OTHER}, "chain"),
        ({"height": 3}, "height"),
        ({"height": 1}, "height"),
        ({"previous": OTHER}, "previous hash"),
        ({"timestamp_ms": NOW}, "timestamp"),
        ({"proposer": PublicKey(OTHER)}, "proposer"),
        ({"history_root": OTHER}, "history root"),
        ({"validators_hash": OTHER}, "validators hash"),
    ],
)
def test_every_field_of_a_header_is_checked(head, change, named):
    header = block_on(head, [transaction(2)], [receipt(2)]).header
    check_header(header, head)
    with pytest.raises(InvalidBlockError, match=named):
        check_header(replace(header, **change), head)


def test_a_block_without_transactions(head):
    with pytest.raises(InvalidBlockError, match="at least one"):
        check_body(block_on(head, [], []), checked, never)


def test_a_block_over_the_size(head):
    wide = [transaction(number, args=bytes(14_000)) for number in range(37)]
    block = block_on(head, wide, [receipt()] * 37)
    size = rules.BLOCK_OVERHEAD_BYTES + sum(rules.TX_OVERHEAD_BYTES + len(data) for data in wide)
    assert size == len(encode_block(block)) > BLOCK_BYTES_MAX
    with pytest.raises(InvalidBlockError, match="bytes"):
        check_body(block, checked, never)
    check_body(block_on(head, wide[:36], [receipt()] * 36), checked, never)


def test_transactions_other_than_the_root_says(head):
    block = block_on(head, [transaction(2), transaction(3)], [receipt()] * 2)
    with pytest.raises(InvalidBlockError, match="transactions root"):
        check_body(replace(block, txs=block.txs[::-1]), checked, never)


def test_the_same_transaction_twice_in_a_block(head):
    with pytest.raises(InvalidBlockError, match="got it again"):
        check_body(block_on(head, [transaction(2)] * 2, [receipt()] * 2), checked, never)


def test_a_transaction_of_an_earlier_block(head):
    data = transaction(1)
    with pytest.raises(InvalidBlockError, match="got it again"):
        check_body(
            block_on(head, [data], [receipt()]), checked, {transaction_id(decode_transaction(data))}.__contains__
        )


def test_an_invalid_transaction_makes_the_block_invalid(head):
    with pytest.raises(InvalidTransactionError):
        check_body(block_on(head, [transaction(2, chain=OTHER)], [receipt()]), checked, never)


@pytest.mark.parametrize(("expiry_ms", "includable"), [(-1, False), (0, True), (3_600_000, True), (3_600_001, False)])
def test_expiry_is_judged_by_block_time(head, expiry_ms, includable):
    block = block_on(head, [transaction(2, expiry_ms=NOW + 5 + expiry_ms)], [receipt()], timestamp_ms=NOW + 5)
    if includable:
        check_body(block, checked, never)
    else:
        with pytest.raises(InvalidBlockError, match="expiry"):
            check_body(block, checked, never)


def test_what_execution_did_is_in_the_header(head):
    block = block_on(head, [transaction(2)], [receipt(2)])
    with pytest.raises(InvalidBlockError, match="to fit"):
        check_execution(block, STATE, [], head.validators)
    with pytest.raises(InvalidBlockError, match="state root"):
        check_execution(block, OTHER, [receipt(2)], head.validators)
    with pytest.raises(InvalidBlockError, match="receipts root"):
        check_execution(block, STATE, [receipt(3)], head.validators)
    with pytest.raises(InvalidBlockError, match="next validators"):
        check_execution(block, STATE, [receipt(2)], head.validators[1:])


def test_gas_of_a_block_is_bounded(head):
    receipts = [replace(receipt(), gas=1_000_000)] * 4
    block = block_on(head, [transaction(number) for number in range(4)], receipts)
    with pytest.raises(InvalidBlockError, match="gas"):
        check_execution(block, STATE, receipts, head.validators)


def subject(**change):
    return replace(certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, OTHER), **change)


def test_certificates_of_every_kind():
    for kind, voted in ((VoteKind.NOTARIZE, OTHER), (VoteKind.NULLIFY, NO_BLOCK), (VoteKind.FINALIZE, OTHER)):
        for signers in ((0, 1, 2), (1, 2, 3), (0, 1, 2, 3)):
            check_certificate(
                certificate(GENESIS, kind, 2, 1, voted, signers=signers), GENESIS.validators(), CHAIN, verify
            )


@pytest.mark.parametrize(
    "wrong",
    [
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, OTHER, signers=(0, 1)),
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, OTHER, signers=()),
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 0, OTHER),
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, NO_BLOCK),
        certificate(GENESIS, VoteKind.NULLIFY, 2, 1, OTHER),
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, OTHER, signers=(0, 2, 1)),
        certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, OTHER, signers=(0, 1, 1)),
        subject(signers=(0, 1, 4)),
        subject(signers=(1, 2, 3)),
        subject(signers=(-1, 0, 1)),
        subject(height=3),
        subject(view=2),
        subject(block_hash=STATE),
        subject(kind=VoteKind.FINALIZE),
        subject(signatures=subject().signatures[:2]),
        subject(signatures=(*subject().signatures[:2], Signature(bytes(64)))),
    ],
)
def test_a_certificate_that_is_no_quorum(wrong):
    with pytest.raises(InvalidCertificateError):
        check_certificate(wrong, GENESIS.validators(), CHAIN, verify)


def test_only_a_finalize_certificate_of_this_block_makes_it_final(head):
    final, after = final_on(GENESIS, head, [transaction(2)], [receipt()])
    notarized = certificate(GENESIS, VoteKind.NOTARIZE, 2, 1, after.block_hash)
    other_block = certificate(GENESIS, VoteKind.FINALIZE, 2, 1, OTHER)
    other_height = certificate(GENESIS, VoteKind.FINALIZE, 3, 1, after.block_hash)
    for wrong in (None, notarized, other_block, other_height):
        with pytest.raises(InvalidCertificateError):
            check_final(FinalBlock(block=final.block, certificate=wrong), head, verify)


def test_the_genesis_header_is_fixed():
    header = genesis_state(GENESIS).header
    assert (header.height, header.timestamp_ms, header.previous) == (0, Millis(0), NO_BLOCK)
    assert header.validators_hash == header.next_validators_hash
