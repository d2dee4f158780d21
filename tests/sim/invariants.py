"""What must hold in every run, whatever the seed; the numbers are those of docs/ledger.md, Consensus.

Certificates are judged by what could be formed: a set of honest votes that the Byzantine could complete to a quorum
counts as a certificate, whether or not any replica held it.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from ledger.chain import Head, check_final
from ledger.consensus import Commit, Evidence, Message, Status
from ledger.consensus.inbox import DECIDED_KEPT_MAX, VOTES_KEPT_MAX
from ledger.encoding import block_hash
from ledger.types import BlockHash, FinalBlock, Proposal, ReplicaId, Vote, VoteKind
from tests.sim.replica import Replica
from tests.sim.world import next_head, verify

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

BODIES_MAX = 6


class Violation(Exception):  # noqa: N818 - it is a finding, not an error of the program
    """An invariant is broken; the first words name it."""


class Checker:
    """Watches every message that leaves an honest replica and every commit."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.decided: dict[int, BlockHash] = {}
        self.heads: dict[int, Head] = {0: cluster.committees.genesis()}
        self.decided_txs: set[bytes] = set()
        self.view_max = 0
        self.sent = 0
        self._votes: dict[tuple[ReplicaId, int, int], dict[VoteKind, BlockHash]] = defaultdict(dict)
        self._proposals: dict[tuple[ReplicaId, int, int], BlockHash] = {}
        self._places: dict[tuple[ReplicaId, int], tuple[int, int]] = {}
        self._said: dict[ReplicaId, tuple[int, int]] = {}
        self._idle: tuple[list[tuple[int, int]], int] = ([], 0)

    def left(self, replica: Replica, message: Message) -> None:
        """Note what an honest replica said; only now does a signature count."""
        if not replica.honest:
            return
        self.sent += 1
        if isinstance(message, Vote):
            self._check_vote(replica, message)
        if isinstance(message, Status):
            self._said[replica.id] = (int(message.height), int(message.view))
        if isinstance(message, Proposal):
            place = (replica.id, message.height, message.view)
            hashed = block_hash(message.block.header)
            if self._proposals.setdefault(place, hashed) != hashed:
                raise Violation(f"two proposals: leader {replica.id} at {message.height}, {message.view}")

    def _check_vote(self, replica: Replica, vote: Vote) -> None:
        self.view_max = max(self.view_max, vote.view)
        cast = self._votes[replica.id, vote.height, vote.view]
        if cast.setdefault(vote.kind, vote.block_hash) != vote.block_hash:
            raise Violation(f"H1: replica {replica.id} cast two {vote.kind.name} at {vote.height}, {vote.view}")
        if VoteKind.NULLIFY in cast and VoteKind.FINALIZE in cast:
            raise Violation(f"H2: replica {replica.id} nullified and finalized {vote.height}, {vote.view}")

    def committed(self, replica: Replica, commit: Commit) -> None:
        """Check a block before a replica makes it final."""
        final = FinalBlock(block=commit.block, certificate=commit.certificate)
        if not replica.honest:
            return
        height, hashed = commit.block.header.height, block_hash(commit.block.header)
        if self.decided.setdefault(height, hashed) != hashed:
            raise Violation(f"agreement: two blocks at {height}")
        if not replica.is_valid(commit.block):
            raise Violation(f"validity: replica {replica.id} commits an invalid block at {height}")
        check_final(final, replica.head, verify)
        if height not in self.heads:
            if not self.decided_txs.isdisjoint(commit.block.txs):
                raise Violation(f"duplicate: a transaction again at {height}")
            self.decided_txs.update(commit.block.txs)
            self.heads[height] = next_head(self.heads[height - 1], commit.block, self.cluster.committees)

    def accused(self, replica: Replica, evidence: Evidence) -> None:
        """Check that evidence is against a Byzantine replica."""
        validators = self.cluster.committees.at(evidence.first.height)
        accused = validators[evidence.second.signer].replica
        if replica.honest and accused not in self.cluster.byzantine:
            raise Violation(f"evidence against the honest {accused}: {evidence}")

    def stepped(self, replica: Replica) -> None:
        """Check, after each completed step of an honest replica, its place and its memory."""
        if not replica.honest:
            return
        status = replica.machine.status
        place = (int(status.height), int(status.view))
        before = max(self._places.get((replica.id, replica.life), (0, 0)), self._said.get(replica.id, (0, 0)))
        if place < before:
            raise Violation(f"view: replica {replica.id} went back to {place} from {before}")
        self._places[replica.id, replica.life] = place
        state = replica.machine._instance.state
        if len(state.bodies) > BODIES_MAX:
            raise Violation(f"memory: replica {replica.id} holds {len(state.bodies)} blocks of one height")
        if replica.machine._inbox.size() > len(self.cluster.peers) * (VOTES_KEPT_MAX + 1) + DECIDED_KEPT_MAX:
            raise Violation(f"memory: replica {replica.id} keeps too much for later heights")

    def forgets(self, replica: Replica) -> None:
        """A replica without its disk may begin anew; its votes still count."""
        self._said.pop(replica.id, None)

    def finished(self) -> None:
        """Check what a whole run must have achieved, and every certificate that could exist."""
        self._check_certificates()
        missing = [tx for tx in self.cluster.submitted if tx not in self.decided_txs]
        late = [replica.id for replica in self.cluster.honest if len(replica.chain) != len(self.decided)]
        if missing or late or len(self.cluster.submitted) != self.cluster.profile.txs:
            places = {replica.id: replica.machine.status for replica in self.cluster.honest}
            raise Violation(f"liveness: missing {missing}, late {late} at {places}")
        for replica in self.cluster.honest:
            head = self.cluster.committees.genesis()
            for block, certificate in replica.chain:
                check_final(FinalBlock(block=block, certificate=certificate), head, verify)
                head = next_head(head, block, self.cluster.committees)

    def _check_certificates(self) -> None:
        voters: dict[tuple[int, VoteKind, int, BlockHash], int] = defaultdict(int)
        for (replica, height, view), cast in self._votes.items():
            if any(validator.replica == replica for validator in self.cluster.committees.at(height)):
                for kind, voted in cast.items():
                    voters[height, kind, view, voted] += 1
        formed = [key for key, count in voters.items() if count >= self._honest_needed(key[0])]
        for height, kind, view, voted in formed:
            for other_height, other, later, block in formed:
                if other_height != height:
                    continue
                if kind is VoteKind.FINALIZE and (other, later) == (VoteKind.NULLIFY, view):
                    raise Violation(f"certificates: finalized and nullified {height}, {view}")
                if kind is VoteKind.FINALIZE and other is not VoteKind.NULLIFY and later >= view and block != voted:
                    raise Violation(f"certificates: another block than the final one at {height}, {later}")
                if kind is other is VoteKind.NOTARIZE and later == view and block != voted:
                    raise Violation(f"certificates: two blocks notarized at {height}, {view}")

    def _honest_needed(self, height: int) -> int:
        validators = self.cluster.committees.at(height)
        byzantine = sum(validator.replica in self.cluster.byzantine for validator in validators)
        return len(validators) - (len(validators) - 1) // 3 - byzantine

    def idle_begins(self) -> None:
        self._idle = (self._where(), self.sent)

    def idle_ends(self) -> None:
        """Check that an idle network decides nothing, changes no view, and says little."""
        places, sent = self._idle
        if self._where() != places:
            raise Violation(f"idle: places {places} became {self._where()}")
        chatty = any(name in ("chaos", "splitter", "twins", "amnesiac") for name in self.cluster.byzantine.values())
        if not chatty and self.sent - sent > 10 * len(self.cluster.peers):
            raise Violation(f"idle: {self.sent - sent} messages")

    def _where(self) -> list[tuple[int, int]]:
        statuses = [replica.machine.status for replica in self.cluster.honest]
        return [(status.height, status.view) for status in statuses]
