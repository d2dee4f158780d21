"""The chain's own encodings (docs/protocol.md 1.2)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.encoding import (
    decode_block,
    decode_certificate,
    decode_header,
    decode_proposal,
    decode_receipt,
    decode_transaction,
    decode_vote,
    encode_block,
    encode_certificate,
    encode_header,
    encode_proposal,
    encode_receipt,
    encode_transaction,
    encode_vote,
    transaction_id,
)
from ledger.errors import DecodeError
from ledger.types import Block, Height, Proposal, Signature, View
from tests.fuzz.target import Target, codec, expect
from tests.support.chains import receipt

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "query.json").read_text(encoding="ascii"))
LENGTHS = tuple(length.to_bytes(4, "big") for length in (0, 1, 8, 31, 32, 64, 65, 128, 129, 2621, 512 << 10, 1 << 31))
REFUSED = (DecodeError,)


def real_header() -> bytes:
    return bytes.fromhex(VECTORS["block"]["header"])


def real_transactions() -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(each["bytes"]) for each in VECTORS["transactions"].values())


def real_receipts() -> tuple[bytes, ...]:
    """One without and one with an event and a reason."""
    told = replace(receipt(), reason="WRONG_STATE")
    return bytes.fromhex(VECTORS["block"]["receipts"][0]), encode_receipt(told)


def real_block() -> Block:
    return Block(header=decode_header(real_header()), txs=real_transactions())


def real_vote() -> bytes:
    return bytes.fromhex(VECTORS["block"]["vote"])


def real_certificate() -> bytes:
    return bytes.fromhex(VECTORS["block"]["certificate"])


def real_proposals() -> tuple[Proposal, ...]:
    """One in a first view, and one that says why it is a later one."""
    certificate = decode_certificate(real_certificate())
    signature = Signature(bytes(64))
    block = Block(header=real_block().header, txs=real_transactions()[:1])
    height = Height(41)
    return (
        Proposal(height=height, view=View(1), block=block, base=View(0), justification=(), signature=signature),
        Proposal(
            height=height,
            view=View(3),
            block=block,
            base=View(1),
            justification=(certificate,) * 2,
            signature=signature,
        ),
    )


def header() -> Target:
    return Target(
        check=codec(decode_header, encode_header, REFUSED),
        seeds=(real_header(),),
        words=(b"ledger/block/1",),
        size_max=512,
    )


def block() -> Target:
    small = Block(header=real_block().header, txs=(b"", b"a transaction"))
    return Target(
        check=codec(decode_block, encode_block, REFUSED),
        seeds=(encode_block(small), encode_block(real_block())),
        words=LENGTHS,
        size_max=16 << 10,
    )


def vote() -> Target:
    return Target(check=codec(decode_vote, encode_vote, REFUSED), seeds=(real_vote(),), size_max=256)


def certificate() -> Target:
    return Target(
        check=codec(decode_certificate, encode_certificate, REFUSED),
        seeds=(real_certificate(),),
        words=LENGTHS,
        size_max=10 << 10,
    )


def proposal() -> Target:
    return Target(
        check=codec(decode_proposal, encode_proposal, REFUSED),
        seeds=tuple(map(encode_proposal, real_proposals())),
        words=LENGTHS,
        size_max=16 << 10,
    )


def transaction() -> Target:
    canonical = codec(decode_transaction, encode_transaction, REFUSED)

    def check(data: bytes) -> None:
        canonical(data)
        try:
            tx = decode_transaction(data)
        except DecodeError:
            return
        expect(len(transaction_id(tx)) == 32, "expected an id of everything that decodes")

    return Target(check=check, seeds=real_transactions(), words=LENGTHS, size_max=17 << 10)


def execution_receipt() -> Target:
    return Target(
        check=codec(decode_receipt, encode_receipt, REFUSED),
        seeds=real_receipts(),
        words=LENGTHS,
        size_max=4 << 10,
    )
