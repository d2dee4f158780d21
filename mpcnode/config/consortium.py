"""The consortium document: who belongs to it, under which keys, and which models it knows.

Its bytes are the chain: whoever reads another document lives on another ledger. Sets of data classes and of members
are bitmaps, as in the contracts.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ledger.types import (
    ChainId,
    Digest,
    EpochRecord,
    Genesis,
    InquirerRecord,
    MemberRecord,
    Millis,
    ModelRecord,
    PublicKey,
)
from mpcnode.config.document import ConsortiumDocument, MemberTable, ModelTable
from mpcnode.config.reading import read_bytes, read_shape
from mpcnode.config.rules import Document, check_document
from mpcnode.errors import ConfigError
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
    SealingKey,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model that the consortium may be asked to compute."""

    name: str
    file: Path
    """Where the document says that the model document lies; it may be absent where nothing is computed."""
    model: ModelHash
    classes: int
    """Bitmap of the data classes that it needs."""
    minimum: int
    """Companies other than the inquirer's that must contribute."""
    audit: AuditMode
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInquirer:
    """Somebody who may ask."""

    name: str
    company: CompanyIndex
    key: PublicKey
    quota_per_day: int


N = TypeVar("N", Member, ListedModel, ListedInquirer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusTimings:
    """How patient the validators are, ms."""

    view_timeout_ms: Millis
    """First view of a height; each further one waits half as long again."""
    view_timeout_ms_max: Millis
    resend_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Consortium:
    """The consortium document, checked."""

    path: Path
    name: str
    chain: ChainId
    classes: tuple[str, ...]
    companies: tuple[str, ...]
    members: tuple[Member, ...]
    certificates: tuple[bytes, ...] = field(repr=False)
    """The TLS certificate of each member, DER."""
    models: tuple[ListedModel, ...]
    inquirers: tuple[ListedInquirer, ...]
    epoch: EpochKeys
    committee_companies_min: int
    timings: ConsensusTimings
    subject_scheme: str
    subject_epoch: Epoch
    """Of the subject key."""
    correlations: CorrelationSource = CorrelationSource.DEALER

    def genesis(self) -> Genesis:
        """Return the document as the ledger needs it."""
        return Genesis(
            chain=self.chain,
            companies=self.companies,
            members=tuple(_member_record(member) for member in self.members),
            models=tuple(
                ModelRecord(
                    model=Digest(model.model),
                    classes=model.classes,
                    minimum=model.minimum,
                    mode=int(model.audit),
                    purposes=model.purposes,
                )
                for model in self.models
            ),
            inquirers=tuple(
                InquirerRecord(key=inquirer.key, company=inquirer.company, quota_per_day=inquirer.quota_per_day)
                for inquirer in self.inquirers
            ),
            epoch=EpochRecord(epoch=self.epoch.epoch, audit_key=self.epoch.audit, archive_key=self.epoch.archive),
            committee_companies_min=self.committee_companies_min,
        )

    def member(self, name: str) -> Member:
        """Return the member of this name.

        Raises:
            ConfigError: there is none.
        """
        return self._named("member", name, self.members)

    def model(self, name: str) -> ListedModel:
        """Return the model of this name.

        Raises:
            ConfigError: there is none.
        """
        return self._named("model", name, self.models)

    def inquirer(self, name: str) -> ListedInquirer:
        """Return the inquirer of this name.

        Raises:
            ConfigError: there is none.
        """
        return self._named("inquirer", name, self.inquirers)

    def member_by_identity(self, key: bytes) -> Member | None:
        """Return the member with this identity key."""
        return next((member for member in self.members if member.identity == key), None)

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """SHA-256 of each member's TLS certificate (DER)."""
        return tuple(hashlib.sha256(certificate).digest() for certificate in self.certificates)

    def member_by_fingerprint(self, fingerprint: bytes) -> Member | None:
        """Return the member whose TLS certificate (DER) has this SHA-256."""
        owners = zip(self.fingerprints, self.members, strict=True)
        return next((member for owned, member in owners if owned == fingerprint), None)

    def model_by_hash(self, model: bytes) -> ListedModel | None:
        """Return the model with this hash."""
        return next((listed for listed in self.models if listed.model == model), None)

    def inquirer_by_key(self, key: bytes) -> ListedInquirer | None:
        """Return the inquirer with this key."""
        return next((inquirer for inquirer in self.inquirers if inquirer.key == key), None)

    def with_role(self, role: Role) -> tuple[Member, ...]:
        """Return the members that have this role, by index."""
        return tuple(member for member in self.members if member.roles & role)

    def _named(self, what: str, name: str, listed: Iterable[N]) -> N:
        known = tuple(listed)
        for item in known:
            if item.name == name:
                return item
        names = ", ".join(item.name for item in known) or "none"
        raise ConfigError(f"{self.path}: {what}: expected one of {names}, got {name!r}")


def load_consortium(path: Path) -> Consortium:
    """Read and check a consortium document.

    Raises:
        ConfigError: it has a mistake; the message names file, place, what was expected and what was found.
    """
    data = read_bytes(path)
    shape = read_shape(path, data, ConsortiumDocument)
    certificates = check_document(Document(path, shape))
    table = shape.consortium
    class_bits = {name: 1 << index for index, name in enumerate(table.classes)}
    return Consortium(
        path=path,
        name=table.name,
        chain=ChainId(hashlib.sha256(data).digest()),
        classes=tuple(table.classes),
        companies=tuple(company.name for company in shape.company),
        members=_members(shape, class_bits),
        certificates=certificates,
        models=tuple(_model(path, model, class_bits) for model in shape.model),
        inquirers=_inquirers(shape),
        epoch=EpochKeys(
            epoch=Epoch(shape.supervisor.epoch),
            audit=SealingKey(bytes.fromhex(shape.supervisor.audit_key)),
            archive=SealingKey(bytes.fromhex(shape.supervisor.archive_key)),
        ),
        committee_companies_min=table.committee_companies_min,
        timings=ConsensusTimings(
            view_timeout_ms=Millis(shape.consensus.view_timeout_ms),
            view_timeout_ms_max=Millis(shape.consensus.view_timeout_ms_max),
            resend_ms=Millis(shape.consensus.resend_ms),
        ),
        subject_scheme=shape.subjects.scheme,
        subject_epoch=Epoch(shape.subjects.epoch),
        correlations=CorrelationSource(table.correlations),
    )


def _members(shape: ConsortiumDocument, class_bits: dict[str, int]) -> tuple[Member, ...]:
    companies = {company.name: CompanyIndex(index) for index, company in enumerate(shape.company)}
    member_bits = {member.name: 1 << index for index, member in enumerate(shape.member)}

    def member(index: int, table: MemberTable) -> Member:
        return Member(
            index=MemberIndex(index),
            name=table.name,
            company=companies[table.company],
            roles=Role[table.role.upper()],
            identity=PublicKey(bytes.fromhex(table.identity)),
            sealing=SealingKey(bytes.fromhex(table.sealing)),
            vote_key=None if table.vote is None else PublicKey(bytes.fromhex(table.vote)),
            classes=sum(class_bits[name] for name in table.classes),
            anchors=Bitmap(sum(member_bits[name] for name in table.anchors)),
        )

    return tuple(member(index, table) for index, table in enumerate(shape.member))


def _model(path: Path, table: ModelTable, class_bits: dict[str, int]) -> ListedModel:
    return ListedModel(
        name=table.name,
        file=path.parent / table.file,
        model=ModelHash(bytes.fromhex(table.hash)),
        classes=sum(class_bits[name] for name in table.classes),
        minimum=table.minimum,
        audit=AuditMode[table.audit.upper().replace(" ", "_")],
        purposes=tuple(table.purposes),
    )


def _inquirers(shape: ConsortiumDocument) -> tuple[ListedInquirer, ...]:
    companies = [company.name for company in shape.company]
    return tuple(
        ListedInquirer(
            name=table.name,
            company=CompanyIndex(companies.index(table.company)),
            key=PublicKey(bytes.fromhex(table.key)),
            quota_per_day=table.quota_per_day,
        )
        for table in shape.inquirer
    )


def _member_record(member: Member) -> MemberRecord:
    return MemberRecord(
        name=member.name,
        company=member.company,
        roles=int(member.roles),
        identity=member.identity,
        vote_key=member.vote_key,
        classes=member.classes,
        anchors=member.anchors,
    )
