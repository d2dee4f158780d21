"""A consortium of eight daemons and an inquirer, in memory: who they are, their keys, their records, their model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ledger.types import ChainId, InquirerRecord, Millis
from mpcnode.config.consortium import ConsensusTimings, Consortium, ListedInquirer, ListedModel
from mpcnode.query.committee import address_of
from mpcnode.roles.auditing import AuditKeyring
from mpcnode.roles.compute import Compute
from mpcnode.roles.context import Context
from mpcnode.roles.operator import Operator
from mpcnode.roles.participant import Participant
from mpcnode.roles.ports import BlobsPort, JournalPort, LedgerPort, PeersPort
from mpcnode.roles.supervisor import Supervisor
from mpcnode.scorecard import Columns, Contribution, Layout, Model, PanelMember, lay_out, model_hash, parse
from mpcnode.sealing.keys import OpeningKey, SigningKey
from mpcnode.sealing.pseudonyms import make_pseudonym, normalise
from mpcnode.types import (
    AuditMode,
    Bitmap,
    CompanyIndex,
    CorrelationSource,
    Epoch,
    EpochKeys,
    Member,
    MemberIndex,
    ModelHash,
    Role,
)
from tests.support.models import CREDIT

START = 1_800_000_000_000
PURPOSE = "loan-origination"
COMPANIES = ("platform", "bank", "insurer", "savings", "notary", "regulator", "lender", "spare", "reserve")
CLASSES = ("accounts", "insurance", "savings")

OPERATOR, BANK, BANK_MPC, INSURER, INSURER_MPC, SAVINGS, NOTARY_MPC, REGULATOR, SPARE_MPC, RESERVE_MPC = map(
    MemberIndex, range(10)
)
PANEL = (BANK, INSURER, SAVINGS)
NODES = (BANK_MPC, INSURER_MPC, NOTARY_MPC)
_SEATS: tuple[tuple[str, str, Role, bool, int], ...] = (
    ("operator", "platform", Role.OPERATOR, True, 0),
    ("bank-data", "bank", Role.PARTICIPANT, False, 0b001),
    ("bank-mpc", "bank", Role.MPC, True, 0),
    ("insurer-data", "insurer", Role.PARTICIPANT, False, 0b010),
    ("insurer-mpc", "insurer", Role.MPC, True, 0),
    ("savings-data", "savings", Role.PARTICIPANT, True, 0b100),
    ("notary-mpc", "notary", Role.MPC, True, 0),
    ("regulator", "regulator", Role.SUPERVISOR, True, 0),
    ("spare-mpc", "spare", Role.MPC, False, 0),
    ("reserve-mpc", "reserve", Role.MPC, False, 0),
)
ALICE, BOB, NOBODY_KNOWS = "DE-0001", "DE-0002", "DE-9999"
RECORDS: Mapping[MemberIndex, Mapping[str, Mapping[str, int | None]]] = {
    BANK: {ALICE: {"income": 320_000, "overdraft_days": 3}, BOB: {"income": None, "overdraft_days": 80}},
    INSURER: {ALICE: {"claims": 1}, BOB: {"claims": 9}},
    SAVINGS: {ALICE: {"balance_change": 12_000}},
}
"""Bob is unknown to the savings bank."""


def seed(name: str) -> bytes:
    return hashlib.sha256(f"in-process consortium: {name}".encode()).digest()


SUBJECT_KEY, SUBJECT_EPOCH = seed("subject key"), Epoch(4)
AUDIT, ARCHIVE = OpeningKey(seed("audit")), OpeningKey(seed("archive"))
LATER_AUDIT = OpeningKey(seed("later audit"))
"""For the epoch after the first."""
LENDER, STRANGER = SigningKey(seed("lender")), SigningKey(seed("stranger"))


def identity(member: int) -> SigningKey:
    return SigningKey(seed(f"identity {member}"))


def sealing(member: int) -> OpeningKey:
    return OpeningKey(seed(f"sealing {member}"))


def vote_key(member: int) -> SigningKey:
    return SigningKey(seed(f"vote {member}"))


def stream(name: str) -> Callable[[int], bytes]:
    """Bytes that look random and repeat in every run."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"{name} {drawn}".encode()).digest(size)

    return draw


def member(index: int) -> Member:
    name, company, role, votes, classes = _SEATS[index]
    return Member(
        index=MemberIndex(index),
        name=name,
        company=CompanyIndex(COMPANIES.index(company)),
        roles=role,
        identity=identity(index).public,
        sealing=sealing(index).public,
        vote_key=vote_key(index).public if votes else None,
        classes=classes,
    )


@lru_cache
def model_of(audit: AuditMode) -> Model:
    return parse(CREDIT.replace("after release", audit.name.lower().replace("_", " ")).encode())


@dataclass(frozen=True)
class Setting:
    """Everything that the consortium document would say; equal settings make equal consortia."""

    audit: AuditMode = AuditMode.AFTER_RELEASE
    spares: int = 0
    """MPC nodes beyond the three."""
    anchors: tuple[tuple[MemberIndex, int], ...] = ()
    """Anchor bitmaps by participant."""
    correlations: CorrelationSource = CorrelationSource.DEALER
    stock_items: int = field(default=0, repr=False)

    @property
    def model(self) -> Model:
        return model_of(self.audit)

    def consortium(self) -> Consortium:
        members = tuple(member(index) for index in range(8 + self.spares))
        anchors = dict(self.anchors)
        return Consortium(
            path=Path("consortium.toml"),
            name="in-process",
            chain=ChainId(seed(f"chain {self}")),
            classes=CLASSES,
            companies=COMPANIES,
            members=tuple(replace(m, anchors=Bitmap(anchors.get(m.index, 0))) for m in members),
            certificates=(),
            models=(
                ListedModel(
                    name=self.model.name,
                    file=Path("credit.toml"),
                    model=ModelHash(model_hash(self.model)),
                    classes=0b111,
                    minimum=self.model.minimum_coverage,
                    audit=self.audit,
                    purposes=self.model.purposes,
                ),
            ),
            inquirers=(ListedInquirer(name="lender", company=CompanyIndex(6), key=LENDER.public, quota_per_day=1_000),),
            epoch=EpochKeys(epoch=Epoch(7), audit=AUDIT.public, archive=ARCHIVE.public),
            committee_companies_min=3,
            timings=ConsensusTimings(
                view_timeout_ms=Millis(400), view_timeout_ms_max=Millis(1_500), resend_ms=Millis(100)
            ),
            subject_scheme="keyed",
            subject_epoch=SUBJECT_EPOCH,
            correlations=self.correlations,
        )


class FakeRecords:
    """A participant's records by pseudonym; `poison` changes what a look-up finds, of `poisoned` if it names one."""

    def __init__(self, member: MemberIndex) -> None:
        self._rows: dict[bytes, dict[str, int | None]] = {
            make_pseudonym(SUBJECT_KEY, normalise(subject)): dict(row) for subject, row in RECORDS[member].items()
        }
        self.poison: dict[str, int | None] = {}
        self.poisoned: str | None = None

    def lookup(self, pseudonyms: bytes, attributes: Sequence[str]) -> Columns:
        known = [pseudonyms[at : at + 32] for at in range(0, len(pseudonyms), 32)]
        only = None if self.poisoned is None else make_pseudonym(SUBJECT_KEY, normalise(self.poisoned))
        rows = [self._found(pseudonym, {} if only not in {None, pseudonym} else self.poison) for pseudonym in known]
        cells = [[None if row is None else row.get(name) for row in rows] for name in attributes]
        return Columns(
            known=np.array([row is not None for row in rows]),
            present=np.array([[cell is not None for cell in of] for of in cells]).reshape(len(cells), len(rows)),
            values=np.array([[cell or 0 for cell in of] for of in cells], np.int64).reshape(len(cells), len(rows)),
        )

    def _found(self, pseudonym: bytes, poison: dict[str, int | None]) -> dict[str, int | None] | None:
        row = self._rows.get(pseudonym)
        return None if row is None else row | poison


def contribution(model: Model, member_index: MemberIndex, subject: str) -> Contribution:
    """What a participant should contribute, in clear."""
    wanted = [
        attribute for attribute in model.attributes if CLASSES.index(attribute.data_class) == PANEL.index(member_index)
    ]
    row = RECORDS[member_index].get(subject)
    return Contribution(
        known=row is not None, values=tuple(None if row is None else row[attribute.name] for attribute in wanted)
    )


def layout(model: Model) -> Layout:
    return lay_out(
        model, [PanelMember(member=who, classes=frozenset({CLASSES[seat]})) for seat, who in enumerate(PANEL)]
    )


def build_context(
    consortium: Consortium,
    model: Model,
    index: int,
    *,
    ledger: LedgerPort,
    peers: PeersPort,
    journal: JournalPort,
    blobs: BlobsPort,
    clock,
    stock_items: int = 0,
) -> Context:
    return Context(
        chain=consortium.chain,
        me=consortium.members[index],
        members={m.index: m for m in consortium.members},
        classes=consortium.classes,
        inquirers={
            address_of(i.key): InquirerRecord(key=i.key, company=i.company, quota_per_day=i.quota_per_day)
            for i in consortium.inquirers
        },
        committee_companies_min=consortium.committee_companies_min,
        dealer=REGULATOR,
        models={consortium.models[0].model: model},
        identity=identity(index),
        ledger=ledger,
        peers=peers,
        journal=journal,
        blobs=blobs,
        clock=clock,
        random=stream(f"daemon {index}"),
        correlations=consortium.correlations,
        stock_items=stock_items,
    )


AnyRole = Operator | Participant | Compute | Supervisor


def build_role(context: Context, records: FakeRecords | None) -> AnyRole:
    match context.me.roles:
        case Role.OPERATOR:
            return Operator(context)
        case Role.MPC:
            return Compute(context)
        case Role.SUPERVISOR:
            private = {key.public: key for key in (AUDIT, LATER_AUDIT)}
            keys = AuditKeyring(chain=context.chain, audit=private, subject_key=SUBJECT_KEY)
            return Supervisor(context, keys, seed("dealer master"))
        case _:
            assert records is not None
            return Participant(
                context,
                records=records,
                sealing=sealing(context.me.index),
                subject_epoch=SUBJECT_EPOCH,
                journal_key=seed(f"journal {context.me.index}"),
            )
