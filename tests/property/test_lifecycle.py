"""Random actions on the real contracts against a model of the table in docs/protocol.md 6.4: one end for each query."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.types import Receipt
from tests.support.contracts import (
    World,
    bitmap,
    bits,
    committee_of,
    must,
    order_of,
    panel_of,
    pool_of,
    query_id,
    standard,
)

BASE = World(genesis=standard())
PANEL = panel_of(BASE.genesis)
COMPANY = [m.company for m in BASE.genesis.members]
WINDOW, LIFE = 10_000, 40_000
ENDS = {"RELEASED": 4, "REFUSED": 5, "ABORTED": 6, "EXPIRED": 7}
QUERIES = st.integers(0, 2)
MEMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99])
ATTEMPTS = st.integers(0, 4)


@dataclass
class Query:
    """What the table says of one query."""

    mode: str
    deadline: int
    contribute_by: int
    committee: list[int]
    state: str = "REGISTERED"
    attempt: int = 1
    committed: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    excluded: int = 0
    computing_at: int = 0
    verdicts: list[int] = field(default_factory=list)

    def is_over(self) -> bool:
        return self.state in ENDS or (self.state == "ANSWERED" and self.mode != "before")


class Life(RuleBasedStateMachine):
    """Three queries, a clock, and anybody doing anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = BASE.fork()
        self.queries: dict[int, Query] = {}
        self.ended: Counter[bytes] = Counter()

    @initialize(mode=st.sampled_from(["before", "after"]))
    def begin(self, mode: str) -> None:
        self.register(0, mode, 0)

    # --------------------------------------------------------- the model

    def check(self, receipt: Receipt, expected: str) -> bool:
        """The contract says what the model says; what ended is counted."""
        assert receipt.reason == expected
        for event in must(receipt) if receipt.ok else []:
            if event.event == "Ended":
                self.ended[event.values["query"]] += 1
        return receipt.ok

    def live(self, number: int, state: str, attempt: int) -> str:
        query = self.queries.get(number)
        if query is None:
            return "UNKNOWN_QUERY"
        if query.state != state:
            return "WRONG_STATE"
        return "" if query.attempt == attempt else "WRONG_ATTEMPT"

    def contributor(self, number: int, sender: int, attempt: int) -> str:
        found = self.live(number, "REGISTERED", attempt)
        if found:
            return found
        query = self.queries[number]
        if sender not in bits(PANEL):
            return "NOT_IN_PANEL"
        if sender in query.committed | query.refused:
            return "ALREADY_CONTRIBUTED"
        return "TOO_LATE" if self.world.now > query.contribute_by else ""

    def compute(self, query: Query) -> None:
        others = {COMPANY[index] for index in query.committed} - {0}
        query.state = "COMPUTING" if len(others) >= 2 else "REFUSED"
        query.computing_at = self.world.now if query.state == "COMPUTING" else 0

    def next_attempt(self, number: int, query: Query) -> None:
        contribute_by = self.world.now + WINDOW
        _, query.excluded = pool_of(BASE.genesis, PANEL, query.excluded)
        committee = committee_of(BASE.genesis, query_id(number), query.attempt + 1, PANEL, query.excluded)
        if query.attempt == 3 or contribute_by >= query.deadline or committee is None:
            query.state = "ABORTED"
            return
        query.state, query.attempt, query.committee = "REGISTERED", query.attempt + 1, committee
        query.committed, query.contribute_by, query.computing_at = set(), contribute_by, 0

    def order(self, number: int, excluded: int) -> list[int]:
        query = self.queries[number]
        return order_of(query_id(number), query.attempt + 1, pool_of(BASE.genesis, PANEL, excluded)[0])

    # --------------------------------------------------------- actions

    @rule(number=QUERIES, mode=st.sampled_from(["before", "after", "off"]), sender=st.sampled_from([0, 0, 0, 1, 6]))
    def register(self, number: int, mode: str, sender: int) -> None:
        request = self.world.request(query_id(number), model=mode, window=WINDOW, life=LIFE)
        receipt = self.world.run(self.world.register_tx(request, sender=sender))
        known = "QUERY_EXISTS" if number in self.queries else ""
        if self.check(receipt, known if sender == 0 else "OPERATOR_ONLY"):
            committee = committee_of(BASE.genesis, query_id(number), 1, PANEL)
            assert committee is not None
            now = self.world.now
            self.queries[number] = Query(mode, now + LIFE, now + WINDOW, committee)

    @rule(number=QUERIES, sender=MEMBERS, attempt=ATTEMPTS)
    def commit(self, number: int, sender: int, attempt: int) -> None:
        self.contribute(number, sender, attempt, refuses=False)

    @rule(number=QUERIES, sender=MEMBERS, attempt=ATTEMPTS)
    def refuse(self, number: int, sender: int, attempt: int) -> None:
        self.contribute(number, sender, attempt, refuses=True)

    @rule(number=QUERIES, refuser=st.sampled_from([0, 0, 0, 6, 7]))
    def everybody_contributes(self, number: int, refuser: int) -> None:
        """Random single steps seldom come this far."""
        query = self.queries.get(number)
        for sender in bits(PANEL):
            self.contribute(number, sender, query.attempt if query else 1, refuses=sender == refuser)

    def contribute(self, number: int, sender: int, attempt: int, *, refuses: bool) -> None:
        expected = self.contributor(number, sender, attempt)
        if refuses:
            receipt = self.world.call(sender, "refuse", query_id(number), attempt, 1, b"")
        else:
            receipt = self.world.commit(query_id(number), sender, attempt=attempt, count=3, envelope=b"")
        if self.check(receipt, expected):
            query = self.queries[number]
            (query.refused if refuses else query.committed).add(sender)
            if query.committed | query.refused == set(bits(PANEL)):
                self.compute(query)

    @rule(number=QUERIES, sender=MEMBERS, attempt=ATTEMPTS)
    def close(self, number: int, sender: int, attempt: int) -> None:
        expected = "MEMBER_ONLY" if sender == 99 else self.live(number, "REGISTERED", attempt)
        if not expected and self.world.now <= self.queries[number].contribute_by:
            expected = "TOO_EARLY"
        if self.check(self.world.call(sender, "close_inputs", query_id(number), attempt), expected):
            self.compute(self.queries[number])

    @rule(number=QUERIES, rank=st.integers(0, 3), attempt=ATTEMPTS, right=st.booleans())
    def post(self, number: int, rank: int, attempt: int, right: bool) -> None:
        query = self.queries.get(number)
        committee = query.committee if query else [2, 3, 4]
        attempt = query.attempt if query and right else attempt
        sender = committee[rank] if rank < 3 else 6
        expected = self.live(number, "COMPUTING", attempt)
        if not expected and query:
            if rank == 3:
                expected = "NOT_IN_COMMITTEE"
            elif self.world.now < query.computing_at + 3_000 * rank:
                expected = "NOT_YOUR_TURN"
        ends = self.world.ends(query_id(number), attempt, 3)
        receipt = self.world.post(query_id(number), attempt=attempt, sender=sender, ends=ends, signers=committee)
        if self.check(receipt, expected):
            self.queries[number].state = "ANSWERED"

    @rule(number=QUERIES, sender=st.sampled_from([1, 1, 1, 0]), verdict=st.integers(0, 4))
    def attest(self, number: int, sender: int, verdict: int) -> None:
        query = self.queries.get(number)
        attempt = query.attempt if query else 1
        expected = "SUPERVISOR_ONLY" if sender != 1 else self.live(number, "ANSWERED", attempt)
        if not expected and query:
            if query.mode == "off":
                expected = "WRONG_STATE"
            elif verdict not in {1, 2, 3}:
                expected = "VERDICT"
            elif query.verdicts not in ([], [3]):
                expected = "ALREADY_ATTESTED"
        if self.check(self.world.attest(query_id(number), verdict, sender=sender, attempt=attempt), expected):
            query = self.queries[number]
            query.verdicts.append(verdict)
            if query.mode == "before" and verdict != 3:
                query.state = "RELEASED" if verdict == 1 else "ABORTED"

    @rule(number=QUERIES, sender=MEMBERS, waited=st.integers(0, 2**10 - 1), reason=st.integers(0, 6))
    def fail(self, number: int, sender: int, waited: int, reason: int) -> None:
        query = self.queries.get(number)
        attempt = query.attempt if query else 1
        expected = self.live(number, "COMPUTING", attempt)
        excluded = 0
        if not expected and query:
            excluded = query.excluded | waited & bitmap(query.committee)
            if sender == 99:
                expected = "MEMBER_ONLY"
            elif sender != 1 and sender not in query.committee:
                expected = "NOT_IN_COMMITTEE"
            elif reason not in {1, 2, 3, 5}:
                expected = "REASON"
        order = self.order(number, excluded) if query else []
        receipt = self.world.call(sender, "fail_attempt", query_id(number), attempt, reason, waited, order)
        if self.check(receipt, expected):
            self.queries[number].excluded = excluded
            self.next_attempt(number, self.queries[number])

    @rule(number=QUERIES, sender=st.sampled_from([1, 1, 2]), participant=st.integers(5, 9))
    def reject(self, number: int, sender: int, participant: int) -> None:
        query = self.queries.get(number)
        attempt = query.attempt if query else 1
        expected = "SUPERVISOR_ONLY" if sender != 1 else self.live(number, "COMPUTING", attempt)
        if not expected and query and participant not in query.committed:
            expected = "NO_CONTRIBUTION"
        order = self.order(number, query.excluded) if query else []
        receipt = self.world.call(sender, "reject_input", query_id(number), attempt, participant, order)
        if self.check(receipt, expected):
            self.queries[number].committed.remove(participant)
            self.queries[number].refused.add(participant)
            self.next_attempt(number, self.queries[number])

    @rule(number=QUERIES, sender=MEMBERS)
    def expire(self, number: int, sender: int) -> None:
        query = self.queries.get(number)
        if sender == 99:
            expected = "MEMBER_ONLY"
        elif query is None:
            expected = "UNKNOWN_QUERY"
        elif query.is_over():
            expected = "WRONG_STATE"
        else:
            expected = "" if self.world.now > query.deadline else "TOO_EARLY"
        if self.check(self.world.call(sender, "expire", query_id(number), 0), expected):
            self.queries[number].state = "EXPIRED"

    @rule(step=st.sampled_from([1, 3_000, 10_001, 40_001]))
    def wait(self, step: int) -> None:
        self.world.now += step

    # --------------------------------------------------------- what must hold

    @invariant()
    def contract_and_model_agree(self) -> None:
        for number, query in self.queries.items():
            view = self.world.get(query_id(number))
            found = {name: view[name] for name in ("state", "attempt", "contribute_by", "deadline", "computing_at")}
            assert found == {name: getattr(query, name) for name in found}
            assert list(view["committee"]) == query.committee
            assert view["refused"] == bitmap(query.refused)
            assert view["committed"] == bitmap(query.committed)
            assert query.is_over() or view["excluded"] == query.excluded
            assert view["verdict"] == (query.verdicts[-1] if query.verdicts else 0)

    @invariant()
    def every_query_ends_at_most_once(self) -> None:
        for number, query in self.queries.items():
            assert self.ended[query_id(number)] == (1 if query.is_over() else 0)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
