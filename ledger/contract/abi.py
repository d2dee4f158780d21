"""What goes into a contract and what comes out, as bytes: Ethereum's ABI encoding, by eth-abi.

Specification: docs.soliditylang.org, "Contract ABI Specification"; the arguments of each method are docs/protocol.md 5.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak

from ledger.contract.artefacts import ADDRESSES, Event, Function, load_codes
from ledger.errors import InvalidError
from ledger.types import Address, Log, PublicKey

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "queries.register": ("bytes", "uint8[]"),
    "queries.commit_input": ("bytes32", "uint8", "bytes32[]", "bytes"),
    "queries.refuse": ("bytes32", "uint8", "uint8", "bytes"),
    "queries.close_inputs": ("bytes32", "uint8"),
    "queries.post_result": ("bytes32", "uint8", "bytes", "bytes"),
    "queries.attest": ("bytes32", "uint8", "uint8", "uint8", "uint8", "uint16", "bytes"),
    "queries.fail_attempt": ("bytes32", "uint8", "uint8", "uint256", "uint8[]"),
    "queries.reject_input": ("bytes32", "uint8", "uint8", "uint8[]"),
    "queries.expire": ("bytes32", "uint256"),
    "governance.propose": ("uint8", "bytes", "uint64"),
    "governance.vote": ("uint64", "bool", "uint8", "bytes"),
    "registries.approve_model": ("bytes32", "bool"),
    "registries.rotate_audit_key": ("uint32", "bytes32"),
    "registries.commit_oprf": ("uint8", "uint32", "bytes32"),
    "registries.reveal_oprf": ("uint8", "uint32", "bytes32", "bytes32", "bytes"),
    "registries.retire_oprf": ("uint32",),
    "records.report_usage": ("uint32", "uint8[]", "uint64[]"),
    "records.mark": ("bytes32", "uint64"),
    "records.record_access": ("bytes32", "bytes32[]", "bytes"),
    "records.open_dispute": ("bytes32", "uint8", "bytes32", "bytes"),
    "records.answer_dispute": ("uint64", "bytes32", "bytes"),
    "records.close_dispute": ("uint64", "uint8", "bytes32", "bytes"),
}
"""Types of the arguments of every method that a transaction may call."""

_WORD = 32
_ERROR_STRING = bytes.fromhex("08c379a0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedLog:
    """A contract event, taken apart."""

    contract: str
    event: str
    values: Mapping[str, object]
    """By field name; numbers are int, byte strings are bytes, arrays are tuples, addresses are `Address`."""


def address_of(key: PublicKey) -> Address:
    """Name of a key inside the contracts: the last 20 bytes of its keccak256."""
    return Address(keccak(key)[-20:])


def encode_args(method: str, *values: object) -> bytes:
    """Encode the arguments of a method, for a transaction.

    Raises:
        InvalidError: there is no such method, or a value does not fit its type.
    """
    types = ARGUMENTS.get(method)
    if types is None:
        raise InvalidError(f"expected one of {', '.join(sorted(ARGUMENTS))}, got {method!r}")
    return _encode(method, types, values)


def decode_args(method: str, args: bytes) -> tuple[object, ...]:
    """Decode the arguments of a transaction.

    Raises:
        InvalidError: there is no such method, or these are no arguments of it.
    """
    types = ARGUMENTS.get(method)
    if types is None:
        raise InvalidError(f"expected one of {', '.join(sorted(ARGUMENTS))}, got {method!r}")
    return _decode(method, types, args)


def decode_log(log: Log) -> DecodedLog:
    """Take an event apart.

    Raises:
        InvalidError: no contract of ours emits it.
    """
    event = _events().get((log.address, log.topics[0])) if log.topics else None
    if event is None:
        raise InvalidError(f"expected an event of the contracts, got one of {log.address.hex()}")
    kept = tuple((name, kind) for name, kind, indexed in event.fields if not indexed)
    topics = tuple((name, kind) for name, kind, indexed in event.fields if indexed)
    if len(log.topics) != len(topics) + 1:
        raise InvalidError(f"{event.name}: expected {len(topics) + 1} topics, got {len(log.topics)}")
    found = dict(
        zip((name for name, _ in kept), _decode(event.name, tuple(kind for _, kind in kept), log.data), strict=True)
    )
    for (name, kind), topic in zip(topics, log.topics[1:], strict=True):
        (found[name],) = _decode(event.name, (kind,), topic)
    values = {name: found[name] for name, _, _ in event.fields}
    return DecodedLog(contract=event.contract, event=event.name, values=values)


def encode_calldata(function: Function, signers: Sequence[Address], statements: bytes, args: bytes) -> bytes:
    """Calldata of a transaction: selector, then abi.encode(signers, statements, args)."""
    listed = len(signers).to_bytes(_WORD, "big") + b"".join(bytes(12) + signer for signer in signers)
    stated = len(statements).to_bytes(_WORD, "big") + statements.ljust(-(-len(statements) // _WORD) * _WORD, b"\0")
    given = len(args).to_bytes(_WORD, "big") + args.ljust(-(-len(args) // _WORD) * _WORD, b"\0")
    offsets = (3 * _WORD, 3 * _WORD + len(listed), 3 * _WORD + len(listed) + len(stated))
    head = b"".join(offset.to_bytes(_WORD, "big") for offset in offsets)
    return selector(function) + head + listed + stated + given


def encode_call(function: Function, *values: object) -> bytes:
    """Calldata of any function from its ABI.

    Raises:
        InvalidError: a value does not fit its type.
    """
    return selector(function) + _encode(f"{function.contract}.{function.name}", function.inputs, values)


def decode_call(function: Function, data: bytes) -> tuple[object, ...]:
    """Arguments in the calldata of a function; a zero-padded or shortened encoding of them is none.

    Raises:
        InvalidError: this is no calldata of that function.
    """
    what = f"{function.contract}.{function.name}"
    values = _decode(what, function.inputs, data[4:])
    if encode_call(function, *values) != data:
        raise InvalidError(f"{what}: expected the canonical encoding of its arguments, got another")
    return values


def decode_output(function: Function, output: bytes) -> tuple[object, ...]:
    """What a read function answered."""
    return _decode(f"{function.contract}.{function.name}", function.outputs, output)


def decode_revert(output: bytes) -> str:
    """Reason of a revert; empty if there is none, or no ASCII text."""
    if output[:4] != _ERROR_STRING:
        return ""
    size = int.from_bytes(output[36:68], "big")
    reason = output[68 : 68 + size]
    return reason.decode("ascii") if reason.isascii() else ""


def find_function(method: str) -> Function | None:
    """The function that `contract.function` names in any code; None if there is none. Genesis' code comes first."""
    return _functions().get(method)


@functools.cache
def event_topic(contract: str, name: str) -> bytes:
    """First topic of a contract's event, to look for it.

    Raises:
        InvalidError: the contract has no such event, or several of that name.
    """
    topics = [topic for (_, topic), event in _events().items() if (event.contract, event.name) == (contract, name)]
    if len(topics) != 1:
        raise InvalidError(f"{contract}: expected one event {name}, got {len(topics)}")
    return topics[0]


@functools.cache
def selector(function: Function) -> bytes:
    """First four bytes of the hash of a function's signature."""
    return keccak(function.signature.encode("ascii"))[:4]


@functools.cache
def _functions() -> Mapping[str, Function]:
    return {
        f"{function.contract}.{function.name}": function
        for artefact in reversed(list(load_codes().values()))
        for function in artefact.functions
    }


@functools.cache
def _events() -> Mapping[tuple[Address, bytes], Event]:
    return {
        (ADDRESSES[event.contract], keccak(event.signature.encode("ascii"))): event
        for artefact in load_codes().values()
        for event in artefact.events
    }


def _encode(what: str, types: tuple[str, ...], values: tuple[object, ...]) -> bytes:
    if len(values) != len(types):
        raise InvalidError(f"{what}: expected {len(types)} values ({', '.join(types)}), got {len(values)}")
    try:
        return encode(types, values)
    except (EncodingError, OverflowError, TypeError) as error:
        raise InvalidError(f"{what}: expected values of {', '.join(types)}, got another: {error}") from error


def _decode(what: str, types: tuple[str, ...], data: bytes) -> tuple[object, ...]:
    try:
        decoded = decode(types, data)
    except (DecodingError, OverflowError) as error:
        raise InvalidError(f"{what}: expected bytes of {', '.join(types)}, got others: {error}") from error
    return tuple(_native(kind, value) for kind, value in zip(types, decoded, strict=True))


def _native(kind: str, value: object) -> object:
    if kind == "address" and isinstance(value, str):
        return Address(bytes.fromhex(value.removeprefix("0x")))
    return value
