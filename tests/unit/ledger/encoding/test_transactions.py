"""Bytes of transactions and receipts that have no meaning are refused."""

from dataclasses import replace

import pytest

from ledger.encoding import COSIGNERS_MAX, decode_receipt, decode_transaction, encode_receipt, encode_transaction
from ledger.errors import DecodeError
from ledger.types import Address, ChainId, Cosignature, Log, Millis, PublicKey, Receipt, Signature, Transaction

COSIGNED = Cosignature(key=PublicKey(bytes([2] * 32)), statement=bytes(64), signature=Signature(bytes([3] * 64)))
TX = Transaction(
    chain=ChainId(bytes([1] * 32)),
    sender=PublicKey(bytes([4] * 32)),
    expiry_ms=Millis(5),
    unique=bytes([6] * 16),
    method="a.b",
    args=b"xy",
    cosigners=(COSIGNED,),
    signature=Signature(bytes([7] * 64)),
)
RECEIPT = Receipt(ok=True, gas=1, reason="", logs=(Log(address=Address(bytes(20)), topics=(bytes(32),), data=b"d"),))


def test_a_transaction_has_its_documented_bytes():
    cosigned = bytes([2] * 32) + bytes([0, 0, 0, 64]) + bytes(64) + bytes([3] * 64)
    called = bytes([3]) + b"a.b" + bytes([0, 0, 0, 2]) + b"xy"
    expected = bytes([1] * 32) + bytes([4] * 32) + bytes(7) + b"\5" + bytes([6] * 16) + called
    assert encode_transaction(TX) == expected + bytes([0, 0, 0, 1]) + cosigned + bytes([7] * 64)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 63])
def test_a_cosigned_statement_has_whole_words(size):
    broken = replace(COSIGNED, statement=bytes(size))
    with pytest.raises(DecodeError, match=f"expected a statement of whole words, got {size} bytes"):
        decode_transaction(encode_transaction(replace(TX, cosigners=(broken,))))


def test_more_cosigners_than_a_committee_has_are_refused():
    with pytest.raises(DecodeError, match="expected at most 8 items, got 9"):
        decode_transaction(encode_transaction(replace(TX, cosigners=(COSIGNED,) * (COSIGNERS_MAX + 1))))


@pytest.mark.parametrize("status", [2, 255])
def test_a_receipt_is_ok_or_not(status):
    with pytest.raises(DecodeError, match=f"expected status 0 or 1, got {status}"):
        decode_receipt(bytes([status]) + encode_receipt(RECEIPT)[1:])


def test_a_log_has_at_most_four_topics():
    five = replace(RECEIPT, logs=(replace(RECEIPT.logs[0], topics=(bytes(32),) * 5),))
    with pytest.raises(DecodeError, match="expected at most 4 items, got 5"):
        decode_receipt(encode_receipt(five))
