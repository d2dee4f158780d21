"""Who belongs to the development consortium, and where its files lie."""

from dataclasses import dataclass
from pathlib import Path

from mpcnode.types import Role

COMPANIES = ("platform", "bank", "insurer", "telecom", "notary", "regulator", "lender")
"""The last has no daemon: its inquirer asks."""

INQUIRER = "lender-desk"
INQUIRER_COMPANY = "lender"
QUOTA_PER_DAY = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMember:
    """A daemon to be set up."""

    name: str
    company: str
    role: Role
    validator: bool
    classes: tuple[str, ...] = ()
    data: str = ""
    """Name of the demo data file that a participant gets."""


MEMBERS = (
    PlannedMember(name="operator", company="platform", role=Role.OPERATOR, validator=True),
    PlannedMember(
        name="bank-data",
        company="bank",
        role=Role.PARTICIPANT,
        validator=False,
        classes=("accounts",),
        data="bank.csv",
    ),
    PlannedMember(name="bank-mpc", company="bank", role=Role.MPC, validator=True),
    PlannedMember(
        name="insurer-data",
        company="insurer",
        role=Role.PARTICIPANT,
        validator=False,
        classes=("property",),
        data="insurer.csv",
    ),
    PlannedMember(name="insurer-mpc", company="insurer", role=Role.MPC, validator=True),
    PlannedMember(
        name="telecom-data",
        company="telecom",
        role=Role.PARTICIPANT,
        validator=True,
        classes=("contracts",),
        data="telecom.csv",
    ),
    PlannedMember(name="notary-mpc", company="notary", role=Role.MPC, validator=True),
    PlannedMember(name="regulator", company="regulator", role=Role.SUPERVISOR, validator=True),
)

CLASSES = ("accounts", "property", "contracts")


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """Where one daemon's files lie."""

    root: Path

    @property
    def config(self) -> Path:
        """Its node.toml."""
        return self.root / "node.toml"

    @property
    def keys(self) -> Path:
        """Its private keys."""
        return self.root / "keys"

    @property
    def data(self) -> Path:
        """What it keeps: ledger, journal."""
        return self.root / "data"

    @property
    def run(self) -> Path:
        """Its control socket and process file."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """What it logged."""
        return self.root / "log"

    @property
    def process(self) -> Path:
        """Which process it is: pid and start time."""
        return self.run / "process.json"

    @property
    def control(self) -> Path:
        """Its control socket."""
        return self.run / "control.sock"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a development network lies."""

    root: Path

    @property
    def consortium(self) -> Path:
        """The consortium document."""
        return self.root / "consortium.toml"

    @property
    def models(self) -> Path:
        """Model documents."""
        return self.root / "models"

    @property
    def nodes(self) -> Path:
        """One directory for each daemon."""
        return self.root / "nodes"

    @property
    def offline(self) -> Path:
        """What a real supervisor keeps in a safe: the archive key."""
        return self.root / "offline"

    @property
    def inquirer(self) -> Path:
        """The lender's profile and keys."""
        return self.root / "inquirers" / INQUIRER

    @property
    def profile(self) -> Path:
        """The lender's profile.toml."""
        return self.inquirer / "profile.toml"

    def node(self, name: str) -> NodeLayout:
        """Return where a daemon's files lie."""
        return NodeLayout(self.nodes / name)

    def daemons(self) -> tuple[str, ...]:
        """Return the names of the daemons that were set up, sorted."""
        return tuple(sorted(path.parent.name for path in self.nodes.glob("*/node.toml")))
