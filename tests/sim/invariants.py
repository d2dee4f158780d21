"""What must hold in every run, whatever the seed: one table, mirrored in docs/ledger.md, and who watches it.

Certificates are judged by what could be formed: a set of honest votes that the Byzantine could complete to a quorum
counts as a certificate, whether or not any replica held it. A signature counts once it has left its replica.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger.chain import Head, check_certificate, check_final, faults_tolerated, quorum
from ledger.consensus import Commit, Evidence, Machine, Status
from ledger.consensus.inbox import DECIDED_KEPT_MAX, VOTES_KEPT_MAX
from ledger.encoding import VIEWS_AHEAD_MAX, block_hash
from ledger.errors import InvalidError, InvalidProofError, StorageError
from ledger.ports import Place
from ledger.receipts import verify_receipt
from ledger.replica.engine import Engine
from ledger.replica.items import Item
from ledger.replica.mempool import Pooled
from ledger.store import MemoryStore, verify_store
from ledger.types import (
    BlockHash,
    Certificate,
    FinalBlock,
    Height,
    Proposal,
    ReplicaId,
    TxId,
    Validator,
    Vote,
    VoteKind,
)
from tests.sim.replica import Replica

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

BODIES_MAX = 6
DELAY_MS = 60
"""Longest delay of a message once the network has settled."""
WRONG_MS = 20_000
"""How far block times may be ahead of the slowest clock when the network settles: a proposer that was 10 s fast for
validators that were 5 s fast, and 5 s more. Until that is over, fresh blocks may look too new to some."""
BURST_MAX = 2 * VIEWS_AHEAD_MAX
"""Most items from one replica to one peer within `resend_ms`: the way through that many views, and again."""
IDLE_MESSAGES_MAX = 10
"""Items that an idle replica sends a peer in the time that it is watched."""


class Violation(Exception):  # noqa: N818 - it is a finding, not an error of the program
    """An invariant is broken."""

    def __init__(self, number: int, found: str) -> None:
        super().__init__(f"invariant {number} ({NAMES[number]}): {found}")
        self.number = number


@dataclass(slots=True)
class Hearing:
    """What one core was sent of the view that it was in."""

    machine: Machine
    votes: dict[tuple[int, int, ReplicaId], dict[VoteKind, set[BlockHash]]] = field(default_factory=dict)
    accused: set[tuple[int, int, ReplicaId]] = field(default_factory=set)
    news: set[tuple[int, int, ReplicaId]] = field(default_factory=set)
    """What was not looked at yet."""


class Checker:
    """Watches every item that leaves an honest replica, every step and every commit."""

    def __init__(self, cluster: "Cluster", *, inside: bool = True) -> None:
        self.cluster = cluster
        self.watched = {
            when: tuple(each for each in INVARIANTS if each.when == when and (inside or not each.inside))
            for when in ("send", "step", "commit", "end")
        }
        self.decided: dict[int, BlockHash] = {}
        self.decided_txs: set[TxId] = set()
        self.view_max = 0
        self.sent = 0
        world, store = cluster.world, MemoryStore()
        self.reference = Engine(
            store=store, executor=world.executor(store.read_node), genesis=world.genesis, verify=world.verify
        )
        """Executes each block when the first replica commits it."""
        self.heads: dict[int, Head] = {0: self.reference.head}
        self.votes: dict[tuple[ReplicaId, int, int], dict[VoteKind, BlockHash]] = defaultdict(dict)
        self.proposals: dict[tuple[ReplicaId, int, int], BlockHash] = {}
        self.places: dict[tuple[ReplicaId, int], tuple[int, int]] = {}
        self.said: dict[ReplicaId, tuple[int, int]] = {}
        self.heard: dict[tuple[ReplicaId, int], Hearing] = {}
        self.forgiven: set[tuple[ReplicaId, int]] = set()
        """Heights at which a replica that was rolled back counts as Byzantine."""
        self.bursts: dict[tuple[ReplicaId, ReplicaId], tuple[int, int]] = {}
        self.sound: set[tuple[int, VoteKind, int, BlockHash, tuple[int, ...]]] = set()
        self._idle: tuple[list[tuple[int, int]], int] = ([], 0)

    @property
    def liveness_ms(self) -> int:
        """After the network has settled everything must be decided within this time.

        The view at that time, then at each of the few heights that are left (f + 2) views of the longest time and four
        message delays; clocks may be a tenth slow, and block times ahead.
        """
        profile = self.cluster.profile
        view_ms = profile.timing.view_ms_max + 4 * DELAY_MS
        wrong = WRONG_MS if profile.jumps or profile.skew_ms > DELAY_MS * 10 else 0
        return (profile.timing.view_ms_max + 3 * (self.cluster.faults + 2) * view_ms) * 11 // 10 + wrong

    def check(self, tx: bytes) -> Pooled:
        """A transaction as the engine has it."""
        return self.reference.check(tx)

    def set_of(self, height: int) -> tuple[Validator, ...]:
        """The set of a height that is being decided."""
        return self.heads[height - 1].validators

    # ------------------------------------------------------------------ what happens

    def left(self, replica: Replica, item: Item, to: ReplicaId | None) -> None:
        """An item leaves a replica."""
        if replica.honest:
            self.sent += 1
            for invariant in self.watched["send"]:
                invariant.check(self, replica, item, to)

    def hears(self, replica: Replica, sender: ReplicaId, vote: Vote) -> None:
        """A replica is about to take another's own vote of the very view that it is in."""
        state = replica.machine._instance.state
        if not replica.honest or state.certificates.final or (vote.height, vote.view) != (state.height, state.view):
            return
        validators = self.set_of(vote.height)
        if vote.signer < len(validators) and validators[vote.signer].replica == sender:
            hearing, place = self.hearing(replica), (vote.height, vote.view, sender)
            hearing.votes.setdefault(place, {}).setdefault(vote.kind, set()).add(vote.block_hash)
            hearing.news.add(place)

    def hearing(self, replica: Replica) -> Hearing:
        """What the core of a replica was sent since it began."""
        held = self.heard.get((replica.id, replica.life))
        if held is None or held.machine is not replica.machine:
            held = self.heard[replica.id, replica.life] = Hearing(replica.machine)
        return held

    def stepped(self, replica: Replica) -> None:
        """A replica's core has nothing more to do for now."""
        if replica.honest:
            for invariant in self.watched["step"]:
                invariant.check(self, replica)

    def committed(self, replica: Replica, commit: Commit) -> None:
        """A replica is about to make a block final."""
        if replica.honest:
            for invariant in self.watched["commit"]:
                invariant.check(self, replica, commit)

    def failed(self, replica: Replica, error: StorageError) -> None:
        """A replica's store refuses what its core wants."""
        number = 3 if str(error).startswith("vote") else 2
        raise Violation(number, f"replica {replica.id} stops: {error}") from error

    def accused(self, replica: Replica, evidence: Evidence) -> None:
        """A replica holds two votes that no honest validator casts both."""
        accused = self.set_of(evidence.first.height)[evidence.second.signer].replica
        self.hearing(replica).accused.add((evidence.first.height, evidence.first.view, accused))
        forgiven = (accused, evidence.first.height) in self.forgiven
        if replica.honest and accused not in self.cluster.byzantine and not forgiven:
            raise Violation(3, f"evidence against the honest {accused}: {evidence}")

    def forgets(self, replica: Replica) -> None:
        """A replica without its disk may begin anew; its votes still count."""
        self.said.pop(replica.id, None)

    def forgives(self, replica: Replica, height: int) -> None:
        """A replica that lost a vote and cannot know it counts as one of f at that height."""
        self.said.pop(replica.id, None)
        self.forgiven.add((replica.id, height))

    def finished(self) -> None:
        """Everything that was to be achieved should be."""
        for invariant in self.watched["end"]:
            invariant.check(self)

    def idle_begins(self) -> None:
        """From now on there is nothing to do."""
        self._idle = (self._where(), self.sent)

    def idle_ends(self) -> None:
        """Check that an idle network decides nothing, changes no view, and says little (7)."""
        places, sent = self._idle
        if self._where() != places:
            raise Violation(7, f"idle, but {places} became {self._where()}")
        chatty = any(name in ("chaos", "splitter", "twins", "amnesiac") for name in self.cluster.byzantine.values())
        if not chatty and self.sent - sent > IDLE_MESSAGES_MAX * len(self.cluster.peers):
            raise Violation(7, f"idle, but {self.sent - sent} messages")

    def _where(self) -> list[tuple[int, int]]:
        statuses = [replica.machine.status for replica in self.cluster.honest]
        return [(status.height, status.view) for status in statuses]


# ---------------------------------------------------------------------- on commit


def agreement(checker: Checker, replica: Replica, commit: Commit) -> None:
    height, hashed = commit.block.header.height, block_hash(commit.block.header)
    if checker.decided.setdefault(height, hashed) != hashed:
        raise Violation(1, f"replica {replica.id} decides another block at {height}")


def chained(checker: Checker, replica: Replica, commit: Commit) -> None:
    head, height = replica.engine.head, commit.block.header.height
    if checker.heads.get(head.header.height) != head or height != head.header.height + 1:
        raise Violation(2, f"replica {replica.id} is not on the common chain before {height}")


def certified(checker: Checker, replica: Replica, commit: Commit) -> None:
    final = FinalBlock(block=commit.block, certificate=commit.certificate)
    try:
        check_final(final, checker.heads[commit.block.header.height - 1], checker.cluster.world.verify)
    except InvalidError as error:
        raise Violation(6, f"replica {replica.id} commits a block whose {error}") from error


def valid(checker: Checker, replica: Replica, commit: Commit) -> None:
    """No transaction twice, none that is over, no empty block, every root as executing it gives it."""
    height = commit.block.header.height
    if height in checker.heads:
        return
    try:
        done = checker.reference.commit(commit.block, commit.certificate)
    except StorageError as error:
        raise Violation(5, f"replica {replica.id} commits {error}") from error
    checker.decided_txs.update(done.tx_ids)
    checker.heads[height] = checker.reference.head


# ---------------------------------------------------------------------- on send


def signs_once(checker: Checker, replica: Replica, item: Item, _to: ReplicaId | None) -> None:
    if not isinstance(item, Vote | Proposal) or (replica.id, item.height) in checker.forgiven:
        return
    place = (replica.id, item.height, item.view)
    if isinstance(item, Proposal):
        hashed = block_hash(item.block.header)
        if checker.proposals.setdefault(place, hashed) != hashed:
            raise Violation(3, f"leader {replica.id} proposes two blocks at {item.height}, {item.view}")
        return
    checker.view_max = max(checker.view_max, item.view)
    cast = checker.votes[place]
    if cast.setdefault(item.kind, item.block_hash) != item.block_hash:
        raise Violation(3, f"H1: replica {replica.id} casts two {item.kind.name} at {item.height}, {item.view}")
    if VoteKind.NULLIFY in cast and VoteKind.FINALIZE in cast:
        raise Violation(3, f"H2: replica {replica.id} nullifies and finalizes {item.height}, {item.view}")


def certificates_sound(checker: Checker, replica: Replica, item: Item, _to: ReplicaId | None) -> None:
    if not isinstance(item, Certificate):
        return
    key = (int(item.height), item.kind, int(item.view), item.block_hash, item.signers)
    if key not in checker.sound:
        world = checker.cluster.world
        try:
            check_certificate(item, checker.set_of(item.height), world.genesis.chain, world.verify)
        except InvalidError as error:
            raise Violation(4, f"replica {replica.id} passes on a {error}") from error
        checker.sound.add(key)


def paced(checker: Checker, replica: Replica, _item: Item, to: ReplicaId | None) -> None:
    if to is None:
        return
    window = checker.cluster.now // checker.cluster.profile.timing.resend_ms
    since, count = checker.bursts.get((replica.id, to), (window, 0))
    count = count + 1 if since == window else 1
    checker.bursts[replica.id, to] = (window, count)
    if count > BURST_MAX:
        raise Violation(7, f"replica {replica.id} sends {to} {count} items within a moment")


def durable(checker: Checker, replica: Replica, item: Item, _to: ReplicaId | None) -> None:
    """H5, H3, H4: a vote, the body that it is for and what it rests on are on disk when the vote leaves."""
    if not isinstance(item, Vote) or item.height != replica.height + 1:
        return
    records = replica.store.records(item.height)
    if item not in records:
        raise Violation(11, f"replica {replica.id} sends {item} before it is durable (H5)")
    held = {(r.kind, r.view, r.block_hash) for r in records if isinstance(r, Certificate)}
    if item.kind is VoteKind.FINALIZE and (VoteKind.NOTARIZE, item.view, item.block_hash) not in held:
        raise Violation(11, f"replica {replica.id} sends {item} without a durable certificate (H4)")
    if item.kind is VoteKind.NOTARIZE:
        made = [r for r in records if isinstance(r, Proposal) and r.view == item.view]
        made = [r for r in made if block_hash(r.block.header) == item.block_hash]
        if not made:
            raise Violation(11, f"replica {replica.id} sends {item} without a durable body (H5)")
        nullified = {view for kind, view, _ in held if kind is VoteKind.NULLIFY}
        bases = {0, *(v for kind, v, b in held if kind is VoteKind.NOTARIZE and b == item.block_hash)}
        if not any(base < item.view and nullified.issuperset(range(base + 1, item.view)) for base in bases):
            raise Violation(11, f"replica {replica.id} sends {item}, which nothing durable justifies (H3)")


def place_said(checker: Checker, replica: Replica, item: Item, _to: ReplicaId | None) -> None:
    if isinstance(item, Status):
        place = (int(item.height), int(item.view))
        if place < checker.said.get(replica.id, place):
            raise Violation(12, f"replica {replica.id} says {place} after {checker.said[replica.id]}")
        checker.said[replica.id] = place


# ---------------------------------------------------------------------- after a step


def dutiful(checker: Checker, replica: Replica) -> None:
    """What a rule lets a replica do at once it has done when a step ends; and no view lasts longer than the longest."""
    state = replica.machine._instance.state
    if state.me is None or state.decided:
        return
    voted, view, proposal = state.voted, state.view, state.proposal
    is_valid = proposal and state.is_valid(block_hash(proposal.block.header), fresh=proposal.base == 0)
    if is_valid and not voted(VoteKind.NOTARIZE, view):
        raise Violation(8, f"replica {replica.id} does not notarize the valid proposal of {state.height}, {view}")
    given_up = len(state.tally.signers(VoteKind.NULLIFY, view)) > state.committee.faults
    if given_up and not voted(VoteKind.NULLIFY, view) and not voted(VoteKind.FINALIZE, view):
        raise Violation(8, f"replica {replica.id} does not join those that give up {state.height}, {view}")
    newest = max(state.certificates.notarized, default=None)
    if newest is not None and not voted(VoteKind.NULLIFY, newest) and not voted(VoteKind.FINALIZE, newest):
        raise Violation(8, f"replica {replica.id} does not finalize the notarized {state.height}, {newest}")
    longest = replica.clock.monotone() + checker.cluster.profile.timing.view_ms_max
    if state.deadline is not None and state.deadline > longest:
        raise Violation(8, f"replica {replica.id} waits {state.deadline - longest} ms too long in {view}")


def accuses(checker: Checker, replica: Replica) -> None:
    """Whoever contradicts himself before a replica is proven to have done so."""
    hearing = checker.hearing(replica)
    for place in sorted(hearing.news - hearing.accused):
        cast = hearing.votes[place]
        twice = any(len(voted) > 1 for voted in cast.values())
        if twice or {VoteKind.NULLIFY, VoteKind.FINALIZE} <= cast.keys():
            raise Violation(3, f"replica {replica.id} has no evidence against {place[2]}, who cast {cast} at {place}")
    hearing.news.clear()


def bounded(checker: Checker, replica: Replica) -> None:
    machine, peers = replica.machine, len(checker.cluster.peers)
    if len(machine._instance.state.bodies) > BODIES_MAX:
        raise Violation(10, f"replica {replica.id} holds {len(machine._instance.state.bodies)} blocks of one height")
    if machine._inbox.size() > peers * (VOTES_KEPT_MAX + 1) + DECIDED_KEPT_MAX:
        raise Violation(10, f"replica {replica.id} keeps {machine._inbox.size()} messages of later heights")
    if machine._instance.state.tally.size() > peers * 6 * (machine.status.view + 2 * VIEWS_AHEAD_MAX):
        raise Violation(10, f"replica {replica.id} holds {machine._instance.state.tally.size()} votes of one height")


def forward_only(checker: Checker, replica: Replica) -> None:
    status, key = replica.machine.status, (replica.id, replica.life)
    place = (int(status.height), int(status.view))
    before = checker.places.get(key, place)
    if place < before:
        raise Violation(12, f"replica {replica.id} went back to {place} from {before}")
    checker.places[key] = place


# ---------------------------------------------------------------------- at the end


def certificates_exclude(checker: Checker) -> None:
    """Of certificates that exist or that the Byzantine could complete."""
    voters: dict[tuple[int, VoteKind, int, BlockHash], int] = defaultdict(int)
    for (replica, height, view), cast in checker.votes.items():
        counted = (replica, height) not in checker.forgiven
        if counted and any(validator.replica == replica for validator in checker.set_of(height)):
            for kind, voted in cast.items():
                voters[height, kind, view, voted] += 1
    formed = [key for key, count in voters.items() if count >= _honest_needed(checker, key[0])]
    for height, kind, view, voted in formed:
        for _, other, later, block in [key for key in formed if key[0] == height]:
            if kind is VoteKind.FINALIZE and (other, later) == (VoteKind.NULLIFY, view):
                raise Violation(4, f"{height}, {view} may be both finalized and nullified")
            if kind is VoteKind.FINALIZE and other is not VoteKind.NULLIFY and later >= view and block != voted:
                raise Violation(4, f"another block than the final one at {height}, {later}")
            if kind is other is VoteKind.NOTARIZE and later == view and block != voted:
                raise Violation(4, f"two blocks may be notarized at {height}, {view}")


def _honest_needed(checker: Checker, height: int) -> int:
    validators = checker.set_of(height)
    faulty = sum(
        validator.replica in checker.cluster.byzantine or (validator.replica, height) in checker.forgiven
        for validator in validators
    )
    return quorum(len(validators)) - min(faulty, faults_tolerated(len(validators)))


def live(checker: Checker) -> None:
    cluster = checker.cluster
    missing = len(cluster.undecided())
    late = [replica.id for replica in cluster.honest if replica.height != len(checker.decided)]
    if missing or late or len(cluster.submitted) != cluster.profile.txs + cluster.profile.changes:
        places = {int(replica.id): replica.machine.status for replica in cluster.honest}
        raise Violation(8, f"{missing} transactions are missing, {late} are late of {places}")


def replays(checker: Checker) -> None:
    world, replica = checker.cluster.world, checker.cluster.random.choice(checker.cluster.honest)
    report = verify_store(replica.store, world.executor, world.genesis, world.verify)
    if report.failure is not None or report.verified != len(checker.decided):
        raise Violation(9, f"replica {replica.id}: {report}")
    if replica.engine.head != checker.reference.head:
        raise Violation(9, f"replica {replica.id} ends in {replica.engine.head.header}")


def provable(checker: Checker) -> None:
    """A receipt of one transaction, and eight others that differ from it in a byte."""
    world, r = checker.cluster.world, checker.cluster.random
    at_first = world.genesis.validators()
    heights = [h for h in range(1, len(checker.heads)) if all(checker.set_of(i) == at_first for i in range(1, h + 1))]
    if not heights:
        return
    height = Height(r.choice(heights))
    index = r.randrange(len(checker.reference.committed(height).txs))
    file = checker.reference.receipt([Place(height, index)])
    proven = verify_receipt(file, world.genesis, world.verify)
    for _ in range(8):
        place = r.randrange(len(file))
        mutated = file[:place] + bytes((file[place] ^ 1 << r.randrange(8),)) + file[place + 1 :]
        try:
            found = verify_receipt(mutated, world.genesis, world.verify)
        except InvalidProofError:
            continue
        if found != proven:
            raise Violation(13, f"a receipt that differs in byte {place} proves something else")


@dataclass(frozen=True, slots=True)
class Invariant:
    """One line of the table."""

    number: int
    """That of the design; more than one check may belong to it."""
    name: str
    when: str
    check: Callable[..., None]
    """Raises `Violation`."""
    inside: bool = False
    """Whether it looks at a replica's memory or disk, and not only at what it says and decides."""


INVARIANTS = (
    Invariant(1, "agreement", "commit", agreement),
    Invariant(2, "one chain", "commit", chained),
    Invariant(3, "signs once", "send", signs_once),
    Invariant(4, "certificates exclude", "send", certificates_sound),
    Invariant(4, "certificates exclude", "end", certificates_exclude),
    Invariant(6, "certified", "commit", certified),
    Invariant(5, "validity", "commit", valid),
    Invariant(7, "quiet", "send", paced),
    Invariant(3, "signs once", "step", accuses),
    Invariant(8, "live", "step", dutiful, inside=True),
    Invariant(8, "live", "end", live),
    Invariant(9, "replays", "end", replays),
    Invariant(10, "bounded memory", "step", bounded, inside=True),
    Invariant(11, "durable before sent", "send", durable, inside=True),
    Invariant(12, "never back", "send", place_said),
    Invariant(12, "never back", "step", forward_only),
    Invariant(13, "provable", "end", provable),
)

NAMES = {invariant.number: invariant.name for invariant in INVARIANTS}
