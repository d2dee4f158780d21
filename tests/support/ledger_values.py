"""Hypothesis strategies of the ledger's values: anything that has an encoding, sensible or not."""

from hypothesis import strategies as st

from ledger.types import (
    NO_BLOCK,
    Address,
    Block,
    BlockHash,
    Certificate,
    ChainId,
    Cosignature,
    Digest,
    Header,
    Height,
    Log,
    Millis,
    Proposal,
    PublicKey,
    Receipt,
    Signature,
    Transaction,
    View,
    Vote,
    VoteKind,
)

hashes = st.binary(min_size=32, max_size=32)
chains = hashes.map(ChainId)
digests = hashes.map(Digest)
keys = hashes.map(PublicKey)
block_hashes = hashes.map(BlockHash)
signatures = st.binary(min_size=64, max_size=64).map(Signature)
heights = st.integers(0, 2**64 - 1).map(Height)
views = st.integers(1, 2**32 - 1).map(View)
millis = st.integers(0, 2**64 - 1).map(Millis)
texts = st.text(st.characters(max_codepoint=127), max_size=255)

cosignatures = st.builds(
    Cosignature,
    key=keys,
    statement=st.lists(hashes, min_size=1, max_size=16).map(b"".join),
    signature=signatures,
)
transactions = st.builds(
    Transaction,
    chain=chains,
    sender=keys,
    expiry_ms=millis,
    unique=st.binary(min_size=16, max_size=16),
    method=texts,
    args=st.binary(max_size=200),
    cosigners=st.lists(cosignatures, max_size=3).map(tuple),
    signature=signatures,
)
logs = st.builds(
    Log,
    address=st.binary(min_size=20, max_size=20).map(Address),
    topics=st.lists(hashes, max_size=4).map(tuple),
    data=st.binary(max_size=100),
)
receipts = st.builds(
    Receipt, ok=st.booleans(), gas=st.integers(0, 2**64 - 1), reason=texts, logs=st.lists(logs, max_size=3).map(tuple)
)
headers = st.builds(
    Header,
    chain=chains,
    height=heights,
    previous=block_hashes,
    timestamp_ms=millis,
    proposer=keys,
    tx_root=digests,
    receipts_root=digests,
    state_root=digests,
    history_root=digests,
    validators_hash=digests,
    next_validators_hash=digests,
)
blocks = st.builds(Block, header=headers, txs=st.lists(st.binary(max_size=100), max_size=4).map(tuple))
nonzero_hashes = block_hashes.filter(lambda found: found != NO_BLOCK)
subjects = st.one_of(
    st.tuples(st.sampled_from((VoteKind.NOTARIZE, VoteKind.FINALIZE)), nonzero_hashes),
    st.tuples(st.just(VoteKind.NULLIFY), st.just(NO_BLOCK)),
)


@st.composite
def votes(draw: st.DrawFn) -> Vote:
    """Votes of every kind; a block hash is zero exactly for NULLIFY."""
    kind, block_hash = draw(subjects)
    return Vote(
        kind=kind,
        height=draw(heights),
        view=draw(views),
        block_hash=block_hash,
        signer=draw(st.integers(0, 2**16 - 1)),
        signature=draw(signatures),
    )


@st.composite
def certificates(draw: st.DrawFn) -> Certificate:
    """Certificates with any ascending signers; whether they are a quorum does not matter here."""
    kind, block_hash = draw(subjects)
    signers = tuple(sorted(draw(st.sets(st.integers(0, 2**16 - 1), max_size=5))))
    return Certificate(
        kind=kind,
        height=draw(heights),
        view=draw(views),
        block_hash=block_hash,
        signers=signers,
        signatures=tuple(draw(signatures) for _ in signers),
    )


proposals = st.builds(
    Proposal,
    height=heights,
    view=views,
    block=blocks,
    base=st.integers(0, 2**32 - 1).map(View),
    justification=st.lists(certificates(), max_size=2).map(tuple),
    signature=signatures,
)
