"""The shape of the consortium document, as TOML has it; what its values mean is `consortium`'s business."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ledger.encoding import VALIDATORS_MAX
from mpcnode.config.reading import Key, Name, Shape, Text
from mpcnode.types import COMMITTEE_MAX, MEMBERS_MAX

CLASSES_MAX = 256
"""Data classes: the width of a word."""

COMPANIES_MAX = 256
"""Companies; an inquirer's may have no member."""

INQUIRERS_MAX = 4096
"""Inquirers at genesis; later ones are registered on the ledger."""

MODELS_MAX = 64
"""Models at genesis."""

PURPOSES_MAX = 16
"""Purpose codes of one model."""

Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Certificate = Annotated[str, StringConstraints(max_length=8192, pattern=r"^-----BEGIN CERTIFICATE-----\n")]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Milliseconds = Annotated[int, Field(ge=1, le=600_000)]


class ConsortiumTable(Shape):
    """[consortium]."""

    name: Name
    classes: Annotated[list[Text], Field(min_length=1, max_length=CLASSES_MAX)]
    committee_companies_min: Annotated[int, Field(ge=2, le=COMMITTEE_MAX)] = 3
    correlations: Literal["dealer", "ot", "paillier"] = "dealer"


class CompanyTable(Shape):
    """[[company]]."""

    name: Name


class MemberTable(Shape):
    """[[member]]."""

    name: Name
    company: Name
    role: Literal["operator", "mpc", "participant", "supervisor"]
    identity: Key
    sealing: Key
    vote: Key | None = None
    tls: Certificate
    tls_signature: Signature
    classes: list[Text] = Field(default_factory=list)
    anchors: list[Name] = Field(default_factory=list)


class ModelTable(Shape):
    """[[model]]."""

    name: Name
    file: RelativePath
    hash: Key
    classes: Annotated[list[Text], Field(min_length=1)]
    minimum: Annotated[int, Field(ge=1, le=MEMBERS_MAX)]
    audit: Literal["before release", "after release", "off"]
    purposes: Annotated[list[Text], Field(min_length=1, max_length=PURPOSES_MAX)]


class InquirerTable(Shape):
    """[[inquirer]]."""

    name: Name
    company: Name
    key: Key
    quota_per_day: Annotated[int, Field(ge=0, le=1 << 31)]


class SupervisorTable(Shape):
    """[supervisor]."""

    epoch: Annotated[int, Field(ge=1, lt=1 << 63)]
    audit_key: Key
    archive_key: Key


class ConsensusTable(Shape):
    """[consensus]."""

    view_timeout_ms: Milliseconds = 2_000
    view_timeout_ms_max: Milliseconds = 8_000
    resend_ms: Milliseconds = 500


class SubjectsTable(Shape):
    """[subjects]."""

    scheme: Literal["keyed"]
    epoch: Annotated[int, Field(ge=1, lt=1 << 63)]


class ConsortiumDocument(Shape):
    """The whole document."""

    consortium: ConsortiumTable
    company: Annotated[list[CompanyTable], Field(min_length=1, max_length=COMPANIES_MAX)]
    member: Annotated[list[MemberTable], Field(min_length=1, max_length=min(MEMBERS_MAX, VALIDATORS_MAX))]
    model: Annotated[list[ModelTable], Field(max_length=MODELS_MAX)] = Field(default_factory=list)
    inquirer: Annotated[list[InquirerTable], Field(max_length=INQUIRERS_MAX)] = Field(default_factory=list)
    supervisor: SupervisorTable
    consensus: ConsensusTable = ConsensusTable()
    subjects: SubjectsTable
