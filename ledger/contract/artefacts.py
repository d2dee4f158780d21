"""The compiled contracts as they are committed: code, ABI, layout, and where they live (docs/protocol.md 1.3)."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from ledger.types import Address

ARTEFACTS = Path(__file__).parent / "artefacts"

ADDRESSES: Mapping[str, Address] = {
    "members": Address((0x100).to_bytes(20, "big")),
    "queries": Address((0x101).to_bytes(20, "big")),
    "registries": Address((0x102).to_bytes(20, "big")),
    "governance": Address((0x103).to_bytes(20, "big")),
    "records": Address((0x104).to_bytes(20, "big")),
}

TRANSACTION_INPUTS = ("address[]", "bytes", "bytes")
"""Signers, statements, args: the one signature of every function that a transaction may call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of a contract, as its ABI describes it."""

    contract: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reads: bool
    """It changes nothing."""

    @property
    def signature(self) -> str:
        """Name and types of its inputs: what the selector is the hash of."""
        return f"{self.name}({','.join(self.inputs)})"

    @property
    def takes_transactions(self) -> bool:
        """Whether a transaction may call it."""
        return self.inputs == TRANSACTION_INPUTS and not self.reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a contract, as its ABI describes it."""

    contract: str
    name: str
    fields: tuple[tuple[str, str, bool], ...]
    """Name, type, whether it is a topic."""

    @property
    def signature(self) -> str:
        """Name and types of its fields: what topic 0 is the hash of."""
        return f"{self.name}({','.join(kind for _, kind, _ in self.fields)})"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """One compiled contract."""

    contract: str
    source_sha256: str
    runtime: bytes = field(repr=False)
    functions: tuple[Function, ...] = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)
    slots: Mapping[str, int] = field(repr=False)
    """Storage slot of each variable."""

    @functools.cached_property
    def code_hash(self) -> bytes:
        """keccak256 of the code: what the state knows it by."""
        return keccak(self.runtime)

    def find(self, name: str) -> Function | None:
        """The function of that name; None if there is none."""
        return next((function for function in self.functions if function.name == name), None)


@functools.cache
def load_artefacts() -> Mapping[str, Artefact]:
    """Return the contracts that genesis installs, by name."""
    return {name: read_artefact(ARTEFACTS / f"{name}.json") for name in ADDRESSES}


@functools.cache
def load_codes() -> Mapping[bytes, Artefact]:
    """Return all code that this program has, by its hash: genesis', and what companies may replace it with."""
    later = (read_artefact(path) for path in sorted((ARTEFACTS / "upgrades").glob("*.json")))
    return {artefact.code_hash: artefact for artefact in (*load_artefacts().values(), *later)}


def read_artefact(path: Path) -> Artefact:
    """Read one compiled contract."""
    content = json.loads(path.read_text())
    contract, entries = content["contract"], content["abi"]
    return Artefact(
        contract=contract,
        source_sha256=content["source_sha256"],
        runtime=bytes.fromhex(content["runtime"].removeprefix("0x")),
        functions=tuple(_read_function(contract, entry) for entry in entries if entry["type"] == "function"),
        events=tuple(_read_event(contract, entry) for entry in entries if entry["type"] == "event"),
        slots={name: variable["slot"] for name, variable in content["layout"].items()},
    )


def _read_function(contract: str, entry: Mapping[str, Any]) -> Function:
    return Function(
        contract=contract,
        name=entry["name"],
        inputs=tuple(_type_of(part) for part in entry["inputs"]),
        outputs=tuple(_type_of(part) for part in entry["outputs"]),
        reads=entry["stateMutability"] in {"view", "pure"},
    )


def _read_event(contract: str, entry: Mapping[str, Any]) -> Event:
    fields = tuple((part["name"], _type_of(part), bool(part["indexed"])) for part in entry["inputs"])
    return Event(contract=contract, name=entry["name"], fields=fields)


def _type_of(part: Mapping[str, Any]) -> str:
    kind = str(part["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type_of(component) for component in part['components'])}){kind.removeprefix('tuple')}"
