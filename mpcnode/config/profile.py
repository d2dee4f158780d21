"""An inquirer's own file, `profile.toml`: whom it asks, as whom, and where its keys and answers lie.

Relative paths begin at the file's directory. The operator's inquiry channel is pinned: it is trusted because its
certificate is in this file, not because of any authority.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ledger.types import Millis
from mpcnode.config.consortium import Consortium, ListedInquirer, load_consortium
from mpcnode.config.document import Certificate
from mpcnode.config.node import Address, AddressText, PathText, read_address
from mpcnode.config.reading import Name, Shape, Text, read_bytes, read_shape
from mpcnode.errors import ConfigError
from mpcnode.types import QUERY_WINDOW_MS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who asks whom, checked against the consortium document."""

    path: Path
    consortium: Consortium
    inquirer: ListedInquirer
    operator: Address
    operator_certificate: str = field(repr=False)
    """The one certificate that the inquiry channel trusts, PEM."""
    key_file: Path
    subject_key_file: Path
    answers_dir: Path
    """Opened answers, one 0600 file for each query."""
    purpose: str | None
    """Purpose code of queries that name none."""
    contribute_by_ms: Millis
    """From now until contributions close."""
    deadline_ms: Millis
    """From now until the query expires."""


class InquirerTable(Shape):
    """[inquirer]."""

    name: Name
    consortium: PathText
    key_file: PathText
    subject_key_file: PathText
    answers_dir: PathText


class OperatorTable(Shape):
    """[operator]."""

    address: AddressText
    tls: Certificate


class DefaultsTable(Shape):
    """[defaults]."""

    purpose: Text | None = None
    contribute_by_ms: Annotated[int, Field(ge=100, lt=QUERY_WINDOW_MS_MAX)] = 5_000
    deadline_ms: Annotated[int, Field(ge=200, le=QUERY_WINDOW_MS_MAX)] = 30_000


class ProfileDocument(Shape):
    """The whole file."""

    inquirer: InquirerTable
    operator: OperatorTable
    defaults: DefaultsTable = DefaultsTable()


def load_profile(path: Path) -> Profile:
    """Read an inquirer's file and the consortium document that it names.

    Raises:
        ConfigError: either has a mistake; the message names file, place, what was expected and what was found.
    """
    document = read_shape(path, read_bytes(path), ProfileDocument)
    base = path.absolute().parent
    defaults = document.defaults
    if defaults.contribute_by_ms >= defaults.deadline_ms:
        expected = f"more than contribute_by_ms ({defaults.contribute_by_ms})"
        raise ConfigError(f"{path}: defaults.deadline_ms: expected {expected}, got {defaults.deadline_ms}")
    consortium = load_consortium(base / document.inquirer.consortium)
    return Profile(
        path=path,
        consortium=consortium,
        inquirer=consortium.inquirer(document.inquirer.name),
        operator=read_address(path, "operator.address", document.operator.address),
        operator_certificate=document.operator.tls,
        key_file=base / document.inquirer.key_file,
        subject_key_file=base / document.inquirer.subject_key_file,
        answers_dir=base / document.inquirer.answers_dir,
        purpose=defaults.purpose,
        contribute_by_ms=Millis(defaults.contribute_by_ms),
        deadline_ms=Millis(defaults.deadline_ms),
    )
