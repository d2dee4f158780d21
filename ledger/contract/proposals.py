"""What companies can decide, as calls: names and values in, the bytes of a proposal out, and back for who votes."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from ledger.contract.abi import decode_call, encode_call, find_function, selector
from ledger.contract.artefacts import ADDRESSES, Function
from ledger.errors import InvalidError

CALL_BYTES_MAX = 2048
"""Longest calldata of a proposal."""

GOVERNED: Mapping[str, tuple[str, ...]] = {
    "members.add": ("who", "company", "roles", "classes", "anchors", "vote_key"),
    "members.suspend": ("index",),
    "members.resume": ("index",),
    "members.remove": ("index",),
    "members.rotate_identity": ("index", "who"),
    "members.set_supply": ("index", "classes", "anchors"),
    "members.set_vote_key": ("index", "vote_key"),
    "members.set_committee_companies_min": ("minimum",),
    "registries.publish_model": ("model", "classes", "minimum", "mode", "purposes", "reach", "share"),
    "registries.retire_model": ("model",),
    "registries.set_isolation": ("reach_max", "share_max", "spare"),
    "registries.add_inquirer": ("who", "company", "quota"),
    "registries.set_quota": ("who", "quota"),
    "registries.suspend_inquirer": ("who",),
    "registries.resume_inquirer": ("who",),
    "registries.rotate_inquirer": ("who", "successor"),
    "registries.set_fees": ("model", "since", "asked", "contributed", "computed"),
    "registries.set_epoch": ("number", "audit_key", "archive_key"),
    "registries.open_oprf": ("participant", "holders", "threshold", "budget"),
    "governance.schedule_code": ("height", "targets", "codes"),
    "governance.cancel_code": (),
}
"""Every function that a proposal may call, and what its arguments are called."""


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """One decoded call."""

    method: str
    arguments: Mapping[str, object]
    """By name; numbers are int, byte strings are bytes, addresses are `Address`, arrays are tuples."""


def encode_proposal(method: str, *values: object) -> tuple[int, bytes]:
    """Return the target and the calldata that `governance.propose` takes.

    Raises:
        InvalidError: the method cannot be decided, a value does not fit its type, or the call is too long.
    """
    function = _function(method)
    data = encode_call(function, *values)
    if len(data) > CALL_BYTES_MAX:
        raise InvalidError(f"{method}: expected a call of at most {CALL_BYTES_MAX} bytes, got {len(data)}")
    return tuple(ADDRESSES).index(function.contract), data


def decode_proposal(target: int, data: bytes) -> ProposedCall:
    """Say what a proposal would do.

    Raises:
        InvalidError: this program knows no such call, so it cannot say what it means: do not vote for it unseen.
    """
    contract = dict(enumerate(ADDRESSES)).get(target)
    for method, function in _functions().items():
        if function.contract == contract and data[:4] == selector(function):
            return ProposedCall(method, dict(zip(GOVERNED[method], decode_call(function, data), strict=True)))
    raise InvalidError(f"expected a call that can be decided, got {data[:4].hex() or 'nothing'} of target {target}")


def parameters(method: str) -> Mapping[str, str]:
    """ABI types of a method's arguments, by name and in order.

    Raises:
        InvalidError: the method cannot be decided.
    """
    inputs = _function(method).inputs
    return dict(zip(GOVERNED[method], inputs, strict=True))


def _function(method: str) -> Function:
    function = _functions().get(method)
    if function is None:
        raise InvalidError(f"expected one of {', '.join(sorted(GOVERNED))}, got {method!r}")
    return function


@functools.cache
def _functions() -> Mapping[str, Function]:
    found = {method: find_function(method) for method in GOVERNED}
    return {method: function for method, function in found.items() if function is not None}
