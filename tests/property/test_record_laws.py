"""Random calls of the records against a model in plain Python: both refuse for one reason, and hold the same."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.contract import encode_args
from ledger.encoding import statement, word
from ledger.types import ChainId
from tests.support.contracts import CHAIN, World, inquirer_address, key, must, query_id, standard
from tests.support.council import at_once

BASE = World(genesis=standard())
QUERIES = {1: "inquirer", 2: "other inquirer"}
for _number, _who in QUERIES.items():
    must(BASE.run(BASE.register_tx(BASE.request(query_id(_number)), inquirer=_who)))
COMPANY_OF_ASKER = {1: 0, 2: 1}
NODES = {2, 3, 4, 5}
NUMBERS = st.sampled_from([1, 1, 1, 2, 3])
ANYBODY = st.sampled_from([0, 1, 1, 2, 3, 4, 5, 6, 7, 9, 99])
SPEAKERS = st.sampled_from([None, None, "inquirer", "second", "other inquirer"])
HOUR_MS = 3_600_000
CLAIM, DETAIL = b"\x0d" * 32, b"detail"


@dataclass
class Dispute:
    """One dispute, and who opened it."""

    query: int
    kind: int
    member: int
    by_inquirer: bool
    state: int = 1


class Records(RuleBasedStateMachine):
    """Two queries of two inquirers, and everybody putting anything on record."""

    def __init__(self) -> None:
        super().__init__()
        self.world = BASE.fork()
        self.askers = dict(QUERIES)
        self.marks: Counter[tuple[int, int]] = Counter()
        self.usage: Counter[tuple[int, int]] = Counter()
        self.hours: Counter[int] = Counter()
        self.looks: Counter[int] = Counter()
        self.disputes: list[Dispute] = []
        self.heard: set[bytes] = set()
        self.parties = {
            number: {0, 1, 6, 7, 8, *BASE.get(query_id(number))["committee"]}
            | {m for m, record in enumerate(BASE.genesis.members) if record.company == company}
            for number, company in COMPANY_OF_ASKER.items()
        }

    def send(
        self, sender: int, method: str, *values: object, expected: str, said: tuple[str, bytes] | None = None
    ) -> bool:
        """A call has the outcome that the model foresees; whether it was made."""
        cosigned = [] if said is None else [(key(said[0]), said[1])]
        args = encode_args(f"records.{method}", *values)
        receipt = self.world.run(self.world.tx(sender, f"records.{method}", args, cosigned))
        assert receipt.reason == expected
        return receipt.ok

    # --------------------------------------------------------- what is counted

    @rule(sender=st.sampled_from([2, 2, 3, 1]), pool=st.integers(0, 1), upto=st.integers(0, 3))
    def mark(self, sender: int, pool: int, upto: int) -> None:
        expected = "" if upto > self.marks[sender, pool] else "MARK_NOT_AHEAD"
        expected = expected if sender in NODES else "MPC_ONLY"
        if self.send(sender, "mark", word(pool), upto, expected=expected):
            self.marks[sender, pool] = upto

    @rule(
        sender=st.sampled_from([2, 2, 2, 3, 1]),
        back=st.sampled_from([1, 1, 1, 0, 2]),
        counts=st.dictionaries(st.sampled_from([0, 3, 4, 5, 127]), st.sampled_from([0, 1, 7, 2**63])),
    )
    def report(self, sender: int, back: int, counts: dict[int, int]) -> None:
        hour = self.world.now // HOUR_MS - back
        full = any(self.usage[sender, at] + count >= 2**64 for at, count in counts.items())
        expected = "MPC_ONLY" if sender not in NODES else "TOO_EARLY" if back == 0 else ""
        expected = expected or ("HOUR_REPORTED" if hour < self.hours[sender] else "USAGE_FORM" if full else "")
        listed = sorted(counts)
        if self.send(sender, "report_usage", hour, listed, [counts[at] for at in listed], expected=expected):
            self.hours[sender] = hour + 1
            self.usage.update({(sender, at): count for at, count in counts.items()})

    @rule(sender=st.sampled_from([1, 1, 0, 2]), numbers=st.lists(NUMBERS, max_size=3))
    def look(self, sender: int, numbers: list[int]) -> None:
        known = bool(numbers) and set(numbers) <= set(QUERIES)
        expected = "SUPERVISOR_ONLY" if sender != 1 else "" if known else "UNKNOWN_QUERY"
        queries = [query_id(number) for number in numbers]
        if self.send(sender, "record_access", CLAIM, queries, DETAIL, expected=expected):
            self.looks.update(numbers)

    @rule()
    def wait(self) -> None:
        self.world.now += HOUR_MS

    # --------------------------------------------------------- disputes

    @rule()
    def rotate(self) -> None:
        """The first query's inquirer gets another key, once; it alone speaks for the query from then on."""
        expected = "" if self.askers[1] == "inquirer" else "UNKNOWN_INQUIRER"
        keys = (inquirer_address("inquirer"), inquirer_address("second"))
        assert at_once(self.world, "registries.rotate_inquirer", *keys) == expected
        self.askers[1] = "second"

    def said(self, number: int, about: int, step: int) -> bytes:
        detail = hashlib.sha256(DETAIL).digest()
        return statement("mpcnode/dispute/1", ChainId(CHAIN), query_id(number), about, step, CLAIM, detail)

    def silenced(self, number: int, sender: int, who: str | None, text: bytes) -> str:
        """Why this one may not speak."""
        if sender == 99:
            return "MEMBER_ONLY"
        if number not in QUERIES:
            return "UNKNOWN_QUERY"
        speaks = sender in self.parties[number] if who is None else who == self.askers[number]
        if not speaks:
            return "NOT_A_PARTY"
        return "STATEMENT_USED" if who and text in self.heard else ""

    @rule(number=NUMBERS, kind=st.sampled_from([1, 1, 5, 0]), sender=ANYBODY, who=SPEAKERS)
    def open(self, number: int, kind: int, sender: int, who: str | None) -> None:
        text = self.said(number, 0, 16 + kind)
        expected = self.silenced(number, sender, who, text) if kind else "DISPUTE_KIND"
        values = (query_id(number), kind, CLAIM, DETAIL)
        if self.send(sender, "open_dispute", *values, expected=expected, said=(who, text) if who else None):
            self.disputes.append(Dispute(number, kind, sender, who is not None))
            self.heard |= {text} if who else set()

    def about(self, place: int) -> tuple[Dispute, str]:
        """A dispute, and why nothing can be said to it."""
        if place >= len(self.disputes):
            return Dispute(1, 0, 0, False), "UNKNOWN_DISPUTE"
        found = self.disputes[place]
        return found, "" if found.state == 1 else "DISPUTE_CLOSED"

    @rule(place=st.integers(0, 2), sender=ANYBODY, who=SPEAKERS)
    def answer(self, place: int, sender: int, who: str | None) -> None:
        found, over = self.about(place)
        text = self.said(found.query, place, 1)
        expected = over or self.silenced(found.query, sender, who, text)
        if self.send(
            sender, "answer_dispute", place, CLAIM, DETAIL, expected=expected, said=(who, text) if who else None
        ):
            self.heard |= {text} if who else set()

    @rule(place=st.integers(0, 2), outcome=st.sampled_from([1, 2, 3, 4, 4, 4]), sender=ANYBODY, who=SPEAKERS)
    def close(self, place: int, outcome: int, sender: int, who: str | None) -> None:
        found, over = self.about(place)
        text = self.said(found.query, place, 2)
        if outcome == 1:
            expected = "OUTCOME"
        elif outcome < 4:
            expected = "" if sender == 1 else "SUPERVISOR_ONLY"
        elif found.by_inquirer:
            expected = self.silenced(found.query, sender, who, text) or ("" if who else "CLAIMANT_ONLY")
        elif sender == 99:
            expected = "MEMBER_ONLY"
        else:
            expected = "CLAIMANT_ONLY" if who or sender != found.member else ""
        values = (place, outcome, CLAIM, DETAIL)
        if self.send(sender, "close_dispute", *values, expected=over or expected, said=(who, text) if who else None):
            found.state = outcome

    @rule(place=st.integers(0, 2))
    def withdraw(self, place: int) -> None:
        """Random single steps seldom come this far."""
        found, _ = self.about(place)
        self.close(place, 4, found.member, self.askers[found.query] if found.by_inquirer else None)

    # --------------------------------------------------------- what must hold

    @invariant()
    def contract_and_model_agree(self) -> None:
        view = self.world.view
        for (member, pool), upto in self.marks.items():
            assert view("records.marked", member, word(pool)) == (upto,)
        for holder in (2, 3):
            for at in (0, 1, 2, 3, 4, 5, 6, 7, 127):
                assert view("records.usage", holder, at) == (self.usage[holder, at], self.hours[holder])
        for number in (1, 2, 3):
            assert view("records.accesses", query_id(number)) == (self.looks[number],)
        assert view("records.dispute_count") == (len(self.disputes),)
        for place, one in enumerate(self.disputes):
            stored = (one.state, one.kind, one.member, one.by_inquirer, query_id(one.query))
            assert view("records.dispute", place) == stored


TestRecords = Records.TestCase
TestRecords.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
