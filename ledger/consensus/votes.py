"""Votes of one height and what they add up to.

A signer has at most two votes of one kind in one view here: the second is evidence and is kept; a third is dropped.
"""

from dataclasses import dataclass, field

from ledger.consensus.committee import Committee
from ledger.types import BlockHash, Certificate, PublicKey, Signature, View, Vote, VoteKind

_VOTES_KEPT_MAX = 2
_OPPOSITE = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}


class Tally:
    """Verified votes, by kind and view, then by signer."""

    def __init__(self) -> None:
        self._votes: dict[tuple[VoteKind, View], dict[int, list[Vote]]] = {}

    def is_news(self, vote: Vote) -> bool:
        """Whether a vote is neither held nor a third of its kind; asked before its signature is verified."""
        held = self._of(vote.kind, vote.view, vote.signer)
        return len(held) < _VOTES_KEPT_MAX and all(other.block_hash != vote.block_hash for other in held)

    def add(self, vote: Vote) -> Vote | None:
        """Add a verified vote that is news; return a vote of its signer that contradicts it (H1, H2), if any."""
        held = self._votes.setdefault((vote.kind, vote.view), {}).setdefault(vote.signer, [])
        contradicting = list(held)
        opposite = _OPPOSITE.get(vote.kind)
        if opposite is not None:
            contradicting += self._of(opposite, vote.view, vote.signer)
        held.append(vote)
        return contradicting[0] if contradicting else None

    def voters(self, lowest: View) -> int:
        """How many validators have voted in this view or a later one."""
        return len({signer for (_, view), votes in self._votes.items() if view >= lowest for signer in votes})

    def signers(self, kind: VoteKind, view: View) -> frozenset[int]:
        """Who voted so in a view, for whatever block."""
        return frozenset(self._votes.get((kind, view), {}))

    def matching(self, kind: VoteKind, view: View, voted: BlockHash) -> dict[int, Signature]:
        """Signatures of equal votes by signer, ascending."""
        found = {
            signer: vote.signature
            for signer, held in self._votes.get((kind, view), {}).items()
            for vote in held
            if vote.block_hash == voted
        }
        return dict(sorted(found.items()))

    def certificate(self, like: Vote, committee: Committee) -> Certificate | None:
        """Return the certificate of the votes equal to this one, if they are a quorum."""
        matching = self.matching(like.kind, like.view, like.block_hash)
        if len(matching) < committee.quorum:
            return None
        signers = tuple(matching)[: committee.quorum]
        return Certificate(
            kind=like.kind,
            height=like.height,
            view=like.view,
            block_hash=like.block_hash,
            signers=signers,
            signatures=tuple(matching[signer] for signer in signers),
        )

    def newest(self, signer: int) -> Vote | None:
        """Return the vote of a signer in its highest view."""
        held = [vote for votes in self._votes.values() for vote in votes.get(signer, ())]
        return max(held, key=lambda vote: (vote.view, vote.kind), default=None)

    def forget(self, base: View, oldest: View) -> None:
        """Drop NOTARIZE and NULLIFY votes of views below `base` and FINALIZE votes of views below `oldest`."""
        for kind, view in list(self._votes):
            if view < (oldest if kind is VoteKind.FINALIZE else base):
                del self._votes[kind, view]

    def size(self) -> int:
        """Votes held."""
        return sum(len(held) for votes in self._votes.values() for held in votes.values())

    def _of(self, kind: VoteKind, view: View, signer: int) -> list[Vote]:
        return self._votes.get((kind, view), {}).get(signer, [])


@dataclass(slots=True)
class Certificates:
    """What a quorum is known to have said of a height."""

    notarized: dict[View, Certificate] = field(default_factory=dict)
    nullified: dict[View, Certificate] = field(default_factory=dict)
    final: Certificate | None = None

    def get(self, kind: VoteKind, view: View) -> Certificate | None:
        """Return the certificate of a kind in a view; the one FINALIZE certificate answers for every view."""
        match kind:
            case VoteKind.NOTARIZE:
                return self.notarized.get(view)
            case VoteKind.NULLIFY:
                return self.nullified.get(view)
            case VoteKind.FINALIZE:
                return self.final

    def add(self, certificate: Certificate) -> bool:
        """Add a verified certificate; False if one of its kind and view is held."""
        if self.get(certificate.kind, certificate.view) is not None:
            return False
        match certificate.kind:
            case VoteKind.NOTARIZE:
                self.notarized[certificate.view] = certificate
            case VoteKind.NULLIFY:
                self.nullified[certificate.view] = certificate
            case VoteKind.FINALIZE:
                self.final = certificate
        return True

    def next_view(self, view: View) -> View:
        """Return the highest view that these certificates open, given that they open `view`.

        A NOTARIZE certificate of view w opens w + 1, a NULLIFY certificate of an open view the one after it.
        """
        view = View(max([view, *(w + 1 for w in self.notarized)]))
        while view in self.nullified or view in self.notarized:
            view = View(view + 1)
        return view

    def base(self, view: View) -> View:
        """Highest w < view that is notarized, or 0; every view between is nullified if `view` is open."""
        return max((w for w in self.notarized if w < view), default=View(0))

    def justification(self, base: View, view: View, count_max: int) -> tuple[Certificate, ...] | None:
        """Certificates that let a validator vote for the block of `base` in `view` (H3), the newest `count_max`.

        Returns:
            NOTARIZE of `base` if it is above 0, then NULLIFY of each view between; None if one is not held.
        """
        needed = [self.notarized.get(base)] if base else []
        needed += [self.nullified.get(View(w)) for w in range(base + 1, view)]
        held = tuple(certificate for certificate in needed if certificate is not None)
        if len(held) < len(needed):
            return None
        notarized, nullified = held[: 1 if base else 0], held[1 if base else 0 :]
        return notarized + nullified[max(0, len(nullified) - count_max) :]


def known_signatures(tally: Tally, certificate: Certificate, committee: Committee) -> set[tuple[PublicKey, Signature]]:
    """Signatures of a certificate that were verified when they arrived as votes."""
    matching = tally.matching(certificate.kind, certificate.view, certificate.block_hash)
    return {(committee.validators[signer].key, signature) for signer, signature in matching.items()}
