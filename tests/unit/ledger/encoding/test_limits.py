"""A value that one limit admits never fails at the next."""

from dataclasses import replace

import pytest

from ledger.encoding import (
    ARGS_BYTES_MAX,
    BATCH_BYTES_MAX,
    BLOCK_BYTES_MAX,
    BLOCK_GAS_MAX,
    COSIGNERS_MAX,
    MESSAGE_BYTES_MAX,
    TX_BYTES_MAX,
    TX_GAS_MAX,
    VALIDATORS_MAX,
    VIEWS_AHEAD_MAX,
    decode_block,
    decode_certificate,
    decode_transaction,
    encode_block,
    encode_certificate,
    encode_proposal,
    encode_transaction,
)
from ledger.errors import DecodeError
from ledger.types import (
    Block,
    BlockHash,
    Certificate,
    ChainId,
    Cosignature,
    Digest,
    Header,
    Height,
    Millis,
    Proposal,
    PublicKey,
    Signature,
    Transaction,
    View,
    VoteKind,
)

END_STATEMENT_BYTES = 10 * 32
WIDEST_BOXES_BYTES = 12 * 1024
ABI_BYTES = 1024
"""Offsets, lengths and padding around the arguments of one call; a generous bound."""

ONE = bytes([1] * 32)
TX = Transaction(
    chain=ChainId(ONE),
    sender=PublicKey(ONE),
    expiry_ms=Millis(1),
    unique=bytes(16),
    method="queries.post_result",
    args=b"",
    signature=Signature(bytes(64)),
)
HEADER = Header(
    chain=ChainId(ONE),
    height=Height(1),
    previous=BlockHash(ONE),
    timestamp_ms=Millis(1),
    proposer=PublicKey(ONE),
    tx_root=Digest(ONE),
    receipts_root=Digest(ONE),
    state_root=Digest(ONE),
    history_root=Digest(ONE),
    validators_hash=Digest(ONE),
    next_validators_hash=Digest(ONE),
)
LARGEST_CERTIFICATE = Certificate(
    kind=VoteKind.NULLIFY,
    height=Height(1),
    view=View(1),
    block_hash=BlockHash(bytes(32)),
    signers=tuple(range(VALIDATORS_MAX)),
    signatures=(Signature(bytes(64)),) * VALIDATORS_MAX,
)


def largest_block() -> Block:
    empty = len(encode_block(Block(header=HEADER, txs=())))
    count = (BLOCK_BYTES_MAX - empty) // (4 + TX_BYTES_MAX)
    return Block(header=HEADER, txs=(bytes(TX_BYTES_MAX),) * count)


def test_each_size_fits_the_next():
    assert ARGS_BYTES_MAX < TX_BYTES_MAX < BLOCK_BYTES_MAX < BATCH_BYTES_MAX < MESSAGE_BYTES_MAX
    assert TX_GAS_MAX <= BLOCK_GAS_MAX


def test_a_transaction_holds_the_longest_arguments():
    full = encode_transaction(replace(TX, args=bytes(ARGS_BYTES_MAX), method="m" * 255))
    assert decode_transaction(full).args == bytes(ARGS_BYTES_MAX)
    with pytest.raises(DecodeError, match="expected at most 14336 bytes"):
        decode_transaction(encode_transaction(replace(TX, args=bytes(ARGS_BYTES_MAX + 1))))


def test_a_transaction_holds_the_result_of_the_largest_committee():
    end = Cosignature(key=PublicKey(ONE), statement=bytes(END_STATEMENT_BYTES), signature=Signature(bytes(64)))
    result = replace(TX, args=bytes(WIDEST_BOXES_BYTES), cosigners=(end,) * COSIGNERS_MAX)
    assert len(encode_transaction(result)) <= TX_BYTES_MAX
    assert WIDEST_BOXES_BYTES + ABI_BYTES <= ARGS_BYTES_MAX


def test_a_transaction_over_the_limit_is_refused():
    with pytest.raises(DecodeError, match="expected at most 16384 bytes, got 16385"):
        decode_transaction(bytes(TX_BYTES_MAX + 1))


def test_a_block_holds_thirty_transactions_of_the_largest_size():
    block = largest_block()
    assert len(block.txs) >= 30
    assert decode_block(encode_block(block)) == block


def test_a_block_over_the_limit_is_refused():
    with pytest.raises(DecodeError, match="expected at most 524288 bytes"):
        decode_block(bytes(BLOCK_BYTES_MAX + 1))


def test_a_batch_holds_the_largest_block_with_the_largest_certificate():
    assert len(encode_block(largest_block())) + len(encode_certificate(LARGEST_CERTIFICATE)) + 64 <= BATCH_BYTES_MAX


def test_a_message_holds_the_largest_proposal():
    proposal = Proposal(
        height=Height(1),
        view=View(VIEWS_AHEAD_MAX + 1),
        block=largest_block(),
        base=View(0),
        justification=(LARGEST_CERTIFICATE,) * (VIEWS_AHEAD_MAX + 1),
        signature=Signature(bytes(64)),
    )
    assert len(encode_proposal(proposal)) < MESSAGE_BYTES_MAX


def test_a_certificate_of_every_validator_is_read_and_of_one_more_is_not():
    assert decode_certificate(encode_certificate(LARGEST_CERTIFICATE)) == LARGEST_CERTIFICATE
    wider = replace(
        LARGEST_CERTIFICATE,
        signers=tuple(range(VALIDATORS_MAX + 1)),
        signatures=(Signature(bytes(64)),) * (VALIDATORS_MAX + 1),
    )
    with pytest.raises(DecodeError, match="expected at most 128 items"):
        decode_certificate(encode_certificate(wider))
