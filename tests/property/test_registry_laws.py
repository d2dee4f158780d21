"""Random calls of the registries against a model in plain Python: both refuse for one reason, and hold the same."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.contract import encode_args
from ledger.encoding import word
from tests.support.contracts import World, bitmap, bits, inquirer_address, key, model_hash, query_id, standard
from tests.support.council import at_once

BASE = World(genesis=standard())
SUPPLIERS, PARTICIPANTS, NODES = {6, 7, 8}, {6, 7, 8, 9}, {2, 3, 4, 5}
MODELS = st.sampled_from(["after", "off", "new"])
KEYS = st.sampled_from(["inquirer", "inquirer", "second", "third"])
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SALT = b"\x0a" * 32
BUDGET = 2**64 - 1
SETTINGS = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class Play(RuleBasedStateMachine):
    """A world and a clock; the companies' calls are made as `governance` makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = BASE.fork()

    def decide(self, method: str, *values: object, expected: str) -> bool:
        """The companies' call has the outcome that the model foresees; whether it was made."""
        assert at_once(self.world, f"registries.{method}", *values) == expected
        return not expected

    def send(self, sender: int, method: str, *values: object, expected: str) -> bool:
        """A member's call has the outcome that the model foresees; whether it was made."""
        args = encode_args(f"registries.{method}", *values)
        assert self.world.run(self.world.tx(sender, f"registries.{method}", args)).reason == expected
        return not expected

    @rule(step=st.sampled_from([1, HOUR_MS, DAY_MS]))
    def wait(self, step: int) -> None:
        self.world.now += step


# ----------------------------------------------------------------------------------------- who may ask whom for what


@dataclass
class Inquirer:
    """One inquirer, whatever its key."""

    key: str
    quota: int
    active: bool = True
    used: Counter[int] = field(default_factory=Counter)
    """Registrations by day."""


class Asking(Play):
    """Models, approvals, inquirers and what they ask."""

    def __init__(self) -> None:
        super().__init__()
        self.approvals = {name: set(PARTICIPANTS) for name in ("before", "after", "off")}
        self.retired: set[str] = set()
        self.inquirers = [Inquirer("inquirer", quota=1000), Inquirer("other inquirer", quota=1)]
        self.owners = {one.key: one for one in self.inquirers}
        """Every key there ever was, and whose it is."""
        self.asked: set[int] = set()

    @rule(model=MODELS, minimum=st.sampled_from([1, 1, 2]))
    def publish(self, model: str, minimum: int) -> None:
        """Suppliers of class 0b011 are of three companies, which must be two more than the minimum."""
        expected = "SUPPLIERS_TOO_FEW" if minimum > 1 else ""
        expected = "MODEL_EXISTS" if model in self.approvals else expected
        values = (model_hash(model), 0b011, minimum, 2, (b"credit".ljust(32, b"\0"),), 8, 700)
        if self.decide("publish_model", *values, expected=expected):
            self.approvals[model] = set()

    @rule(model=st.sampled_from(["off", "new"]))
    def retire(self, model: str) -> None:
        expected = "MODEL_RETIRED" if model in self.retired else ""
        expected = expected if model in self.approvals else "UNKNOWN_MODEL"
        if self.decide("retire_model", model_hash(model), expected=expected):
            self.retired.add(model)

    @rule(model=MODELS, sender=st.sampled_from([6, 7, 8, 9, 2]), approved=st.booleans())
    def approve(self, model: str, sender: int, approved: bool) -> None:
        expected = ""
        if sender not in PARTICIPANTS:
            expected = "PARTICIPANT_ONLY"
        elif model not in self.approvals:
            expected = "UNKNOWN_MODEL"
        elif approved and model in self.retired:
            expected = "MODEL_RETIRED"
        elif (sender in self.approvals[model]) == approved:
            expected = "APPROVAL_SAME"
        if self.send(sender, "approve_model", model_hash(model), approved, expected=expected):
            self.approvals[model] ^= {sender}

    def present(self, who: str) -> Inquirer | None:
        """An inquirer by the key that it has now."""
        found = self.owners.get(who)
        return found if found and found.key == who else None

    @rule(who=KEYS, company=st.sampled_from([0, 8, 9]), quota=st.integers(0, 2))
    def add(self, who: str, company: int, quota: int) -> None:
        expected = "INQUIRER_EXISTS" if who in self.owners else "UNKNOWN_COMPANY" if company == 9 else ""
        if self.decide("add_inquirer", inquirer_address(who), company, quota, expected=expected):
            self.owners[who] = Inquirer(who, quota=quota)
            self.inquirers.append(self.owners[who])

    @rule(who=KEYS, quota=st.integers(0, 2))
    def set_quota(self, who: str, quota: int) -> None:
        found = self.present(who)
        expected = "" if found else "UNKNOWN_INQUIRER"
        if self.decide("set_quota", inquirer_address(who), quota, expected=expected) and found:
            found.quota = quota

    @rule(who=KEYS, active=st.booleans())
    def suspend_or_resume(self, who: str, active: bool) -> None:
        found, expected = self.present(who), ""
        if found is None:
            expected = "UNKNOWN_INQUIRER"
        elif found.active == active:
            expected = "ACTIVE" if active else "NOT_ACTIVE"
        method = "resume_inquirer" if active else "suspend_inquirer"
        if self.decide(method, inquirer_address(who), expected=expected) and found:
            found.active = active

    @rule(who=KEYS, successor=KEYS)
    def rotate(self, who: str, successor: str) -> None:
        found = self.present(who)
        expected = "INQUIRER_EXISTS" if successor in self.owners else ""
        expected = expected if found else "UNKNOWN_INQUIRER"
        addresses = (inquirer_address(who), inquirer_address(successor))
        if self.decide("rotate_inquirer", *addresses, expected=expected) and found:
            found.key, self.owners[successor] = successor, found

    @rule(who=KEYS, model=MODELS)
    def ask(self, who: str, model: str) -> None:
        found, day, number = self.present(who), self.world.now // DAY_MS, len(self.asked)
        panel = SUPPLIERS & self.approvals.get(model, set())
        expected = ""
        if found is None or not found.active:
            expected = "UNKNOWN_INQUIRER"
        elif model not in self.approvals:
            expected = "UNKNOWN_MODEL"
        elif model in self.retired:
            expected = "MODEL_RETIRED"
        elif not panel:
            expected = "SUPPLIERS_TOO_FEW"
        elif found.used[day] >= found.quota:
            expected = "QUOTA_EXCEEDED"
        request = self.world.request(query_id(number), model=model, panel=bitmap(panel))
        assert self.world.run(self.world.register_tx(request, inquirer=who)).reason == expected
        if not expected and found:
            found.used[day] += 1
            self.asked.add(number)

    @rule()
    def ask_as_often_as_the_quota_admits(self) -> None:
        """Random single steps seldom come this far."""
        first = self.inquirers[0]
        self.decide("set_quota", inquirer_address(first.key), 1, expected="")
        first.quota = 1
        self.ask(first.key, "after")
        self.ask(first.key, "after")

    @invariant()
    def contract_and_model_agree(self) -> None:
        view = self.world.view
        for name, approved in self.approvals.items():
            found = view("registries.model", model_hash(name))
            assert (found[0], found[6], set(bits(found[7]))) == (True, name in self.retired, approved)
            assert view("registries.panel", model_hash(name)) == (bitmap(approved & SUPPLIERS),)
        assert view("registries.inquirer_count") == (len(self.inquirers),)
        for index, one in enumerate(self.inquirers):
            assert view("registries.inquirer_at", index) == (inquirer_address(one.key),)
            assert view("registries.inquirer", inquirer_address(one.key))[1:] == (one.active, one.quota)


TestAsking = Asking.TestCase
TestAsking.settings = SETTINGS


# --------------------------------------------------------------------------------------------- what holds from when on


class Terms(Play):
    """Fees and the supervisor's keys over time."""

    def __init__(self) -> None:
        super().__init__()
        self.fees: Mapping[str, list[tuple[int, ...]]] = defaultdict(list)
        self.epochs = {7: (key("audit"), key("archive"))}

    @rule(model=MODELS, ahead=st.sampled_from([-1000, 0, 1, HOUR_MS]), fee=st.integers(0, 2**64 - 1))
    def set_fees(self, model: str, ahead: int, fee: int) -> None:
        values = (self.world.now + ahead, fee, fee // 2, fee // 3)
        expected = "UNKNOWN_MODEL" if model == "new" else ""
        if self.decide("set_fees", model_hash(model), *values, expected=expected):
            listed = self.fees[model]
            if listed and listed[-1][0] > self.world.now:
                listed.pop()
            listed.append((max(self.world.now, values[0]), *values[1:]))

    @rule(sender=st.sampled_from([1, 1, 1, 0]), step=st.sampled_from([1, 1, 1, 0, 2]), again=st.booleans())
    def rotate_audit_key(self, sender: int, step: int, again: bool) -> None:
        number = max(self.epochs) + step
        audit, archive = self.epochs[max(self.epochs)]
        new = audit if again else key(f"audit {number}")
        expected = "SUPERVISOR_ONLY" if sender != 1 else "EPOCH" if step != 1 or again else ""
        if self.send(sender, "rotate_audit_key", number, new, expected=expected):
            self.epochs[number] = (new, archive)

    @rule(step=st.integers(0, 3))
    def set_epoch(self, step: int) -> None:
        number = max(self.epochs) + step
        new = (key(f"audit {number}"), key(f"archive {number}"))
        if self.decide("set_epoch", number, *new, expected="" if step else "EPOCH"):
            self.epochs[number] = new

    @invariant()
    def contract_and_model_agree(self) -> None:
        newest = max(self.epochs)
        assert self.world.view("registries.epoch") == (newest, *self.epochs[newest])
        assert self.world.view("registries.epoch_at", min(self.epochs))[:2] == self.epochs[min(self.epochs)]
        for name, listed in self.fees.items():
            for at in {0, self.world.now, *(since + off for since, *_ in listed for off in (-1, 0))}:
                expected = next((entry for entry in reversed(listed) if entry[0] <= at), (0, 0, 0, 0))
                assert self.world.view("registries.fees", model_hash(name), at) == expected


TestTerms = Terms.TestCase
TestTerms.settings = SETTINGS


# ----------------------------------------------------------------------------------------------------------- OPRF keys


@dataclass
class Key:
    """One version of a participant's key."""

    holders: frozenset[int]
    state: int = 1
    waiting: set[int] = field(default_factory=set)


class Sharing(Play):
    """Two participants' keys, and holders that commit, reveal, copy and come too late."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[int, list[Key]] = {6: [], 7: []}

    @rule(participant=st.sampled_from([6, 7, 7, 2]), listed=st.sampled_from(["23", "234", "234", "345", "3", "27"]))
    def open(self, participant: int, listed: str) -> None:
        holders = frozenset(map(int, listed))
        expected = "HOLDERS" if holders - NODES else "THRESHOLD" if len(holders) < 2 else ""
        expected = "UNKNOWN_MEMBER" if participant == 2 else expected
        if self.decide("open_oprf", participant, bitmap(holders), 2, BUDGET, expected=expected):
            for unfinished in self.versions[participant]:
                unfinished.state = 4 if unfinished.state in {1, 2} else unfinished.state
            self.versions[participant].append(Key(holders, waiting=set(holders)))

    @rule(
        participant=st.sampled_from([6, 7, 7]),
        back=st.sampled_from([0, 0, 0, 1]),
        holder=st.sampled_from([2, 3, 4, 7]),
        reveals=st.booleans(),
        salt=st.sampled_from([SALT, SALT, b"\x0b" * 32]),
    )
    def contribute(self, participant: int, back: int, holder: int, reveals: bool, salt: bytes) -> None:
        version = max(len(self.versions[participant]) - back, 0)
        found = self.versions[participant][version - 1] if version else None
        expected = ""
        if found is None or holder not in found.holders:
            expected = "NOT_A_HOLDER"
        elif found.state != 1 + reveals:
            expected = "WRONG_STATE"
        elif holder not in found.waiting:
            expected = "ALREADY_CONTRIBUTED"
        elif reveals and salt != SALT:
            expected = "COMMITMENTS"
        if reveals:
            done = self.send(
                holder, "reveal_oprf", participant, version, word(holder), salt, b"proof", expected=expected
            )
        else:
            stated = word(participant) + word(version) + word(holder) + word(holder) + SALT + b"proof"
            digest = hashlib.sha256(stated).digest()
            done = self.send(holder, "commit_oprf", participant, version, digest, expected=expected)
        if done and found:
            found.waiting.remove(holder)
            if not found.waiting:
                found.state += 1
                found.waiting = set(found.holders) if found.state == 2 else set()

    @rule(participant=st.sampled_from([6, 7, 7]))
    def all_that_are_waited_for_contribute(self, participant: int) -> None:
        """Random single steps seldom come this far."""
        for found in self.versions[participant][-1:]:
            for holder in sorted(found.waiting):
                self.contribute(participant, 0, holder, found.state == 2, SALT)

    @rule(sender=st.sampled_from([6, 7, 7, 2]), version=st.integers(0, 2))
    def retire(self, sender: int, version: int) -> None:
        versions = self.versions.get(sender, [])
        serves = 0 < version <= len(versions) and versions[version - 1].state == 3
        expected = "PARTICIPANT_ONLY" if sender not in PARTICIPANTS else "" if serves else "WRONG_STATE"
        if self.send(sender, "retire_oprf", version, expected=expected):
            versions[version - 1].state = 4

    @invariant()
    def contract_and_model_agree(self) -> None:
        view = self.world.view
        for participant, versions in self.versions.items():
            assert view("registries.oprf_version", participant) == (len(versions),)
            for number, one in enumerate(versions, 1):
                waiting = one.waiting if one.state < 3 else set()
                found = (one.state, bitmap(one.holders), bitmap(waiting), 2, BUDGET)
                assert view("registries.oprf", participant, number) == found
                if one.state == 3:
                    shares = [view("registries.oprf_share", participant, number, holder)[0] for holder in one.holders]
                    assert shares == [word(holder) for holder in one.holders]


TestSharing = Sharing.TestCase
TestSharing.settings = SETTINGS
