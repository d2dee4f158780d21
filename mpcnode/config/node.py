"""A daemon's own file, `node.toml`: where it listens, where its peers are, where its keys and data lie.

Relative paths begin at the file's directory. The member's role, keys and certificate come from the consortium document.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ledger.types import Millis
from mpcnode.config.consortium import Consortium, load_consortium
from mpcnode.config.reading import Name, Shape, found, read_bytes, read_shape
from mpcnode.errors import ConfigError
from mpcnode.types import Member, MemberIndex, Role

SOCKET_PATH_BYTES_MAX = 107
"""A unix socket's path (sun_path of unix(7), less its NUL)."""

LEDGER_DIRECTORY = "ledger"
"""Inside the data directory."""

AddressText = Annotated[
    str, StringConstraints(max_length=262, pattern=r"^[^\s:/]+(?::[0-9]{1,5})$|^\[[0-9a-fA-F:]+\]:[0-9]{1,5}$")
]
PathText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a daemon allows itself and others."""

    drain_ms: Millis
    """From SIGTERM until what still runs is given up."""
    calls_max: int
    """Calls under way at once at each listener, streams included; more are told to come again."""
    preparation_ms: Millis
    """Longest wait for all shares, the deal, and everybody's accept, each, before an MPC node fails an attempt."""
    computation_ms: Millis
    """Longest wait for all rounds of a session, and for everybody's end, each."""
    blobs_bytes: int
    """What the bodies of queries about many subjects may take on this daemon's disk."""
    offers_bytes: int
    """What of that an operator keeps for one inquirer that has not asked about it yet."""
    stock_items: int
    """Sessions that an MPC node makes correlations for in advance, for each committee and program, without a dealer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFile:
    """A participant's records."""

    file: Path
    id_column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A daemon's configuration, checked against the consortium document."""

    path: Path
    consortium: Consortium
    member: Member
    """The daemon's own entry in the consortium document."""
    data_dir: Path
    keys_dir: Path
    listen_peers: Address
    listen_inquiry: Address | None
    """Set for an operator."""
    control: Path
    """Unix socket for the machine's own administrators."""
    peers: Mapping[MemberIndex, Address]
    """Every other member."""
    records: RecordsFile | None
    """Set for a participant."""
    log_level: LogLevel
    log_format: LogFormat
    limits: Limits

    @property
    def ledger_dir(self) -> Path:
        """The replica's own directory; it is made once, when the member is set up."""
        return self.data_dir / LEDGER_DIRECTORY

    @property
    def blobs_dir(self) -> Path:
        """Bodies of queries about many subjects."""
        return self.data_dir / "blobs"

    @property
    def journal(self) -> Path:
        """The roles' journal."""
        return self.data_dir / "journal.sqlite"

    @property
    def kernels_dir(self) -> Path:
        """Compiled loops; made again if they are not there."""
        return self.data_dir / "kernels"


class NodeTable(Shape):
    """[node]."""

    name: Name
    role: Literal["operator", "mpc", "participant", "supervisor"]
    consortium: PathText
    data_dir: PathText
    keys_dir: PathText


class ListenTable(Shape):
    """[listen]."""

    peers: AddressText
    inquiry: AddressText | None = None
    control: PathText


class RecordsTable(Shape):
    """[records]."""

    file: PathText
    id_column: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class LogTable(Shape):
    """[log]."""

    level: LogLevel = "info"
    format: LogFormat = "auto"


class LimitsTable(Shape):
    """[limits]."""

    drain_ms: Annotated[int, Field(ge=0, le=60_000)] = 15_000
    calls_max: Annotated[int, Field(ge=16, le=65_536)] = 1_024
    preparation_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    computation_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    blobs_mib: Annotated[int, Field(ge=0, le=1 << 20)] = 8_192
    offers_mib: Annotated[int, Field(ge=0, le=1 << 20)] = 256
    stock_items: Annotated[int, Field(ge=0, le=500)] = 16


class NodeDocument(Shape):
    """The whole file."""

    node: NodeTable
    listen: ListenTable
    peers: dict[Name, AddressText] = Field(default_factory=dict)
    records: RecordsTable | None = None
    log: LogTable = LogTable()
    limits: LimitsTable = LimitsTable()


def load_node(path: Path) -> NodeConfig:
    """Read a daemon's file and the consortium document that it names.

    Raises:
        ConfigError: either has a mistake; the message names file, place, what was expected and what was found.
    """
    document = read_shape(path, read_bytes(path), NodeDocument)
    base = path.absolute().parent
    consortium = load_consortium(base / document.node.consortium)
    member = _own_member(path, document, consortium)
    _check_role_tables(path, document)
    listen, records, limits = document.listen, document.records, document.limits
    return NodeConfig(
        path=path,
        consortium=consortium,
        member=member,
        data_dir=base / document.node.data_dir,
        keys_dir=base / document.node.keys_dir,
        listen_peers=read_address(path, "listen.peers", listen.peers),
        listen_inquiry=(None if listen.inquiry is None else read_address(path, "listen.inquiry", listen.inquiry)),
        control=_control_socket(path, base / listen.control),
        peers=_peers(path, document, consortium, member),
        records=None if records is None else RecordsFile(file=base / records.file, id_column=records.id_column),
        log_level=document.log.level,
        log_format=document.log.format,
        limits=Limits(
            drain_ms=Millis(limits.drain_ms),
            calls_max=limits.calls_max,
            preparation_ms=Millis(limits.preparation_ms),
            computation_ms=Millis(limits.computation_ms),
            blobs_bytes=limits.blobs_mib << 20,
            offers_bytes=limits.offers_mib << 20,
            stock_items=limits.stock_items,
        ),
    )


def control_socket_of(path: Path) -> Path:
    """Return the control socket that a daemon's file names, without reading the consortium document.

    Raises:
        ConfigError: the file has a mistake.
    """
    document = read_shape(path, read_bytes(path), NodeDocument)
    return _control_socket(path, path.absolute().parent / document.listen.control)


def read_address(path: Path, place: str, text: str) -> Address:
    """Read `host:port` or `[v6]:port`.

    Raises:
        ConfigError: the port is not in 1 to 65535, or the brackets hold no IPv6 address.
    """
    host, _, port = text.rpartition(":")
    if not 1 <= int(port) <= 65_535:
        raise ConfigError(f"{path}: {place}: expected a port in 1 to 65535, got {port}")
    if host.startswith("["):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError as error:
            raise ConfigError(f"{path}: {place}: expected an IPv6 address in brackets, got {found(host)}") from error
    return Address(host, int(port))


def _own_member(path: Path, document: NodeDocument, consortium: Consortium) -> Member:
    name, role = document.node.name, document.node.role
    member = next((member for member in consortium.members if member.name == name), None)
    if member is None:
        known = ", ".join(member.name for member in consortium.members)
        raise ConfigError(f"{path}: node.name: expected a member of {consortium.path} ({known}), got {name!r}")
    if member.roles != Role[role.upper()]:
        listed = (member.roles.name or "").lower()
        raise ConfigError(f"{path}: node.role: expected {listed!r} as in {consortium.path}, got {role!r}")
    return member


def _check_role_tables(path: Path, document: NodeDocument) -> None:
    role = document.node.role
    for place, present, owner in (
        ("listen.inquiry", document.listen.inquiry is not None, "operator"),
        ("records", document.records is not None, "participant"),
    ):
        if present != (role == owner):
            expected, got = ("a value", "none") if role == owner else (f"none, only role {owner} has it", "one")
            raise ConfigError(f"{path}: {place}: expected {expected} (role {role}), got {got}")


def _control_socket(path: Path, socket: Path) -> Path:
    if len(str(socket).encode()) > SOCKET_PATH_BYTES_MAX:
        expected = f"a path of at most {SOCKET_PATH_BYTES_MAX} bytes (unix sockets allow no more)"
        raise ConfigError(f"{path}: listen.control: expected {expected}, got {len(str(socket).encode())}: {socket}")
    return socket


def _peers(path: Path, document: NodeDocument, consortium: Consortium, own: Member) -> Mapping[MemberIndex, Address]:
    others = {member.name: member.index for member in consortium.members if member.index != own.index}
    for name in document.peers:
        if name not in others:
            raise ConfigError(f"{path}: peers.{name}: expected one of {', '.join(others) or 'none'}, got {name!r}")
    for name in others:
        if name not in document.peers:
            raise ConfigError(f"{path}: peers.{name}: expected an address of every other member, got none")
    return {index: read_address(path, f"peers.{name}", document.peers[name]) for name, index in others.items()}
