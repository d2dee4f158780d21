"""What people call the numbers, sets and keys in a call that companies vote on; loaded by commands, for it is slow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.contract.abi import address_of
from ledger.contract.artefacts import ADDRESSES
from ledger.types import Address
from mpcnode.config.consortium import Consortium
from mpcnode.governance.standing import Standing
from mpcnode.types import AuditMode, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Names by argument (`contract.argument`), else by what has them; a value without a name is shown as it is."""

    numbers: Mapping[str, Mapping[str, int]]
    sets: Mapping[str, Mapping[str, int]]
    """The bit of each name."""
    addresses: Mapping[str, Address]
    hashes: Mapping[str, bytes]
    """Of 32 bytes."""


def vocabulary_of(consortium: Consortium, members: Iterable[Standing]) -> Vocabulary:
    """Return the names of a consortium, with the members that the ledger has now."""
    known = tuple(members)
    seats = {member.name: int(member.index) for member in known}
    inquirers = {inquirer.name: address_of(inquirer.key) for inquirer in consortium.inquirers}
    return Vocabulary(
        numbers={
            "members.index": seats,
            "members.company": {name: index for index, name in enumerate(consortium.companies)},
            "registries.company": {name: index for index, name in enumerate(consortium.companies)},
            "registries.participant": seats,
            "registries.mode": {mode.name.lower().replace("_", "-"): int(mode) for mode in AuditMode},
            "governance.targets": {contract: index for index, contract in enumerate(ADDRESSES)},
        },
        sets={
            "members.roles": {(role.name or "").lower(): int(role) for role in Role},
            "members.classes": {name: 1 << index for index, name in enumerate(consortium.classes)},
            "members.anchors": {name: 1 << index for name, index in seats.items()},
            "registries.classes": {name: 1 << index for index, name in enumerate(consortium.classes)},
            "registries.holders": {name: 1 << index for name, index in seats.items()},
        },
        addresses={member.name: member.address for member in known} | inquirers,
        hashes={model.name: model.model for model in consortium.models},
    )
