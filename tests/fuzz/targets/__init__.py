"""The targets by name. Each module is imported only when one of its targets runs, under atheris' instrumentation."""

from collections.abc import Mapping
from importlib import import_module

from tests.fuzz.target import Target

_MODULES: Mapping[str, tuple[str, ...]] = {
    "chain": ("header", "block", "vote", "certificate", "proposal", "transaction", "execution_receipt"),
    "network": ("message", "item"),
    "proofs": ("receipt_file", "consistency_file"),
    "contracts": ("abi", "calldata", "jsonrpc"),
    "documents": ("consortium", "model", "key_file"),
    "node": ("deliver", "rounds", "inquiry", "plaintext", "offer"),
    "streams": ("pulls", "corrections", "flushes"),
    "transfers": ("puts", "gets", "fetched", "many"),
}

TARGETS: Mapping[str, str] = {name: module for module, names in _MODULES.items() for name in names}
"""Module of each target."""


def load(name: str) -> Target:
    """Make a target."""
    target: Target = getattr(import_module(f"tests.fuzz.targets.{TARGETS[name]}"), name)()
    return target
