"""Bytes of headers, blocks, votes, certificates and proposals."""

import functools
import hashlib
import itertools
from collections.abc import Iterable

from ledger.encoding.limits import BLOCK_BYTES_MAX, TX_BYTES_MAX, VALIDATORS_MAX, VIEWS_AHEAD_MAX
from ledger.encoding.wire import Reader, Writer
from ledger.encoding.words import WORD_BYTES, digest, read_uint, split_words, statement
from ledger.errors import DecodeError
from ledger.types import (
    NO_BLOCK,
    Block,
    BlockHash,
    Certificate,
    ChainId,
    Digest,
    Header,
    Height,
    Millis,
    Proposal,
    PublicKey,
    Signature,
    View,
    Vote,
    VoteKind,
)

_BLOCK = "ledger/block/1"
_HEADER_WORDS = 12
_HEADER_BYTES = _HEADER_WORDS * WORD_BYTES
_CERTIFICATE_BYTES_MAX = 64 + VALIDATORS_MAX * (2 + 64)


def encode_header(header: Header) -> bytes:
    """Encode a header as its statement."""
    return statement(
        _BLOCK,
        header.chain,
        header.height,
        header.previous,
        header.timestamp_ms,
        header.proposer,
        header.tx_root,
        header.receipts_root,
        header.state_root,
        header.history_root,
        header.validators_hash,
        header.next_validators_hash,
    )


def decode_header(data: bytes) -> Header:
    """Decode a header.

    Raises:
        DecodeError: not a header's statement.
    """
    words = split_words(data, _BLOCK, _HEADER_WORDS)
    return Header(
        chain=ChainId(words[0]),
        height=Height(read_uint(words[1], 64)),
        previous=BlockHash(words[2]),
        timestamp_ms=Millis(read_uint(words[3], 64)),
        proposer=PublicKey(words[4]),
        tx_root=Digest(words[5]),
        receipts_root=Digest(words[6]),
        state_root=Digest(words[7]),
        history_root=Digest(words[8]),
        validators_hash=Digest(words[9]),
        next_validators_hash=Digest(words[10]),
    )


@functools.lru_cache(maxsize=256)
def block_hash(header: Header) -> BlockHash:
    """SHA-256 of the header's statement; asked for some twenty times for each block that is decided."""
    return BlockHash(hashlib.sha256(encode_header(header)).digest())


def validators_hash(keys: Iterable[PublicKey]) -> Digest:
    """Digest of a validator set's keys, ascending."""
    return digest("ledger/validators/1", *sorted(keys))


def encode_block(block: Block) -> bytes:
    """Encode a block: header, then the transactions as transmitted."""
    writer = Writer().fixed(encode_header(block.header), _HEADER_BYTES).uint(len(block.txs), 4)
    for tx in block.txs:
        writer.blob(tx)
    return writer.bytes()


def decode_block(data: bytes) -> Block:
    """Decode a block; its transactions stay bytes.

    Raises:
        DecodeError: not the encoding of a block, or over the limit.
    """
    if len(data) > BLOCK_BYTES_MAX:
        raise DecodeError(f"block: expected at most {BLOCK_BYTES_MAX} bytes, got {len(data)}")
    reader = Reader(data, "block")
    header = decode_header(reader.fixed(_HEADER_BYTES))
    txs = reader.items(BLOCK_BYTES_MAX // 200, lambda: reader.blob(TX_BYTES_MAX))
    reader.end()
    return Block(header=header, txs=txs)


def vote_statement(chain: ChainId, kind: VoteKind, height: Height, view: View, voted: BlockHash) -> bytes:
    """What a vote and each signature of a certificate sign."""
    return statement("ledger/vote/1", chain, int(kind), height, view, voted)


def encode_vote(vote: Vote) -> bytes:
    """Encode a vote."""
    return (
        Writer()
        .uint(vote.kind, 1)
        .uint(vote.height, 8)
        .uint(vote.view, 4)
        .fixed(vote.block_hash, 32)
        .uint(vote.signer, 2)
        .fixed(vote.signature, 64)
        .bytes()
    )


def decode_vote(data: bytes) -> Vote:
    """Decode a vote.

    Raises:
        DecodeError: not the encoding of a vote.
    """
    reader = Reader(data, "vote")
    kind, height, view, voted = _take_subject(reader)
    vote = Vote(
        kind=kind,
        height=height,
        view=view,
        block_hash=voted,
        signer=reader.uint(2),
        signature=Signature(reader.fixed(64)),
    )
    reader.end()
    return vote


def _take_subject(reader: Reader) -> tuple[VoteKind, Height, View, BlockHash]:
    number = reader.uint(1)
    if number not in (1, 2, 3):
        raise DecodeError(f"vote kind: expected 1, 2 or 3, got {number}")
    kind, height, view = VoteKind(number), Height(reader.uint(8)), View(reader.uint(4))
    voted = BlockHash(reader.fixed(32))
    if view == 0:
        raise DecodeError("view: expected 1 or more, got 0")
    if (voted == NO_BLOCK) != (kind is VoteKind.NULLIFY):
        raise DecodeError(f"block hash: expected zero for NULLIFY only, got {voted.hex()} for {kind.name}")
    return kind, height, view, voted


def encode_certificate(certificate: Certificate) -> bytes:
    """Encode a certificate."""
    writer = (
        Writer()
        .uint(certificate.kind, 1)
        .uint(certificate.height, 8)
        .uint(certificate.view, 4)
        .fixed(certificate.block_hash, 32)
    )
    writer.uint(len(certificate.signers), 4)
    for signer in certificate.signers:
        writer.uint(signer, 2)
    for signature in certificate.signatures:
        writer.fixed(signature, 64)
    return writer.bytes()


def decode_certificate(data: bytes) -> Certificate:
    """Decode a certificate; whether it is a quorum is `ledger.chain`'s business.

    Raises:
        DecodeError: not the encoding of a certificate.
    """
    reader = Reader(data, "certificate")
    kind, height, view, voted = _take_subject(reader)
    signers = reader.items(VALIDATORS_MAX, lambda: reader.uint(2))
    if any(a >= b for a, b in itertools.pairwise(signers)):
        raise DecodeError(f"certificate: expected ascending signers, got {signers}")
    signatures = tuple(Signature(reader.fixed(64)) for _ in signers)
    reader.end()
    return Certificate(
        kind=kind,
        height=height,
        view=view,
        block_hash=voted,
        signers=signers,
        signatures=signatures,
    )


def proposal_statement(chain: ChainId, height: Height, view: View, proposed: BlockHash, base: View) -> bytes:
    """What a leader signs."""
    return statement("ledger/proposal/1", chain, height, view, proposed, base)


def encode_proposal(proposal: Proposal) -> bytes:
    """Encode a proposal."""
    writer = (
        Writer()
        .uint(proposal.height, 8)
        .uint(proposal.view, 4)
        .blob(encode_block(proposal.block))
        .uint(proposal.base, 4)
    )
    writer.uint(len(proposal.justification), 4)
    for certificate in proposal.justification:
        writer.blob(encode_certificate(certificate))
    return writer.fixed(proposal.signature, 64).bytes()


def decode_proposal(data: bytes) -> Proposal:
    """Decode a proposal.

    Raises:
        DecodeError: not the encoding of a proposal.
    """
    reader = Reader(data, "proposal")
    proposal = Proposal(
        height=Height(reader.uint(8)),
        view=View(reader.uint(4)),
        block=decode_block(reader.blob(BLOCK_BYTES_MAX)),
        base=View(reader.uint(4)),
        justification=reader.items(
            VIEWS_AHEAD_MAX + 1, lambda: decode_certificate(reader.blob(_CERTIFICATE_BYTES_MAX))
        ),
        signature=Signature(reader.fixed(64)),
    )
    reader.end()
    return proposal
