"""The JSON-RPC endpoint on a chain in memory: what each method shows."""

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from ledger.contract import address_of, encode_args
from ledger.contract.abi import decode_output, decode_revert
from ledger.contract.artefacts import ADDRESSES, load_artefacts
from ledger.encoding import BLOCK_GAS_MAX, decode_transaction
from ledger.errors import StorageError
from ledger.rpc.ethereum import bloom, matches
from ledger.types import Height, Log, Signature
from tests.support.contracts import CHAIN, GET_FIELDS, START, key
from tests.support.ethereum_rpc import NOBODY, QUERIES, ask, calldata, function, refusal, result, topic, tx_ids
from tests.support.stored_world import BLOCK_MS, QUERY, StoredWorld

CHAIN_ID = int.from_bytes(CHAIN[:7], "big") >> 4


def root_of(world, height):
    return world.store.header(Height(height)).state_root


# ------------------------------------------------------------------------------ what is shown


def test_the_chain_says_who_it_is(endpoint):
    assert result(endpoint, "eth_chainId") == hex(CHAIN_ID)
    assert result(endpoint, "net_version") == str(CHAIN_ID)
    assert result(endpoint, "web3_clientVersion") == "ledger/test"
    assert result(endpoint, "eth_blockNumber") == "0x3"


def test_a_block_by_number_and_by_hash_in_seconds(world, endpoint):
    block = result(endpoint, "eth_getBlockByNumber", "0x2", False)
    header = world.store.header(Height(2))
    assert int(block["timestamp"], 16) == (START + 2 * BLOCK_MS) // 1000
    assert int(block["milliTimestamp"], 16) == START + 2 * BLOCK_MS
    assert block["parentHash"] == result(endpoint, "eth_getBlockByNumber", "0x1", False)["hash"]
    assert block["stateRoot"] == "0x" + header.state_root.hex()
    assert block["transactionsRoot"] == "0x" + header.tx_root.hex()
    assert block["receiptsRoot"] == "0x" + header.receipts_root.hex()
    assert block["miner"] == "0x" + address_of(header.proposer).hex()
    assert block["gasLimit"] == hex(BLOCK_GAS_MAX)
    assert block["gasUsed"] == hex(sum(receipt.gas for receipt in world.store.receipts(Height(2))))
    assert block["transactions"] == tx_ids(world, 2)
    assert result(endpoint, "eth_getBlockByHash", block["hash"], False) == block
    full = result(endpoint, "eth_getBlockByHash", block["hash"], True)
    assert full["transactions"] == [result(endpoint, "eth_getTransactionByHash", tx) for tx in block["transactions"]]


@pytest.mark.parametrize("tag", ["latest", "finalized", "safe", "pending", "0x3"])
def test_every_block_is_final(endpoint, tag):
    assert result(endpoint, "eth_getBlockByNumber", tag)["number"] == "0x3"


def test_genesis_is_the_earliest_block(world, endpoint):
    block = result(endpoint, "eth_getBlockByNumber", "earliest", True)
    assert (block["number"], block["timestamp"], block["transactions"]) == ("0x0", "0x0", [])
    assert (block["parentHash"], block["miner"]) == ("0x" + "00" * 32, "0x" + "00" * 20)


def test_what_is_not_there_is_null(endpoint):
    nothing = "0x" + "ab" * 32
    assert result(endpoint, "eth_getBlockByNumber", "0x4", False) is None
    assert result(endpoint, "eth_getBlockByNumber", "0xffffffffffffffff", False) is None
    assert result(endpoint, "eth_getBlockByHash", nothing, False) is None
    assert result(endpoint, "eth_getTransactionByHash", nothing) is None
    assert result(endpoint, "eth_getTransactionReceipt", nothing) is None


def test_a_transaction_is_the_call_that_the_contract_saw(world, endpoint):
    shown = result(endpoint, "eth_getTransactionByHash", tx_ids(world, 1)[0])
    tx = decode_transaction(world.store.final(Height(1)).block.txs[0])
    assert shown["hash"] == tx_ids(world, 1)[0]
    assert shown["from"] == "0x" + address_of(tx.sender).hex()
    assert shown["to"] == QUERIES
    assert shown["blockHash"] == result(endpoint, "eth_getBlockByNumber", "0x1")["hash"]
    assert (shown["blockNumber"], shown["transactionIndex"], shown["value"]) == ("0x1", "0x0", "0x0")
    signers = ["0x" + address_of(tx.cosigners[0].key).hex()]
    assert shown["input"] == calldata("queries.register", signers, tx.cosigners[0].statement, tx.args)


def test_a_signature_is_shown_as_two_numbers(world):
    other = StoredWorld(genesis=world.genesis)
    other.run(replace(other.tx(0, "queries.expire", b""), signature=Signature(bytes(range(64)))))
    shown = result(other.endpoint(), "eth_getTransactionByHash", tx_ids(other, 1)[0])
    assert bytes.fromhex(shown["r"][2:]) == bytes(range(32))
    assert bytes.fromhex(shown["s"][2:]) == bytes(range(63, 31, -1))


def test_receipts_say_what_happened(world, endpoint):
    receipts = [result(endpoint, "eth_getTransactionReceipt", tx) for tx in tx_ids(world, 2)]
    kept = world.store.receipts(Height(2))
    assert [shown["status"] for shown in receipts] == ["0x1", "0x1", "0x0"]
    assert [shown["reason"] for shown in receipts] == ["", "", "NOT_IN_PANEL"]
    assert [int(shown["gasUsed"], 16) for shown in receipts] == [receipt.gas for receipt in kept]
    assert int(receipts[2]["cumulativeGasUsed"], 16) == sum(receipt.gas for receipt in kept)
    assert [len(shown["logs"]) for shown in receipts] == [len(receipt.logs) for receipt in kept]
    assert receipts[1]["logs"][0]["logIndex"] == hex(len(kept[0].logs))
    assert receipts[1]["logs"][0]["transactionHash"] == tx_ids(world, 2)[1]
    unknown = result(endpoint, "eth_getTransactionReceipt", tx_ids(world, 3)[0])
    assert (unknown["status"], unknown["to"], unknown["reason"]) == ("0x0", "0x" + "00" * 20, "UNKNOWN_METHOD")


def test_accounts_have_code_and_nothing_else(endpoint):
    assert result(endpoint, "eth_getCode", QUERIES, "latest") == "0x" + load_artefacts()["queries"].runtime.hex()
    assert result(endpoint, "eth_getCode", NOBODY) == "0x"
    assert result(endpoint, "eth_getBalance", QUERIES, "0x1") == "0x0"
    assert result(endpoint, "eth_getTransactionCount", NOBODY, "pending") == "0x0"


def test_the_bloom_admits_every_event_of_its_block_and_little_else(world, endpoint):
    block = result(endpoint, "eth_getBlockByNumber", "0x1")
    logs = [log for receipt in world.store.receipts(Height(1)) for log in receipt.logs]
    bits = int(block["logsBloom"], 16)
    for log in logs:
        wanted = int.from_bytes(bloom([log]), "big")
        assert wanted
        assert bits & wanted == wanted
    absent = int.from_bytes(bloom([Log(address=ADDRESSES["members"], topics=(), data=b"")]), "big")
    assert bits & absent != absent


def test_the_bloom_is_ethereums():
    # Yellow Paper 4.4.3: the low 11 bits of the first three pairs of bytes of keccak256
    hashed = keccak(ADDRESSES["queries"])
    expected = {int.from_bytes(hashed[at : at + 2], "big") & 2047 for at in (0, 2, 4)}
    bits = int.from_bytes(bloom([Log(address=ADDRESSES["queries"], topics=(), data=b"")]), "big")
    assert {place for place in range(2048) if bits >> place & 1} == expected


# ------------------------------------------------------------------------------ calls


def state_at(endpoint, *block):
    output = result(endpoint, "eth_call", {"to": QUERIES, "data": calldata("queries.get", QUERY)}, *block)
    values = decode_output(function("queries.get"), bytes.fromhex(output[2:]))
    return dict(zip(GET_FIELDS, values, strict=True))


def test_a_call_sees_the_state_after_its_block(world, endpoint):
    hash_of_1 = result(endpoint, "eth_getBlockByNumber", "0x1")["hash"]
    assert state_at(endpoint, "earliest")["state"] == 0
    for block in ("0x1", {"blockNumber": "0x1"}, {"blockHash": hash_of_1, "requireCanonical": True}):
        assert (state_at(endpoint, block)["state"], state_at(endpoint, block)["committed"]) == (1, 0)
    assert state_at(endpoint)["committed"] == state_at(endpoint, "latest")["committed"] == 1 << 6 | 1 << 7
    assert world.get(QUERY)["committed"] == 1 << 6 | 1 << 7


def test_a_revert_is_code_3_with_its_data(endpoint):
    data = calldata("queries.expire", [], b"", encode_args("queries.expire", QUERY, 0))
    error = refusal(endpoint, "eth_call", {"to": QUERIES, "input": data, "from": NOBODY}, "latest")
    assert error["code"] == 3
    assert error["message"] == f"execution reverted: {decode_revert(bytes.fromhex(error['data'][2:]))}"
    assert error["message"] == "execution reverted: MEMBER_ONLY"
    malformed = {"to": QUERIES, "input": calldata("queries.expire", [], b"", b"")}
    assert refusal(endpoint, "eth_call", malformed)["data"] == "0x"


def test_a_call_cannot_write(world, endpoint):
    """The same calldata that registers a query as a transaction."""
    tx = world.register_tx(world.request(b"\x09" * 32))
    data = calldata("queries.register", [address_of(tx.cosigners[0].key)], tx.cosigners[0].statement, tx.args)
    sender = "0x" + address_of(key("identity 0")).hex()
    error = refusal(endpoint, "eth_call", {"to": QUERIES, "data": data, "from": sender})
    assert error == {"code": -32000, "message": "the call broke a rule of the machine"}


def test_a_call_to_nobody_answers_nothing(endpoint):
    assert result(endpoint, "eth_call", {"to": NOBODY, "data": "0x1234"}, "latest") == "0x"
    assert result(endpoint, "eth_call", {"data": "0x1234"}) == "0x"
    assert result(endpoint, "eth_call", {"to": "0x" + "00" * 19 + "02", "data": "0x"}) == "0x"  # a precompile


def test_a_state_that_is_gone_is_told(world):
    other = StoredWorld(genesis=world.genesis)
    other.register(QUERY)
    other.store.compact(other.host.children, states=1)
    call = {"to": QUERIES, "data": calldata("queries.get", QUERY)}
    told = "the state of block 0 was removed; states are kept from block 1 on"
    assert refusal(other.endpoint(), "eth_call", call, "0x0")["message"] == told
    assert result(other.endpoint(), "eth_call", call, "0x1") != "0x"


def test_a_node_that_is_missing_is_not_the_callers_fault(world):
    other = StoredWorld(genesis=world.genesis)
    other.register(QUERY)
    root = root_of(other, 1)
    other.store._nodes = {root: other.store._nodes[root]}
    with pytest.raises(StorageError):
        ask(other.endpoint(), "eth_call", {"to": QUERIES, "data": calldata("queries.get", QUERY)}, "0x1")


@pytest.mark.parametrize(
    ("message", "block", "code"),
    [
        ({"to": QUERIES, "data": "0x01", "input": "0x02"}, "latest", -32602),
        ({"to": QUERIES, "value": "0x1"}, "latest", -32000),
        ({"to": "0x12"}, "latest", -32602),
        ({"to": QUERIES, "data": "0x123"}, "latest", -32602),
        ("0x", "latest", -32602),
        ({"to": QUERIES}, "0x04", -32602),
        ({"to": QUERIES}, "newest", -32602),
        ({"to": QUERIES}, {}, -32602),
        ({"to": QUERIES}, {"blockHash": "0x" + "00" * 32}, -32000),
        ({"to": QUERIES}, "0x4", -32000),
        ({"to": QUERIES}, 4, -32602),
    ],
)
def test_a_call_that_makes_no_sense(endpoint, message, block, code):
    assert refusal(endpoint, "eth_call", message, block)["code"] == code


# ------------------------------------------------------------------------------ events


def test_events_by_range_address_and_topics(world, endpoint):
    everything = result(endpoint, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    in_receipts = [
        log
        for height in range(4)
        for tx in tx_ids(world, height)
        for log in result(endpoint, "eth_getTransactionReceipt", tx)["logs"]
    ]
    assert everything == in_receipts
    assert len(everything) == 3
    ranged = {"fromBlock": "earliest", "toBlock": "0xffff"}
    query, registered, committed = "0x" + QUERY.hex(), topic("Registered"), topic("InputCommitted")

    def found(**more):
        return result(endpoint, "eth_getLogs", ranged | more)

    assert found(address=QUERIES) == found(address=[NOBODY, QUERIES]) == found(topics=[]) == everything
    assert found(address=NOBODY) == []
    assert found(topics=[registered]) == everything[:1]
    assert found(topics=[committed, query]) == everything[1:]
    assert found(topics=[[registered, committed], None]) == everything
    assert found(topics=[None, [query, registered]]) == everything
    assert found(topics=[None, committed]) == []
    assert result(endpoint, "eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x2"}) == everything[1:]
    block = result(endpoint, "eth_getBlockByNumber", "0x1")["hash"]
    assert result(endpoint, "eth_getLogs", {"blockHash": block}) == everything[:1]
    assert result(endpoint, "eth_getLogs", {}) == []
    assert result(endpoint, "eth_getLogs", {"fromBlock": "0x7", "toBlock": "0x9"}) == []


def test_a_filter_with_more_places_than_topics_admits_nothing():
    log = Log(address=ADDRESSES["queries"], topics=(b"a", b"b"), data=b"")
    assert matches(log, (), ((), ()))
    assert matches(log, (), ([b"a"], [b"x", b"b"]))
    assert not matches(log, (), ((), (), ()))
    assert not matches(log, (), ([b"b"],))


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"fromBlock": "0x2", "toBlock": "0x1"},
        {"fromBlock": 1},
        {"blockHash": "0x" + "00" * 32, "fromBlock": "0x0"},
        {"blockHash": "0x00"},
        {"address": "0x00"},
        {"address": {}},
        {"topics": "0x00"},
        {"topics": [None] * 5},
        {"topics": ["0x00"]},
        {"topics": [[["0x00"]]]},
    ],
)
def test_filters_that_make_no_sense(endpoint, wanted):
    assert refusal(endpoint, "eth_getLogs", wanted)["code"] == -32602


def test_a_filter_on_a_block_that_is_not_there(endpoint):
    assert refusal(endpoint, "eth_getLogs", {"blockHash": "0x" + "00" * 32})["message"] == "header not found"
