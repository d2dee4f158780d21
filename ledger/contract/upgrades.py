"""New code for the contracts, at the height that companies decided (docs/ledger.md, New code).

Every replica does this before the first transaction of that height, with code that its own program brings along: the
ledger knows code by its hash only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.contract.abi import encode_call, find_function, selector
from ledger.contract.artefacts import ADDRESSES, Artefact, load_artefacts
from ledger.errors import StorageError
from ledger.types import Address, Height

if TYPE_CHECKING:
    from ledger.contract.machine import Machine

_MIGRATION_GAS = 100_000_000
_TARGETS = 8


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A replacement of code that was decided."""

    height: Height
    codes: Mapping[str, bytes]
    """Hashes of the new code by contract."""

    def missing(self, known: Mapping[bytes, Artefact]) -> tuple[str, ...]:
        """Return the contracts whose new code a program does not have, each with its hash."""
        return tuple(f"{name} ({code.hex()})" for name, code in self.codes.items() if code not in known)


def pending_upgrade(machine: "Machine") -> Upgrade | None:
    """Read what is to come from a state; None if nothing is."""
    governance, slots = ADDRESSES["governance"], load_artefacts()["governance"].slots
    height = machine.slot(governance, slots["upgrade_height"])
    if height == 0:
        return None
    words = (machine.slot(governance, slots["upgrade_codes"] + target) for target in range(_TARGETS))
    codes = {name: word.to_bytes(32, "big") for name, word in zip(ADDRESSES, words, strict=False) if word}
    return Upgrade(Height(height), codes)


def apply_upgrade(machine: "Machine", upgrade: Upgrade, known: Mapping[bytes, Artefact], system: Address) -> bool:
    """Put the new code in place, let it migrate, and write down whether that worked; a failed one changes nothing else.

    Raises:
        StorageError: this program does not have the code, or a node of the state is missing.
    """
    missing = upgrade.missing(known)
    if missing:
        raise StorageError(
            f"height {upgrade.height}: expected new code of {', '.join(missing)}, which the companies decided on; "
            f"this program does not have it: install a release that does, and start again"
        )
    codes = {ADDRESSES[name]: known[code].runtime for name, code in upgrade.codes.items()}
    migrations = [
        (ADDRESSES[name], selector(function))
        for name, code in upgrade.codes.items()
        if (function := known[code].find("migrate")) is not None
    ]
    done = machine.replace(codes, migrations, _MIGRATION_GAS)
    finish = find_function("governance.finish_upgrade")
    if (
        finish is None
        or not machine.call(system, ADDRESSES["governance"], encode_call(finish, done), _MIGRATION_GAS).ok
    ):
        raise StorageError(f"height {upgrade.height}: expected governance to note the end of the upgrade, it did not")
    return done
