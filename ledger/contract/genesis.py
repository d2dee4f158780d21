"""A consortium document as the calls that load it into the contracts, in order."""

from collections.abc import Iterator

from ledger.contract.abi import address_of, find_function
from ledger.contract.artefacts import Function
from ledger.encoding import word
from ledger.errors import InvalidError
from ledger.types import Genesis

Call = tuple[Function, tuple[object, ...]]

ISOLATION = (8, 700, 2)
"""What models that are published later must keep to: a supplier alone chooses among at most 8 output classes and has at
most 700 permille of the range of points, and there are 2 more suppliers than the minimum."""

_NOT_STATED = (0, 0)
"""Isolation figures of the models that the consortium document lists: companies that sign it have seen the models."""


def genesis_calls(genesis: Genesis) -> Iterator[Call]:
    """Yield the calls of the system sender at height 0.

    Raises:
        InvalidError: a purpose is no text of 1 to 32 ASCII characters.
    """
    yield _call("queries.set_chain", genesis.chain)
    yield _call("records.set_chain", genesis.chain)
    yield _call("members.set_up", len(genesis.companies), genesis.committee_companies_min)
    for member in genesis.members:
        yield _call(
            "members.add",
            address_of(member.identity),
            member.company,
            member.roles,
            member.classes,
            member.anchors,
            member.vote_key or bytes(32),
        )
    epoch = genesis.epoch
    yield _call("registries.set_epoch", epoch.epoch, epoch.audit_key, epoch.archive_key)
    yield _call("registries.set_isolation", *ISOLATION)
    for model in genesis.models:
        purposes = tuple(_purpose(purpose) for purpose in model.purposes)
        values = (model.model, model.classes, model.minimum, model.mode, purposes, *_NOT_STATED)
        yield _call("registries.publish_model", *values)
    for inquirer in genesis.inquirers:
        yield _call("registries.add_inquirer", address_of(inquirer.key), inquirer.company, inquirer.quota_per_day)


def _call(method: str, *values: object) -> Call:
    function = find_function(method)
    if function is None:
        raise InvalidError(f"expected a function of the contracts, got {method!r}")
    return function, values


def _purpose(text: str) -> bytes:
    if not text.isascii() or "\0" in text or not 0 < len(text) <= 32:
        raise InvalidError(f"expected a purpose of 1 to 32 ASCII characters, got {text!r}")
    return word(text)
