"""Which leaders let their turns pass or cannot be reached, so that a daemon that is down costs a fraction of a view.

Only waiting depends on it, never a vote's content, so replicas need not agree on it.
"""

from ledger.consensus.committee import Committee
from ledger.consensus.votes import Certificates
from ledger.types import PublicKey, ReplicaId

TURNS_MISSED = 2
"""Turns that a leader must have missed in a row to be given less time."""


class Absences:
    """Counts the turns that each leader missed in a row, over all heights since the start; knows who went away."""

    def __init__(self) -> None:
        self._missed: dict[PublicKey, int] = {}
        self._gone: set[ReplicaId] = set()
        """Peers that were reached once, and cannot be now."""

    def reach(self, peer: ReplicaId, *, reached: bool) -> None:
        """Take note that the way to a peer opened or broke."""
        if reached:
            self._gone.discard(peer)
        else:
            self._gone.add(peer)

    def note(self, committee: Committee, certificates: Certificates) -> None:
        """Take the outcome of a height: a nullified view is a missed turn, a notarized or final one is none."""
        kept = {*certificates.notarized, *([certificates.final.view] if certificates.final else [])}
        for view in sorted({*certificates.nullified, *kept}):
            key = committee.validators[committee.leader(view)].key
            self._missed[key] = 0 if view in kept else self._missed.get(key, 0) + 1

    def among(self, committee: Committee) -> frozenset[int]:
        """Indices of the leaders that are given less time."""
        return frozenset(
            index
            for index, validator in enumerate(committee.validators)
            if validator.replica in self._gone or self._missed.get(validator.key, 0) >= TURNS_MISSED
        )
