"""Asking the JSON-RPC endpoint: what it answers, what it refuses, and what its requests hold."""

import json

from eth_hash.auto import keccak

from ledger.contract.abi import encode_call, find_function
from ledger.contract.artefacts import ADDRESSES, load_artefacts
from ledger.encoding import decode_transaction, transaction_id
from ledger.types import Height

QUERIES = "0x" + ADDRESSES["queries"].hex()
NOBODY = "0x" + "11" * 20


def ask(endpoint, method, *params):
    answered = json.loads(
        endpoint.answer(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())
    )
    assert answered["jsonrpc"] == "2.0"
    assert answered["id"] == 7
    return answered


def result(endpoint, method, *params):
    answered = ask(endpoint, method, *params)
    assert "error" not in answered, answered
    return answered["result"]


def refusal(endpoint, method, *params):
    answered = ask(endpoint, method, *params)
    assert "result" not in answered, answered
    return answered["error"]


def tx_ids(world, height):
    final = world.store.final(Height(height))
    return ["0x" + transaction_id(decode_transaction(data)).hex() for data in final.block.txs]


def function(method):
    found = find_function(method)
    assert found is not None
    return found


def calldata(method, *values):
    return "0x" + encode_call(function(method), *values).hex()


def topic(event):
    (found,) = (found for found in load_artefacts()["queries"].events if found.name == event)
    return "0x" + keccak(found.signature.encode()).hex()
