"""Not loading what no contract can reach: py-evm imports every fork of Ethereum, and with Prague a pairing library.

That library computes tables for a third of a second when it is imported, in each daemon at each start. The contracts
run on Cancun (`ledger.contract.machine`), which has no such precompile.
"""

import sys
from types import ModuleType
from typing import NoReturn

UNUSED = "eth.precompiles.bls12_381"
"""Prague's precompiles, EIP-2537."""

_NAMES = (
    "bls12_g1_add",
    "bls12_g1_msm",
    "bls12_g2_add",
    "bls12_g2_msm",
    "bls12_map_fp2_to_g2",
    "bls12_map_fp_to_g1",
    "bls12_pairing_check",
)


def leave_out_unused() -> None:
    """Call before the first import of `eth`; later it does nothing."""
    if UNUSED in sys.modules:
        return
    empty = ModuleType(UNUSED, "Left out by ledger.contract.unused.")
    for name in _NAMES:
        setattr(empty, name, _unused)
    sys.modules[UNUSED] = empty


def _unused(*_: object) -> NoReturn:
    raise NotImplementedError("expected no precompile of Prague to be called on Cancun, got a call")
