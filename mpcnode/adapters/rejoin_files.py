"""Files with the companies' word that a validator may vote again (`ledger.replica.rejoining`), and its use."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from ledger.contract.abi import address_of
from ledger.errors import InvalidError
from ledger.ports import Store
from ledger.replica.rejoining import (
    Position,
    Rejoin,
    check_carried,
    check_rejoin,
    check_signatures,
    is_carried,
)
from ledger.types import ChainId, Height, Millis, PublicKey, ReplicaId, Signature
from mpcnode.adapters.durable import create_file, replace_file
from mpcnode.config.reading import Key, Shape, read_bytes
from mpcnode.errors import ConfigError, ErrorCode, RequestError
from mpcnode.governance.standing import Members
from mpcnode.sealing.keys import verify
from mpcnode.types import MEMBERS_MAX

_FORMAT = "ledger/rejoin/1"
_READABLE = 0o644


class _Signed(Shape):
    key: Key
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class _Document(Shape):
    format: Literal["ledger/rejoin/1"]
    chain: Key
    replica: Annotated[int, Field(ge=0, lt=MEMBERS_MAX)]
    vote_key: Key
    sign_from: Annotated[int, Field(gt=0, lt=1 << 63)]
    expires_ms: Annotated[int, Field(ge=0, lt=1 << 63)]
    signatures: list[_Signed] = Field(max_length=MEMBERS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejoinFile:
    """A statement and what was signed of it so far."""

    rejoin: Rejoin
    signatures: dict[PublicKey, Signature] = field(default_factory=dict)
    """By identity key; not checked yet."""

    def encode(self) -> bytes:
        """Write the file's content."""
        rejoin = self.rejoin
        document = {
            "format": _FORMAT,
            "chain": rejoin.chain.hex(),
            "replica": rejoin.replica,
            "vote_key": rejoin.vote_key.hex(),
            "sign_from": rejoin.sign_from,
            "expires_ms": rejoin.expires_ms,
            "signatures": [
                {"key": key.hex(), "signature": signature.hex()} for key, signature in sorted(self.signatures.items())
            ],
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def read_rejoin(path: Path) -> RejoinFile:
    """Read a file.

    Raises:
        ConfigError: it cannot be read or is none; the message names the place.
    """
    try:
        document = _Document.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise ConfigError(f"{path}: expected a rejoin file, got a mistake at {place}: {first['msg']}") from None
    rejoin = Rejoin(
        chain=ChainId(bytes.fromhex(document.chain)),
        replica=ReplicaId(document.replica),
        vote_key=PublicKey(bytes.fromhex(document.vote_key)),
        sign_from=Height(document.sign_from),
        expires_ms=Millis(document.expires_ms),
    )
    signatures = {
        PublicKey(bytes.fromhex(item.key)): Signature(bytes.fromhex(item.signature)) for item in document.signatures
    }
    return RejoinFile(rejoin=rejoin, signatures=signatures)


def read_all(paths: Sequence[Path]) -> RejoinFile:
    """Read files that several companies signed apart, and put their signatures together.

    Raises:
        ConfigError: one is no such file, or not of the statement of the first.
    """
    files = [read_rejoin(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        if file.rejoin != files[0].rejoin:
            raise ConfigError(f"{path}: expected the statement of {paths[0]}, got another")
    signatures = {key: signature for file in files for key, signature in file.signatures.items()}
    return RejoinFile(rejoin=files[0].rejoin, signatures=signatures)


def create_rejoin(path: Path, rejoin: Rejoin) -> None:
    """Write a statement that nobody has signed yet.

    Raises:
        FileExistsError: there is a file.
        StorageError: the disk failed.
    """
    create_file(path, RejoinFile(rejoin=rejoin).encode(), mode=_READABLE)


def add_signature(path: Path, file: RejoinFile, key: PublicKey, signature: Signature) -> RejoinFile:
    """Add a signature to a file, in place.

    Raises:
        StorageError: the disk failed; the file is as it was.
    """
    signed = RejoinFile(rejoin=file.rejoin, signatures={**file.signatures, key: signature})
    replace_file(path, signed.encode(), mode=_READABLE)
    return signed


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose replica a store is."""

    chain: ChainId
    replica: ReplicaId
    """Index of its member."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many companies signed a statement, of how many that count."""

    signed: int
    companies: int

    @property
    def is_carried(self) -> bool:
        """Whether that is enough."""
        return is_carried(self.signed, self.companies)


def count(file: RejoinFile, members: Members) -> Tally:
    """Check every signature of a file and count the companies.

    Raises:
        RequestError: a signature is wrong, or of somebody who is no company's delegate.
    """
    delegates = {member.address: member.company for member in members.members if member.is_delegate}
    with _refusing():
        signed = check_signatures(file.rejoin, file.signatures, lambda key: delegates.get(address_of(key)), verify)
    return Tally(signed, len(delegates))


def apply_rejoin(store: Store, file: RejoinFile, members: Members, own: Ownership, now: Millis) -> Tally:
    """Let the replica of a daemon that does not run vote again; durable when it returns.

    Args:
        store: the replica's.
        file: the companies' word.
        members: as of the store's newest block.
        own: whose replica it is.
        now: this machine's time.

    Raises:
        RequestError: it is another replica's, or does not hold here.
        StorageError: the disk failed.
    """
    rejoin = file.rejoin
    if rejoin.replica != own.replica:
        raise RequestError(f"rejoin: expected replica {own.replica}, got {rejoin.replica}", ErrorCode.REJOIN)
    position = Position(
        chain=own.chain,
        head=members.height,
        validators={ReplicaId(m.index): m.vote_key for m in members.members if m.vote_key is not None},
        newest_vote=store.newest_vote(),
    )
    tally = count(file, members)
    with _refusing():
        check_rejoin(rejoin, position, now)
        check_carried(tally.signed, tally.companies)
        if rejoin.sign_from <= store.whole_from():
            raise InvalidError(
                f"rejoin: expected a height above {store.whole_from()}, which was applied, got no higher"
            )
    store.rejoin(rejoin.sign_from, file.encode())
    return tally


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except InvalidError as error:
        raise RequestError(str(error), ErrorCode.REJOIN) from error
