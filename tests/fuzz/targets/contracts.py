"""What goes into the contracts and comes out, and the JSON-RPC endpoint before them."""

import json
from functools import cache

from ledger.contract.abi import (
    ARGUMENTS,
    decode_args,
    decode_log,
    decode_output,
    decode_revert,
    encode_args,
    encode_call,
    selector,
)
from ledger.contract.artefacts import ADDRESSES, Function, load_artefacts
from ledger.encoding import TX_GAS_MAX, decode_receipt, encode_receipt
from ledger.errors import InvalidError
from ledger.types import Address, Height, Log, Millis
from tests.fuzz.json_mutation import mutate_json
from tests.fuzz.target import MEMORY_BYTES, Target, expect
from tests.support.contracts import key, model_hash, transaction
from tests.support.stored_world import QUERY, StoredWorld, stored_world

METHODS = sorted(ARGUMENTS)
WORDS = tuple(
    number.to_bytes(32, "big") for number in (0, 1, 31, 32, 33, 64, 96, 128, 255, 256, 1 << 31, 1 << 64, 2**256 - 32)
)
MACHINE_BYTES = 16 << 20
"""What the machine may take: its memory is paid with gas, and the longest answer of the endpoint is 8 MiB."""


@cache
def _world() -> StoredWorld:
    return stored_world()


@cache
def _functions() -> tuple[Function, ...]:
    return tuple(function for artefact in load_artefacts().values() for function in artefact.functions)


@cache
def _logs() -> list[Log]:
    world = _world()
    return [
        log for height in range(world.height + 1) for done in world.store.receipts(Height(height)) for log in done.logs
    ]


def _check_args(which: int, data: bytes) -> None:
    method = METHODS[which % len(METHODS)]
    values = decode_args(method, data)
    again = decode_args(method, encode_args(method, *values))
    expect(again == values, f"{method}: expected {values} to be encoded and decoded, got {again}")


def _check_log(which: int, data: bytes) -> None:
    logs = _logs()
    log = logs[which % len(logs)]
    topics = tuple(data[start : start + 32] for start in range(0, 32 * (which % 5), 32))
    decode_log(Log(address=log.address, topics=(*log.topics[:1], *topics), data=data[32 * len(topics) :]))


def abi() -> Target:
    """Two bytes choose what is decoded; what is no encoding is refused."""

    def check(data: bytes) -> None:
        if len(data) < 2:
            return
        what, which, rest = data[0] % 4, data[1], data[2:]
        try:
            if what == 0:
                _check_args(which, rest)
            elif what == 1:
                decode_output(_functions()[which % len(_functions())], rest)
            elif what == 2:
                _check_log(which, rest)
            else:
                expect(decode_revert(rest).isascii(), "expected a reason in ASCII")
        except InvalidError:
            return

    args = [
        b"\0" + bytes([METHODS.index(method)]) + tx_args
        for method, tx_args in {
            "queries.register": encode_args("queries.register", b"copy", [3, 2, 5]),
            "queries.commit_input": encode_args("queries.commit_input", QUERY, 1, [b"c" * 32] * 3, b"envelope"),
            "queries.fail_attempt": encode_args("queries.fail_attempt", QUERY, 1, 2, 3, [1, 2]),
        }.items()
    ]
    logs = [b"\2" + bytes([place]) + b"".join(log.topics[1:]) + log.data for place, log in enumerate(_logs())]
    reverted = b"\3\0" + bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (4).to_bytes(32, "big") + b"GONE"
    outputs = [bytes((1, which)) + 8 * (32).to_bytes(32, "big") for which in range(len(_functions()))]
    return Target(check=check, seeds=(*args, *logs, *outputs, reverted), words=WORDS, size_max=2048)


def calldata() -> Target:
    """Two bytes choose sender and function: a transaction's arguments, or any calldata from outside by `eth_call`."""
    world = _world()

    def check(data: bytes) -> None:
        if len(data) < 2:
            return
        sender, which, rest = data[0], data[1], data[2:]
        if sender & 0x80:
            function = _functions()[which % len(_functions())]
            header = world.head.header
            done = world.host.static_call(header, Address(bytes(20)), ADDRESSES[function.contract], rest)
            expect(done.ok or bool(done.reason) or not done.output[:4], "expected a reason of what failed")
            return
        tx = transaction(key(f"identity {sender % 10}"), METHODS[which % len(METHODS)], rest)
        receipt = world.host.call(world.root, Height(world.height + 1), Millis(world.now + 1), tx)
        expect(receipt.gas <= TX_GAS_MAX, f"expected at most {TX_GAS_MAX} gas, got {receipt.gas}")
        expect(
            decode_receipt(encode_receipt(receipt)) == receipt, f"expected a receipt with an encoding, got {receipt}"
        )

    calls = [b"\x80" + bytes([place]) + selector(each) + bytes(96) for place, each in enumerate(_functions())]
    sent: dict[str, tuple[int, tuple[object, ...]]] = {
        "queries.close_inputs": (0, (QUERY, 1)),
        "queries.commit_input": (8, (QUERY, 1, [b"c" * 32] * 3, b"envelope")),
        "queries.refuse": (7, (QUERY, 1, 2, b"reason")),
        "registries.approve_model": (7, (model_hash("after"), False)),
        "registries.rotate_audit_key": (1, (8, b"a" * 32)),
        "registries.commit_oprf": (2, (7, 1, b"d" * 32)),
        "registries.reveal_oprf": (2, (7, 1, b"p" * 32, b"s" * 32, b"proof")),
        "registries.retire_oprf": (7, (1,)),
        "records.report_usage": (2, (1, [6, 7], [1, 2])),
        "records.mark": (2, (b"p" * 32, 1)),
        "records.record_access": (1, (b"p" * 32, [QUERY], b"detail")),
        "records.open_dispute": (7, (QUERY, 1, b"c" * 32, b"detail")),
        "records.answer_dispute": (7, (0, b"c" * 32, b"detail")),
        "records.close_dispute": (1, (0, 2, b"c" * 32, b"detail")),
    }
    transactions = [
        bytes((sender, METHODS.index(method))) + encode_args(method, *values)
        for method, (sender, values) in sent.items()
    ]
    return Target(check=check, seeds=(*calls, *transactions), words=(*WORDS, QUERY), memory_bytes=MACHINE_BYTES)


def jsonrpc() -> Target:
    """Any body has an answer: none, an object, or a list of them."""
    endpoint = _world().endpoint()

    def check(data: bytes) -> None:
        answered = endpoint.answer(data)
        if answered:
            found = json.loads(answered)
            for each in found if isinstance(found, list) else [found]:
                expect(each["jsonrpc"] == "2.0" and ("result" in each) != ("error" in each), f"got the answer {each}")

    block, address = "0x1", "0x" + ADDRESSES["queries"].hex()
    get = next(function for function in _functions() if (function.contract, function.name) == ("queries", "get"))
    call = {"to": address, "data": "0x" + encode_call(get, QUERY).hex()}
    asked: list[tuple[str, list[object]]] = [
        ("eth_chainId", []),
        ("eth_getBlockByNumber", [block, True]),
        ("eth_getBlockByHash", ["0x" + "11" * 32, False]),
        ("eth_getTransactionReceipt", ["0x" + "22" * 32]),
        ("eth_call", [call, "latest"]),
        ("eth_call", [{"to": address, "input": "0x", "value": "0x0"}, {"blockNumber": "0x2"}]),
        ("eth_getLogs", [{"fromBlock": "earliest", "address": [address], "topics": [None, ["0x" + QUERY.hex()]]}]),
        ("eth_getCode", [address, {"blockHash": "0x" + "33" * 32}]),
        ("eth_getBalance", [address]),
    ]
    bodies: list[object] = [
        {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
        for place, (method, params) in enumerate(asked)
    ]
    return Target(
        check=check,
        seeds=tuple(json.dumps(body).encode() for body in [*bodies, bodies]),
        words=(b'"jsonrpc":"2.0"', b'"params":[', b"pending", b"finalized", b"blockHash", b"fromBlock", b"toBlock"),
        size_max=8 << 10,
        mutate=mutate_json,
        memory_bytes=MACHINE_BYTES + MEMORY_BYTES,
    )
