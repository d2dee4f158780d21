"""What the JSON-RPC endpoint refuses, and how: limits of a body, and bodies that are no request."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contract.artefacts import ADDRESSES
from ledger.rpc.allowance import Limits
from ledger.rpc.jsonrpc import JsonRpc
from ledger.store import MemoryStore
from tests.support.contracts import CHAIN
from tests.support.ethereum_rpc import NOBODY, QUERIES, ask, calldata, refusal, result, topic, tx_ids
from tests.support.stored_world import QUERY, StoredWorld, stored_world

CHAIN_ID = int.from_bytes(CHAIN[:7], "big") >> 4


def test_a_search_is_bounded_over_the_whole_body(world):
    endpoint = world.endpoint(limits=Limits(log_blocks=4))
    assert len(result(endpoint, "eth_getLogs", {"fromBlock": "0x0"})) == 3
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{"fromBlock": "0x1"}]}
    first, second = json.loads(endpoint.answer(json.dumps([request, request]).encode()))
    assert len(first["result"]) == 3
    assert second["error"]["code"] == -32005
    assert refusal(world.endpoint(limits=Limits(log_blocks=3)), "eth_getLogs", {"fromBlock": "0x0"})["code"] == -32005


def test_found_events_are_bounded_in_bytes(world):
    endpoint = world.endpoint(limits=Limits(log_bytes=3000))
    assert refusal(endpoint, "eth_getLogs", {"fromBlock": "0x0"})["code"] == -32005
    assert len(result(endpoint, "eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x1"})) == 1


def batch_of(endpoint, method, *each):
    requests = [{"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, params in enumerate(each)]
    return [
        answer.get("error", {}).get("code") for answer in json.loads(endpoint.answer(json.dumps(requests).encode()))
    ]


def test_what_is_read_is_bounded_over_the_whole_body(world):
    """Block 1 has one transaction, block 2 has three: a block costs one more than it has."""
    endpoint = world.endpoint(limits=Limits(items=6))
    first, second, *_ = tx_ids(world, 1) + tx_ids(world, 2)
    assert batch_of(endpoint, "eth_getTransactionByHash", [first], [second], [first]) == [None, None, -32005]
    assert batch_of(endpoint, "eth_getTransactionReceipt", *[[second]] * 9) == [None] * 9
    assert batch_of(endpoint, "eth_getBlockByNumber", ["0x2"], ["0x1"], ["0x2"]) == [None, None, -32005]
    assert result(endpoint, "eth_getTransactionByHash", first)["hash"] == first


def test_events_that_are_looked_at_count_whether_they_are_found_or_not(world):
    endpoint = world.endpoint(limits=Limits(items=3))
    nothing = {"fromBlock": "0x0", "topics": [[topic("Registered"), topic("InputCommitted")], "0x" + "ee" * 32]}
    assert batch_of(endpoint, "eth_getLogs", [nothing], [nothing]) == [None, -32005]


def test_the_gas_of_calls_is_bounded_over_the_whole_body(world):
    call = [{"to": QUERIES, "data": calldata("queries.get", QUERY)}]
    used = world.host.static_call(
        world.head.header, bytes(20), ADDRESSES["queries"], bytes.fromhex(call[0]["data"][2:])
    ).gas
    assert batch_of(world.endpoint(limits=Limits(gas=2 * used)), "eth_call", call, call, call) == [None, None, -32005]
    error = refusal(world.endpoint(limits=Limits(gas=used - 1)), "eth_call", *call)
    assert error == {"code": -32000, "message": f"out of gas: expected a call that needs no more than {used - 1}"}


def test_more_alternatives_than_allowed(endpoint):
    assert refusal(endpoint, "eth_getLogs", {"address": [NOBODY] * 65})["code"] == -32005
    assert refusal(endpoint, "eth_getLogs", {"topics": [["0x" + "00" * 32] * 65]})["code"] == -32005


def test_long_ranges_are_searched_in_strides(world):
    other = StoredWorld(genesis=world.genesis)
    for number in range(70):
        other.run(replace(other.tx(0, "queries.no_such_method", b""), unique=number.to_bytes(16, "big")))
    other.register(QUERY)
    other.run(other.tx(0, "queries.expire", b""))
    (log,) = result(other.endpoint(), "eth_getLogs", {"fromBlock": "0x0"})
    assert log["blockNumber"] == hex(71)


# ------------------------------------------------------------------------------ form


def test_what_only_writes_is_refused_clearly(endpoint):
    error = refusal(endpoint, "eth_sendRawTransaction", "0x00")
    assert error["code"] == -32601
    assert "read-only" in error["message"]
    for method in ("eth_newFilter", "eth_gasPrice", "debug_traceCall", "__init__", ""):
        assert refusal(endpoint, method) == {"code": -32601, "message": f"the method {method} does not exist"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"\xff", -32700),
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"eth_chainId"}', -32700),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b"}", -32700),
        (b"[]", -32600),
        (b"null", -32600),
        (b'"eth_chainId"', -32600),
        (b'{"id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","method":"eth_blockNumber"}', -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"address":null,"address":null}]}]', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":[],"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":null}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0","yes"]}', -32602),
        (b" " * (256 * 1024 + 1), -32005),
        (b"[" + b"1," * 100 + b"1]", -32005),
    ],
)
def test_bodies_that_are_no_request(endpoint, body, code):
    answered = json.loads(endpoint.answer(body))
    assert answered["error"]["code"] == code
    assert set(answered) == {"jsonrpc", "id", "error"}


def test_a_batch_is_answered_one_by_one(endpoint):
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_blockNumber"},
        {"jsonrpc": "2.0", "method": "eth_blockNumber"},
        7,
        {"jsonrpc": "2.0", "id": None, "method": "eth_nothing"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_chainId", "params": []},
    ]
    answers = json.loads(endpoint.answer(json.dumps(batch).encode()))
    assert [answer["id"] for answer in answers] == ["a", None, None, 2]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32600, -32601, None]


def test_notifications_are_not_answered(endpoint):
    notification = b'{"jsonrpc":"2.0","method":"eth_blockNumber"}'
    assert endpoint.answer(notification) == b""
    assert endpoint.answer(b"[" + notification + b"]") == b""


def test_a_batchs_answers_are_bounded(world):
    endpoint = world.endpoint(limits=Limits(answer_bytes=1000))
    block = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["0x1", True]}
    answers = json.loads(endpoint.answer(json.dumps([block] * 3).encode()))
    assert "result" in answers[0]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32005, -32005]


def test_before_genesis_there_is_nothing_to_say(world):
    empty = JsonRpc(MemoryStore(), world.host)
    for method, params in (
        ("eth_blockNumber", []),
        ("eth_getBlockByNumber", ["latest"]),
        ("eth_call", [{"to": QUERIES}]),
        ("eth_getLogs", [{}]),
    ):
        assert refusal(empty, method, *params) == {"code": -32000, "message": "no block yet"}
    assert result(empty, "eth_chainId") == hex(CHAIN_ID)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
    | st.text(max_size=8)
    | st.sampled_from(["latest", "earliest", "0x0", "0x2", QUERIES, "0x" + "00" * 32, "0xffffffffffffffff"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["to", "data", "from", "value", "fromBlock", "toBlock", "blockHash", "address", "topics"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
METHODS = st.sampled_from(
    (
        "eth_call",
        "eth_getLogs",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getTransactionByHash",
        "eth_getTransactionReceipt",
        "eth_getCode",
        "eth_getBalance",
        "eth_blockNumber",
        "eth_sendRawTransaction",
    )
)


@given(method=METHODS, params=st.lists(ANYTHING, max_size=3))
def test_whatever_is_asked_is_answered(method, params):
    answered = ask(_ENDPOINT, method, *params)
    assert set(answered) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})


@given(st.binary(max_size=64))
def test_whatever_is_sent_is_answered(body):
    assert json.loads(_ENDPOINT.answer(body))["error"]["code"] in {-32700, -32600}


_ENDPOINT = stored_world().endpoint()
