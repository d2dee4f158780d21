"""Keys, transactions and chains for the ledger's tests: small, deterministic, signed for real."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from ledger.chain import Head, build_header, genesis_head, quorum
from ledger.encoding import encode_transaction, transaction_statement, vote_statement
from ledger.types import (
    Address,
    Block,
    BlockHash,
    Certificate,
    ChainId,
    Cosignature,
    Digest,
    EpochRecord,
    FinalBlock,
    Genesis,
    Header,
    Height,
    Log,
    MemberRecord,
    Millis,
    PublicKey,
    Receipt,
    Signature,
    Transaction,
    Validator,
    View,
    VoteKind,
)

CHAIN = ChainId(hashlib.sha256(b"a consortium document").digest())
NOW = Millis(1_800_000_000_000)
STATE = Digest(hashlib.sha256(b"a state").digest())


def signing_key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


def public_key(key: SigningKey) -> PublicKey:
    return PublicKey(bytes(key.verify_key))


def sign(key: SigningKey, statement: bytes) -> Signature:
    return Signature(key.sign(statement).signature)


def verify(key: PublicKey, statement: bytes, signature: Signature) -> bool:
    try:
        VerifyKey(key).verify(statement, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def member_key(index: int) -> SigningKey:
    return signing_key(f"identity {index}")


def vote_key(index: int) -> SigningKey:
    return signing_key(f"vote {index}")


def genesis_of(members: int, validators: int | None = None) -> Genesis:
    """Members 0 … n - 1, each its own company; the first `validators` of them vote."""
    return Genesis(
        chain=CHAIN,
        companies=tuple(f"company {index}" for index in range(members)),
        members=tuple(
            MemberRecord(
                name=f"member-{index}",
                company=index,
                roles=1 | 2 | 4,
                identity=public_key(member_key(index)),
                vote_key=public_key(vote_key(index)) if index < (validators or members) else None,
                classes=1,
            )
            for index in range(members)
        ),
        models=(),
        inquirers=(),
        epoch=EpochRecord(epoch=1, audit_key=b"\x01" * 32, archive_key=b"\x02" * 32),
    )


def transaction(
    number: int,
    *,
    sender: int = 0,
    expiry_ms: int = NOW + 60_000,
    method: str = "test.put",
    args: bytes | None = None,
    cosigners: Sequence[tuple[SigningKey, bytes]] = (),
    chain: bytes = CHAIN,
) -> bytes:
    """A signed transaction; equal arguments give equal bytes."""
    key = member_key(sender)
    tx = Transaction(
        chain=ChainId(chain),
        sender=public_key(key),
        expiry_ms=Millis(expiry_ms),
        unique=number.to_bytes(16, "big"),
        method=method,
        args=number.to_bytes(32, "big") if args is None else args,
        cosigners=tuple(
            Cosignature(key=public_key(cosigner), statement=stated, signature=sign(cosigner, stated))
            for cosigner, stated in cosigners
        ),
        signature=Signature(bytes(64)),
    )
    return encode_transaction(replace(tx, signature=sign(key, transaction_statement(tx))))


def receipt(number: int = 0) -> Receipt:
    data = number.to_bytes(32, "big")
    log = Log(address=Address(bytes(18) + b"\x01\x01"), topics=(hashlib.sha256(data).digest(),), data=data)
    return Receipt(ok=True, gas=21_000, reason="", logs=(log,))


def certificate(
    genesis: Genesis, kind: VoteKind, height: int, view: int, voted: bytes, *, signers: Sequence[int] | None = None
) -> Certificate:
    """A certificate of the genesis set, by default of its first quorum."""
    return certificate_of(genesis.chain, genesis.validators(), kind, height, view, voted, signers=signers)


def certificate_of(  # noqa: PLR0917 - a vote's fields, in its order
    chain: ChainId,
    validators: Sequence[Validator],
    kind: VoteKind,
    height: int,
    view: int,
    voted: bytes,
    *,
    signers: Sequence[int] | None = None,
) -> Certificate:
    """A certificate of a set whose keys are `vote_key(replica)`, by default of its first quorum."""
    chosen = tuple(range(quorum(len(validators)))) if signers is None else tuple(signers)
    stated = vote_statement(chain, kind, Height(height), View(view), BlockHash(voted))
    return Certificate(
        kind=kind,
        height=Height(height),
        view=View(view),
        block_hash=BlockHash(voted),
        signers=chosen,
        signatures=tuple(sign(vote_key(validators[signer].replica), stated) for signer in chosen),
    )


def finalize(genesis: Genesis, header: Header, decided: BlockHash, view: int = 1) -> Certificate:
    return certificate(genesis, VoteKind.FINALIZE, header.height, view, decided)


def genesis_state(genesis: Genesis, state_root: Digest = STATE) -> Head:
    return genesis_head(genesis.chain, state_root, genesis.validators())


def block_on(
    head: Head,
    txs: Sequence[bytes],
    receipts: Sequence[Receipt],
    *,
    state_root: Digest = STATE,
    timestamp_ms: int | None = None,
) -> Block:
    """A valid block on `head` by its first validator."""
    header = build_header(
        head,
        timestamp_ms=Millis(max(NOW, head.header.timestamp_ms + 1) if timestamp_ms is None else timestamp_ms),
        proposer=head.validators[0].key,
        txs=txs,
        state_root=state_root,
        receipts=receipts,
        validators=head.validators,
    )
    return Block(header=header, txs=tuple(txs))


def final_on(
    genesis: Genesis, head: Head, txs: Sequence[bytes], receipts: Sequence[Receipt]
) -> tuple[FinalBlock, Head]:
    """A final block on `head`, and the head after it."""
    block = block_on(head, txs, receipts)
    after = head.follow(block.header, head.validators)
    return FinalBlock(block=block, certificate=finalize(genesis, block.header, after.block_hash)), after
