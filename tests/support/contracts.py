"""A consortium on the real contracts: one call makes one block, with clock and state in hand."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak

from ledger.contract import ContractHost, address_of, decode_log, encode_args
from ledger.encoding import statement, word
from ledger.types import (
    ChainId,
    Cosignature,
    Digest,
    EpochRecord,
    Genesis,
    Height,
    InquirerRecord,
    MemberRecord,
    Millis,
    ModelRecord,
    PublicKey,
    Receipt,
    Signature,
    Transaction,
)

CHAIN = ChainId(hashlib.sha256(b"the consortium of the contract tests").digest())
START = 1_800_000_000_000
OPERATOR, MPC, PARTICIPANT, SUPERVISOR = 1, 2, 4, 8
BEFORE, AFTER, OFF = 1, 2, 3
GET_FIELDS = (
    *("state", "attempt", "mode", "verdict", "minimum", "epoch", "contribute_by", "deadline", "computing_at"),
    *("panel", "committed", "refused", "excluded", "committee", "model", "request_hash", "inquirer"),
)
STATES = ("NONE", "REGISTERED", "COMPUTING", "ANSWERED", "RELEASED", "REFUSED", "ABORTED", "EXPIRED")
COPY = b"\x07" * 312
NO_SIGNATURE = Signature(bytes(64))


def key(name: str) -> PublicKey:
    return PublicKey(hashlib.sha256(name.encode()).digest())


def model_hash(name: str) -> Digest:
    return Digest(hashlib.sha256(f"model {name}".encode()).digest())


def query_id(number: int) -> bytes:
    return hashlib.sha256(f"query {number}".encode()).digest()


def member(index: int, company: int, roles: int, *, classes: int = 0, anchors: int = 0, votes: bool = False):
    return MemberRecord(
        name=f"member-{index}",
        company=company,
        roles=roles,
        identity=key(f"identity {index}"),
        vote_key=key(f"vote {index}") if votes else None,
        classes=classes,
        anchors=anchors,
    )


def consortium(members: Sequence[MemberRecord], *, companies_min: int = 3, quota: int = 1000) -> Genesis:
    """Members with three models (one of each audit mode; class bits 0b011) and two inquirers of company 0 and 1."""
    last = max(m.company for m in members)
    return Genesis(
        chain=CHAIN,
        companies=tuple(f"company {index}" for index in range(last + 1)),
        members=tuple(members),
        models=tuple(
            ModelRecord(
                model=model_hash(name), classes=0b011, minimum=2, mode=mode, purposes=("credit", "review", *more)
            )
            for name, mode, more in (("before", BEFORE, ()), ("after", AFTER, ()), ("off", OFF, ("statistics",)))
        ),
        inquirers=(
            InquirerRecord(key=key("inquirer"), company=0, quota_per_day=quota),
            InquirerRecord(key=key("other inquirer"), company=min(1, last), quota_per_day=1),
        ),
        epoch=EpochRecord(epoch=7, audit_key=key("audit"), archive_key=key("archive")),
        committee_companies_min=companies_min,
    )


def standard() -> Genesis:
    """0 operator, 1 supervisor, 2-5 MPC (four companies), 6-8 participants (6 of the inquirer's company), 9 idle."""
    return consortium(
        [
            member(0, 0, OPERATOR, votes=True),
            member(1, 1, SUPERVISOR, votes=True),
            *(member(2 + i, 2 + i, MPC, votes=i < 2) for i in range(4)),
            member(6, 0, PARTICIPANT, classes=0b001),
            member(7, 6, PARTICIPANT, classes=0b010),
            member(8, 7, PARTICIPANT, classes=0b111),
            member(9, 8, PARTICIPANT, classes=0b100),
        ]
    )


# ------------------------------------------------------------- docs/protocol.md 6.1 and 6.2, written a second time


def bits(bitmap: int) -> list[int]:
    return [index for index in range(bitmap.bit_length()) if bitmap >> index & 1]


def bitmap(indices) -> int:
    return sum(1 << index for index in set(indices))


def panel_of(genesis: Genesis, classes: int = 0b011) -> int:
    return bitmap(i for i, m in enumerate(genesis.members) if m.roles & PARTICIPANT and m.classes & classes)


def rank_value(query: bytes, attempt: int, index: int) -> int:
    return int.from_bytes(keccak(query + word(attempt) + word(index)), "big")


def is_sufficient(genesis: Genesis, pool: set[int], panel: int) -> bool:
    companies = {genesis.members[i].company for i in pool}
    lists = [genesis.members[i].anchors for i in bits(panel) if genesis.members[i].anchors]
    return len(companies) >= genesis.committee_companies_min and all(pool & set(bits(a)) for a in lists)


def pool_of(genesis: Genesis, panel: int, excluded: int) -> tuple[set[int], int]:
    """The pool, and the exclusions that remain."""
    everyone = {i for i, m in enumerate(genesis.members) if m.roles & MPC}
    pool = everyone - set(bits(excluded))
    if pool == everyone or is_sufficient(genesis, pool, panel):
        return pool, excluded
    return everyone, 0


def order_of(query: bytes, attempt: int, pool) -> list[int]:
    return sorted(pool, key=lambda index: rank_value(query, attempt, index))


def committee_of(genesis: Genesis, query: bytes, attempt: int, panel: int, excluded: int = 0) -> list[int] | None:
    """The committee in rank order; None if none meets the rule."""
    pool, _ = pool_of(genesis, panel, excluded)
    order = order_of(query, attempt, pool)
    chosen: list[int] = []
    for index in order:
        if len(chosen) < 3 and genesis.members[index].company not in {genesis.members[c].company for c in chosen}:
            chosen.append(index)
    if len(chosen) < genesis.committee_companies_min:
        return None
    for participant in bits(panel):
        anchors = set(bits(genesis.members[participant].anchors))
        if anchors and not anchors & set(chosen):
            best = next((index for index in order if index in anchors), None)
            if best is None or len(chosen) == 8:
                return None
            chosen.append(best)
    return [index for index in order if index in chosen]


# ------------------------------------------------------------- statements and transactions


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request statement, by its words."""

    query: bytes
    model: bytes
    panel: int
    contribute_by: int
    deadline: int
    domain: str = "mpcnode/request/1"
    chain: bytes = CHAIN
    purpose: str = "credit"
    consent: bytes = b"\x01" * 32
    result_key: bytes = b"\x02" * 32
    scheme: str = "keyed"
    subject: bytes = b"\x03" * 32
    copy_hash: bytes = hashlib.sha256(COPY).digest()
    tokens: bytes = b"\x04" * 32
    epoch: int = 7
    subjects: int = 1
    blobs: tuple[bytes, bytes] = (bytes(32), bytes(32))

    def bytes(self) -> bytes:
        return statement(
            self.domain,
            ChainId(self.chain),
            self.query,
            self.model,
            self.panel,
            self.purpose,
            self.consent,
            self.contribute_by,
            self.deadline,
            self.result_key,
            self.scheme,
            self.subject,
            self.copy_hash,
            self.tokens,
            self.epoch,
            self.subjects,
            *self.blobs,
        )


@dataclass(frozen=True, kw_only=True)
class End:
    """An end statement, by its words."""

    query: bytes
    attempt: int
    inquirer_box: bytes
    supervisor_box: bytes
    domain: str = "mpcnode/end/1"
    chain: bytes = CHAIN
    session: bytes = b"\x05" * 32
    deal: bytes = b"\x06" * 32
    transcript: bytes = b"\x08" * 32
    output: bytes = b"\x09" * 32

    def bytes(self) -> bytes:
        return statement(
            self.domain,
            ChainId(self.chain),
            self.query,
            self.attempt,
            self.session,
            self.deal,
            self.transcript,
            self.output,
            hashlib.sha256(self.inquirer_box).digest(),
            hashlib.sha256(self.supervisor_box).digest(),
        )


def transaction(
    sender: PublicKey, method: str, args: bytes, cosigned: Sequence[tuple[PublicKey, bytes]] = ()
) -> Transaction:
    """A transaction as the host sees it: signatures were checked before."""
    return Transaction(
        chain=CHAIN,
        sender=sender,
        expiry_ms=Millis(START + 3_600_000),
        unique=bytes(16),
        method=method,
        args=args,
        cosigners=tuple(Cosignature(key=who, statement=stated, signature=NO_SIGNATURE) for who, stated in cosigned),
        signature=NO_SIGNATURE,
    )


@dataclass(kw_only=True)
class World:
    """One replica without consensus. `now` moves by hand; every `run` is a block of one transaction."""

    genesis: Genesis
    now: int = START
    height: int = 0
    root: Digest = field(init=False)
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    host: ContractHost = field(init=False)

    def __post_init__(self) -> None:
        self.host = ContractHost(self.genesis.chain, self.nodes.get)
        done = self.host.genesis(self.genesis)
        self.nodes.update(done.nodes)
        self.root = done.state_root

    def run(self, tx: Transaction) -> Receipt:
        self.height += 1
        done = self.host.execute(self.root, Height(self.height), Millis(self.now), [tx])
        self.nodes.update(done.nodes)
        self.root = done.state_root
        (receipt,) = done.receipts
        return receipt

    def fork(self) -> "World":
        """The same state on its own."""
        other = copy.copy(self)
        other.nodes = dict(self.nodes)
        other.host = ContractHost(self.genesis.chain, other.nodes.get)
        return other

    def view(self, method: str, *args: object):
        return self.host.view(self.root, Height(self.height), Millis(self.now), method, *args)

    def get(self, query: bytes) -> dict[str, Any]:
        values = dict(zip(GET_FIELDS, self.view("queries.get", query), strict=True))
        values["state"] = STATES[values["state"]]
        return values

    # --------------------------------------------------------- the transactions of a query

    def request(self, query: bytes, *, model: str = "after", window: int = 10_000, life: int = 60_000, **changes):
        values: dict[str, Any] = {
            "query": query,
            "model": model_hash(model),
            "panel": panel_of(self.genesis),
            "contribute_by": self.now + window,
            "deadline": self.now + life,
        }
        return Request(**(values | changes))

    def pool_order(self, query: bytes, attempt: int, excluded: int = 0) -> list[int]:
        panel = panel_of(self.genesis)
        return order_of(query, attempt, pool_of(self.genesis, panel, excluded)[0])

    def register_tx(
        self, request: Request, *, sender: int = 0, inquirer: str = "inquirer", copy=COPY, order=None
    ) -> Transaction:
        order = self.pool_order(request.query, 1) if order is None else order
        args = encode_args("queries.register", copy, order)
        return self.tx(sender, "queries.register", args, [(key(inquirer), request.bytes())])

    def tx(
        self, sender: int, method: str, args: bytes, cosigned: Sequence[tuple[PublicKey, bytes]] = ()
    ) -> Transaction:
        return transaction(key(f"identity {sender}"), method, args, cosigned)

    def register(self, query: bytes, **options) -> Receipt:
        return self.run(self.register_tx(self.request(query, **options)))

    def commit_tx(self, query: bytes, sender: int, *, attempt: int = 1, count: int | None = None, envelope=b"e" * 600):
        count = len(self.get(query)["committee"]) if count is None else count
        commitments = [hashlib.sha256(bytes([sender, node])).digest() for node in range(count)]
        args = encode_args("queries.commit_input", query, attempt, commitments, envelope)
        return self.tx(sender, "queries.commit_input", args)

    def commit(self, query: bytes, sender: int, **options) -> Receipt:
        return self.run(self.commit_tx(query, sender, **options))

    def call(self, sender: int, method: str, *values: object) -> Receipt:
        return self.run(self.tx(sender, f"queries.{method}", encode_args(f"queries.{method}", *values)))

    def ends(self, query: bytes, attempt: int, size: int, **changes) -> list[End]:
        return [
            End(
                query=query,
                attempt=attempt,
                inquirer_box=bytes([rank, 1]) * 100,
                supervisor_box=bytes([rank, 2]) * 200,
                **changes,
            )
            for rank in range(size)
        ]

    def post_tx(
        self, query: bytes, *, attempt: int = 1, sender: int | None = None, ends=None, signers=None, boxes=None
    ) -> Transaction:
        committee = self.get(query)["committee"]
        ends = self.ends(query, attempt, len(committee)) if ends is None else ends
        signers = committee if signers is None else signers
        inquirer_boxes, supervisor_boxes = boxes or (
            b"".join(end.inquirer_box for end in ends),
            b"".join(end.supervisor_box for end in ends),
        )
        args = encode_args("queries.post_result", query, attempt, inquirer_boxes, supervisor_boxes)
        cosigned = [
            (key(f"identity {index}"), end if isinstance(end, bytes) else end.bytes())
            for index, end in zip(signers, ends, strict=True)
        ]
        return self.tx(committee[0] if sender is None else sender, "queries.post_result", args, cosigned)

    def post(self, query: bytes, **options) -> Receipt:
        return self.run(self.post_tx(query, **options))

    def attest(self, query: bytes, verdict: int, *, sender: int = 1, attempt: int = 1) -> Receipt:
        return self.call(sender, "attest", query, attempt, verdict, 3, 2, 1, b"release")

    # --------------------------------------------------------- ways to a state

    def to_computing(self, query: bytes, *, model: str = "after", attempt: int = 1) -> None:
        if attempt == 1:
            must(self.register(query, model=model))
        for participant in bits(panel_of(self.genesis)):
            must(self.commit(query, participant, attempt=attempt))

    def to_answered(self, query: bytes, *, model: str = "after") -> None:
        self.to_computing(query, model=model)
        must(self.post(query))

    def fail(
        self, query: bytes, attempt: int, *, sender: int | None = None, reason: int = 1, waited: int = 0, order=None
    ):
        view = self.get(query)
        if order is None:
            gone = view["excluded"] | (waited & bitmap(view["committee"]))
            order = self.pool_order(query, attempt + 1, gone)
        sender = view["committee"][0] if sender is None else sender
        return self.call(sender, "fail_attempt", query, attempt, reason, waited, order)


@dataclass(frozen=True)
class Happened:
    """A decoded event whose values tests need not cast."""

    contract: str
    event: str
    values: dict[str, Any]


def must(receipt: Receipt) -> list[Happened]:
    """The events of a transaction that must have succeeded."""
    assert receipt.ok, receipt.reason
    logs = [decode_log(log) for log in receipt.logs]
    return [Happened(log.contract, log.event, dict(log.values)) for log in logs]


def no_node(_: bytes) -> None:
    """A store that holds nothing."""


def some(committee: list[int] | None) -> list[int]:
    """A committee that there must be."""
    assert committee is not None
    return committee


def reason_of(receipt: Receipt) -> str:
    """Why a transaction failed that must have failed; it left no event."""
    assert not receipt.ok
    assert receipt.logs == ()
    return receipt.reason


def inquirer_address(name: str = "inquirer"):
    return address_of(key(name))
