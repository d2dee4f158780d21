"""Proofs of double voting as a store keeps them: each once, and so many of a key that nobody can fill a disk."""

from ledger.errors import StorageError
from ledger.ports import Equivocation
from ledger.types import PublicKey, Vote, VoteKind

EVIDENCE_PER_KEY_MAX = 64
"""One is enough against anybody; a key that goes on adds nothing that has to be kept."""

EvidenceKey = tuple[int, int, PublicKey, VoteKind, VoteKind]
"""Height, view, who, and the kinds of both votes in order: one proof is kept for each."""

_NEVER_BOTH = {VoteKind.NULLIFY, VoteKind.FINALIZE}


def ordered(proof: Equivocation) -> Equivocation:
    """Return a proof with its votes in the order of their kinds, then their blocks: there is one way to write it.

    Raises:
        StorageError: its votes do not contradict each other (rules H1 and H2); consensus is at fault.
    """
    first, second = sorted((proof.first, proof.second), key=_place)
    if (first.height, first.view, first.signer) != (second.height, second.view, second.signer):
        raise StorageError(f"evidence: expected two votes of one signer in one view, got {first} and {second}")
    twice = first.kind is second.kind and first.block_hash != second.block_hash
    if not twice and {first.kind, second.kind} != _NEVER_BOTH:
        raise StorageError(f"evidence: expected votes that contradict each other, got {first} and {second}")
    return Equivocation(key=proof.key, first=first, second=second)


def evidence_key(proof: Equivocation) -> EvidenceKey:
    """Return what tells a proof in order from others."""
    first, second = proof.first, proof.second
    return first.height, first.view, proof.key, first.kind, second.kind


def _place(vote: Vote) -> tuple[int, bytes]:
    return vote.kind, vote.block_hash
