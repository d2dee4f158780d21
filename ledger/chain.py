"""What makes a transaction, a block and a certificate valid on a given head; pure functions of their arguments.

A block is valid iff `check_header`, `check_body` and, after its transactions were executed, `check_execution` pass.
Whether its timestamp is close to the clock is asked only of fresh proposals, and not here: a block proposed again in a
later view keeps its old timestamp.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from ledger import merkle
from ledger.encoding import (
    BLOCK_BYTES_MAX,
    BLOCK_GAS_MAX,
    EXPIRY_AHEAD_MS_MAX,
    block_hash,
    decode_transaction,
    encode_receipt,
    transaction_id,
    transaction_statement,
    validators_hash,
    vote_statement,
)
from ledger.errors import InvalidBlockError, InvalidCertificateError, InvalidTransactionError
from ledger.merkle import Frontier
from ledger.types import (
    NO_BLOCK,
    Block,
    BlockHash,
    Certificate,
    ChainId,
    Digest,
    FinalBlock,
    Header,
    Height,
    Millis,
    PublicKey,
    Receipt,
    Signature,
    Transaction,
    TxId,
    Validator,
    VoteKind,
)

Verify = Callable[[PublicKey, bytes, Signature], bool]
"""Is this an Ed25519 signature of the key over the statement? Never raises."""

BLOCK_OVERHEAD_BYTES = 12 * 32 + 4
"""Encoded size of a block without its transactions."""

TX_OVERHEAD_BYTES = 4
"""What a transaction adds to a block beside its own bytes."""


def faults_tolerated(validators: int) -> int:
    """How many of so many validators may be faulty: f = floor((n - 1) / 3)."""
    return (validators - 1) // 3


def quorum(validators: int) -> int:
    """Votes that make a certificate: q = n - f, so any two quorums share an honest validator."""
    return validators - faults_tolerated(validators)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest final block, with everything that is needed to judge the next one."""

    header: Header
    block_hash: BlockHash
    history: Frontier
    """Block hashes of heights 0 to this one."""
    validators: tuple[Validator, ...]
    """Set that decides the next height, sorted by key."""
    handovers: tuple[Height, ...] = ()
    """Heights of the blocks up to this one after which another set decides."""

    def follow(self, header: Header, validators: tuple[Validator, ...]) -> Self:
        """Return the head after `header`, whose execution named the set of the height after it.

        Raises:
            InvalidBlockError: the header names another set.
        """
        decided = block_hash(header)
        changed = hands_over(header)
        if changed or validators != self.validators:
            _equal("next validators hash", header.next_validators_hash, _keys_hash(validators))
        return type(self)(
            header=header,
            block_hash=decided,
            history=self.history.append(decided),
            validators=validators,
            handovers=(*self.handovers, header.height) if changed else self.handovers,
        )


def hands_over(header: Header) -> bool:
    """Whether another set decides the height after this block."""
    return header.next_validators_hash != header.validators_hash


def genesis_head(chain: ChainId, state_root: Digest, validators: tuple[Validator, ...]) -> Head:
    """Return the head of a chain that has only its genesis block."""
    keys = validators_hash(validator.key for validator in validators)
    header = Header(
        chain=chain,
        height=Height(0),
        previous=NO_BLOCK,
        timestamp_ms=Millis(0),
        proposer=PublicKey(bytes(32)),
        tx_root=merkle.EMPTY_ROOT,
        receipts_root=merkle.EMPTY_ROOT,
        state_root=state_root,
        history_root=merkle.EMPTY_ROOT,
        validators_hash=keys,
        next_validators_hash=keys,
    )
    decided = block_hash(header)
    return Head(header=header, block_hash=decided, history=Frontier().append(decided), validators=validators)


def check_transaction(data: bytes, chain: ChainId, verify: Verify) -> Transaction:
    """Decode a transaction and check all that needs no state: sizes, chain, every signature.

    Raises:
        DecodeError: not the encoding of a transaction.
        InvalidTransactionError: another chain, or a signature does not verify.
    """
    tx = decode_transaction(data)
    if tx.chain != chain:
        raise InvalidTransactionError(f"transaction: expected the chain {chain.hex()}, got {tx.chain.hex()}")
    if not verify(tx.sender, transaction_statement(tx), tx.signature):
        raise InvalidTransactionError(f"transaction: expected a signature of its sender {tx.sender.hex()}, got another")
    for cosigner in tx.cosigners:
        if not verify(cosigner.key, cosigner.statement, cosigner.signature):
            raise InvalidTransactionError(f"transaction: expected a signature of {cosigner.key.hex()}, got another")
    return tx


def is_includable(expiry_ms: Millis, timestamp_ms: Millis) -> bool:
    """Whether a block of that time may hold a transaction of that expiry."""
    return timestamp_ms <= expiry_ms <= timestamp_ms + EXPIRY_AHEAD_MS_MAX


def check_header(header: Header, head: Head) -> None:
    """Check that a header extends `head`; the roots of its content are not looked at.

    Raises:
        InvalidBlockError: naming the first field that is wrong.
    """
    parent = head.header
    _equal("chain", parent.chain, header.chain)
    _equal("height", parent.height + 1, header.height)
    _equal("previous hash", head.block_hash, header.previous)
    if header.timestamp_ms <= parent.timestamp_ms:
        raise InvalidBlockError(f"timestamp: expected one after {parent.timestamp_ms}, got {header.timestamp_ms}")
    if all(header.proposer != validator.key for validator in head.validators):
        raise InvalidBlockError(f"proposer: expected a validator, got {header.proposer.hex()}")
    _equal("history root", head.history.root(), header.history_root)
    _equal("validators hash", parent.next_validators_hash, header.validators_hash)


def check_body(
    block: Block, check: Callable[[bytes], Transaction], is_final: Callable[[TxId], bool]
) -> tuple[Transaction, ...]:
    """Check a block's transactions and return them.

    Args:
        block: its header has passed `check_header`.
        check: stateless check of one transaction, `check_transaction` or a cache of it.
        is_final: whether an earlier block holds a transaction of that id.

    Raises:
        InvalidError: empty, too large, another root, or a transaction that may not be in this block.
    """
    if not block.txs:
        raise InvalidBlockError("transactions: expected at least one, got none")
    size = BLOCK_OVERHEAD_BYTES + sum(TX_OVERHEAD_BYTES + len(data) for data in block.txs)
    if size > BLOCK_BYTES_MAX:
        raise InvalidBlockError(f"block: expected at most {BLOCK_BYTES_MAX} bytes, got {size}")
    _equal("transactions root", merkle.root(block.txs), block.header.tx_root)
    seen: set[TxId] = set()
    txs = tuple(check(data) for data in block.txs)
    for tx in txs:
        tx_id = transaction_id(tx)
        if not is_includable(tx.expiry_ms, block.header.timestamp_ms):
            raise InvalidBlockError(
                f"transaction {tx_id.hex()}: expected an expiry of {block.header.timestamp_ms} to "
                f"{block.header.timestamp_ms + EXPIRY_AHEAD_MS_MAX}, got {tx.expiry_ms}"
            )
        if tx_id in seen or is_final(tx_id):
            raise InvalidBlockError(f"transaction {tx_id.hex()}: expected it in no block so far, got it again")
        seen.add(tx_id)
    return txs


def check_execution(
    block: Block, state_root: Digest, receipts: Sequence[Receipt], validators: Sequence[Validator]
) -> None:
    """Check that a block's header commits to what executing its transactions did.

    Raises:
        InvalidBlockError: another root, more gas than a block may use, or transactions that no longer fit it.
    """
    header = block.header
    if len(receipts) != len(block.txs):
        raise InvalidBlockError(f"execution: expected {len(block.txs)} transactions to fit, got {len(receipts)}")
    gas = sum(receipt.gas for receipt in receipts)
    if gas > BLOCK_GAS_MAX:
        raise InvalidBlockError(f"gas: expected at most {BLOCK_GAS_MAX} in a block, got {gas}")
    _equal("state root", state_root, header.state_root)
    _equal("receipts root", receipts_root(receipts), header.receipts_root)
    _equal("next validators hash", _keys_hash(validators), header.next_validators_hash)


def build_header(
    head: Head,
    *,
    timestamp_ms: Millis,
    proposer: PublicKey,
    txs: Sequence[bytes],
    state_root: Digest,
    receipts: Sequence[Receipt],
    validators: Sequence[Validator],
) -> Header:
    """Return the header of a block on `head` with these transactions and what executing them did."""
    return Header(
        chain=head.header.chain,
        height=Height(head.header.height + 1),
        previous=head.block_hash,
        timestamp_ms=timestamp_ms,
        proposer=proposer,
        tx_root=merkle.root(txs),
        receipts_root=receipts_root(receipts),
        state_root=state_root,
        history_root=head.history.root(),
        validators_hash=head.header.next_validators_hash,
        next_validators_hash=_keys_hash(validators),
    )


def receipts_root(receipts: Sequence[Receipt]) -> Digest:
    """Merkle root over the receipts' encodings."""
    return merkle.root([encode_receipt(receipt) for receipt in receipts])


def check_certificate(
    certificate: Certificate, validators: Sequence[Validator], chain: ChainId, verify: Verify
) -> None:
    """Check that a certificate is a quorum of valid votes of `validators`.

    Raises:
        InvalidCertificateError: it is not.
    """
    _check_votes(certificate, [validator.key for validator in validators], chain, verify)


def _check_votes(certificate: Certificate, keys: Sequence[PublicKey], chain: ChainId, verify: Verify) -> None:
    signers = certificate.signers
    if len(signers) < quorum(len(keys)) or len(signers) != len(certificate.signatures):
        raise InvalidCertificateError(
            f"certificate: expected a signature for each of at least {quorum(len(keys))} signers, "
            f"got {len(certificate.signatures)} for {len(signers)}"
        )
    if list(signers) != sorted(set(signers)) or signers[0] < 0 or signers[-1] >= len(keys):
        raise InvalidCertificateError(f"certificate: expected ascending signers below {len(keys)}, got {signers}")
    if certificate.view < 1 or (certificate.kind is VoteKind.NULLIFY) != (certificate.block_hash == NO_BLOCK):
        raise InvalidCertificateError(
            f"certificate: expected a view from 1 and a block hash unless it nullifies, got {certificate.kind.name} "
            f"of {certificate.block_hash.hex()} in view {certificate.view}"
        )
    voted = vote_statement(chain, certificate.kind, certificate.height, certificate.view, certificate.block_hash)
    for signer, signature in zip(signers, certificate.signatures, strict=True):
        if not verify(keys[signer], voted, signature):
            raise InvalidCertificateError(f"certificate: expected a vote of signer {signer}, got another signature")


def check_final(final: FinalBlock, head: Head, verify: Verify) -> None:
    """Check that a block extends `head` and that its certificate makes it final; its content is not looked at.

    Raises:
        InvalidBlockError: it does not extend the head.
        InvalidCertificateError: nothing makes it final.
    """
    check_header(final.block.header, head)
    check_finality(final.certificate, final.block.header, head.validators, verify)


def check_finality(
    certificate: Certificate | None, header: Header, validators: Sequence[Validator], verify: Verify
) -> None:
    """Check that a certificate makes exactly this header final.

    Raises:
        InvalidCertificateError: it does not.
    """
    check_decided(certificate, header, [validator.key for validator in validators], verify)


def check_decided(certificate: Certificate | None, header: Header, keys: Sequence[PublicKey], verify: Verify) -> None:
    """Check that a certificate of the set with these vote keys, ascending, makes exactly this header final.

    Raises:
        InvalidCertificateError: it does not.
    """
    decided = block_hash(header)
    if certificate is None or certificate.kind is not VoteKind.FINALIZE:
        found = "none" if certificate is None else certificate.kind.name
        raise InvalidCertificateError(f"certificate: expected FINALIZE, got {found}")
    if (certificate.height, certificate.block_hash) != (header.height, decided):
        raise InvalidCertificateError(
            f"certificate: expected height {header.height} and block {decided.hex()}, "
            f"got {certificate.height} and {certificate.block_hash.hex()}"
        )
    _check_votes(certificate, keys, header.chain, verify)


def _keys_hash(validators: Sequence[Validator]) -> Digest:
    return validators_hash(validator.key for validator in validators)


def _equal(what: str, expected: bytes | int, got: bytes | int) -> None:
    if expected != got:
        shown = [value.hex() if isinstance(value, bytes) else value for value in (expected, got)]
        raise InvalidBlockError(f"{what}: expected {shown[0]}, got {shown[1]}")
