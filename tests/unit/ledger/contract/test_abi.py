"""The codec against eth-abi used directly, and the artefacts against their sources."""

import hashlib
import json
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from ledger.contract import decode_log, encode_args
from ledger.contract.abi import (
    ARGUMENTS,
    decode_args,
    decode_revert,
    encode_calldata,
    event_topic,
    find_function,
    selector,
)
from ledger.contract.artefacts import ADDRESSES, ARTEFACTS, load_artefacts
from ledger.encoding import ARGS_BYTES_MAX, COSIGNERS_MAX
from ledger.encoding.limits import STATEMENT_BYTES_MAX
from ledger.errors import InvalidError
from ledger.types import Address, Log

SOURCES = Path("ledger/contract")
CODE_BYTES_MAX = 24_576
"""EIP-170."""
CONTRACTS = sorted(ADDRESSES)

LAYOUT = {
    "members": {
        "company_count": 0,
        "companies_min": 1,
        "member_count": 2,
        "words": 3,
        "addresses": 4,
        "companies": 5,
        "by_role": 9,
        "by_class": 10,
        "anchored": 11,
        "anchors": 12,
        "validating": 13,
        "validating_companies": 14,
        "vote_keys": 15,
        "validators_digest": 16,
        "vote_key_owners": 17,
        "set_changes": 18,
        "validator_count": 19,
        "supplied": 20,
    },
    "governance": {"proposals": 0, "proposal_count": 1, "upgrade_height": 2, "upgrade_codes": 3, "upgraded": 11},
    "queries": {"genesis_hash": 0, "queries": 1, "used": 2},
    "registries": {
        "models": 0,
        "model_at": 1,
        "model_count": 2,
        "approvals": 3,
        "purpose_bits": 4,
        "purpose_texts": 5,
        "purpose_count": 6,
        "isolation_limits": 7,
        "inquirers": 8,
        "inquirer_at": 9,
        "inquirer_count": 10,
        "fee_words": 11,
        "fee_counts": 12,
        "epoch_number": 13,
        "epochs": 14,
        "oprf_versions": 15,
        "oprf_keys": 16,
        "oprf_words": 17,
    },
    "records": {
        "genesis_hash": 0,
        "hours": 1,
        "totals": 2,
        "marks": 3,
        "access_count": 4,
        "accesses": 5,
        "dispute_count": 6,
        "disputes": 7,
        "heard": 8,
    },
}
"""Frozen: governance may replace code, and storage stays. Append; never move."""


@pytest.mark.parametrize("contract", CONTRACTS)
def test_artefacts_are_of_these_sources(contract: str):
    source = (SOURCES / f"{contract}.vy").read_bytes()
    assert load_artefacts()[contract].source_sha256 == hashlib.sha256(source).hexdigest()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_artefacts_are_of_the_pinned_compiler(contract: str):
    assert json.loads((ARTEFACTS / f"{contract}.json").read_text())["compiler"] == "vyper 0.4.3"
    assert "# pragma version 0.4.3" in (SOURCES / f"{contract}.vy").read_text()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_storage_layout_is_frozen(contract: str):
    assert load_artefacts()[contract].slots == LAYOUT[contract]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_code_fits(contract: str):
    artefact = load_artefacts()[contract]
    assert 0 < len(artefact.runtime) < CODE_BYTES_MAX
    deployed = json.loads((ARTEFACTS / f"{contract}.json").read_text())["bytecode"]
    assert artefact.runtime.hex() in deployed


def test_transactions_may_call_what_the_protocol_lists_and_nothing_else():
    callable_ones = {
        f"{name}.{function.name}"
        for name, artefact in load_artefacts().items()
        for function in artefact.functions
        if function.takes_transactions
    }
    assert callable_ones == set(ARGUMENTS)


def test_contracts_accept_what_the_limits_admit():
    """Eight cosigners with the widest statement, and the widest arguments, still decode."""
    text = (SOURCES / "queries.vy").read_text()
    assert f"statements: Bytes[{COSIGNERS_MAX * STATEMENT_BYTES_MAX}]" in text
    assert f"args: Bytes[{ARGS_BYTES_MAX}]" in text
    assert "Bytes[20480]" in text


def test_calldata_is_abi():
    function = find_function("queries.register")
    assert function is not None
    assert selector(function) == keccak(b"register(address[],bytes,bytes)")[:4]
    for signers, statements, args in (
        ([], b"", b""),
        ([Address(b"\x01" * 20)], b"s" * 480, b"a"),
        ([Address(bytes([i]) * 20) for i in range(8)], b"s" * 33, b"a" * 32),
    ):
        expected = encode(("address[]", "bytes", "bytes"), (signers, statements, args))
        assert encode_calldata(function, signers, statements, args) == selector(function) + expected


def test_arguments_round_trip():
    values = (b"\x01" * 32, 2, (b"\x02" * 32, b"\x03" * 32), b"envelope")
    assert decode_args("queries.commit_input", encode_args("queries.commit_input", *values)) == values


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("queries.nothing", ()),
        ("members.add", ()),
        ("queries.expire", (b"\x01" * 32,)),
        ("queries.expire", (b"\x01" * 33, 0)),
        ("queries.expire", (b"\x01" * 32, -1)),
        ("queries.expire", (b"\x01" * 32, "7")),
        ("queries.refuse", (b"\x01" * 32, 256, 1, b"")),
    ],
)
def test_arguments_that_do_not_fit(method: str, values: tuple):
    with pytest.raises(InvalidError):
        encode_args(method, *values)


@pytest.mark.parametrize("args", [b"", b"\x01" * 63, b"\xff" * 128])
def test_bytes_that_are_no_arguments(args: bytes):
    with pytest.raises(InvalidError):
        decode_args("queries.commit_input", args)


def test_a_log_of_somebody_else():
    log = Log(address=ADDRESSES["queries"], topics=(bytes(32),), data=b"")
    for wrong in (log, Log(address=Address(bytes(20)), topics=(), data=b"")):
        with pytest.raises(InvalidError, match="expected an event"):
            decode_log(wrong)


def test_a_log_with_broken_data():
    ended = keccak(b"Ended(bytes32,uint8,uint8,uint256)")
    with pytest.raises(InvalidError, match="Ended"):
        decode_log(Log(address=ADDRESSES["queries"], topics=(ended, bytes(32)), data=b"\x01"))
    with pytest.raises(InvalidError, match="topics"):
        decode_log(Log(address=ADDRESSES["queries"], topics=(ended,), data=bytes(96)))


def test_an_event_is_looked_for_by_its_topic():
    topic = event_topic("governance", "Decided")
    assert topic == keccak(b"Decided(uint64,bool)")
    data = (1).to_bytes(32, "big")
    found = decode_log(Log(address=ADDRESSES["governance"], topics=(topic, bytes(32)), data=data))
    assert (found.event, dict(found.values)) == ("Decided", {"id": 0, "approved": True})
    for contract, name in (("members", "Decided"), ("governance", "Nothing"), ("nobody", "Decided")):
        with pytest.raises(InvalidError, match=f"expected one event {name}, got 0"):
            event_topic(contract, name)


def test_reasons():
    assert decode_revert(bytes.fromhex("08c379a0") + encode(("string",), ("CODE",))) == "CODE"
    assert decode_revert(b"") == ""
    assert decode_revert(bytes.fromhex("08c379a0") + encode(("string",), ("é",))) == ""
