"""Where our JSON-RPC and anvil's should agree they do: which events a filter finds, how a wrong request is refused.

Anvil overlooks places at a filter's end that admit everything, where geth and we ask for as many topics, and it
finds nothing in a range backwards, which geth and we refuse; so these are not asked.
"""

import json
import random
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger.contract import ContractHost
from ledger.encoding import decode_transaction, transaction_id
from ledger.ports import Decision
from ledger.rpc.jsonrpc import JsonRpc
from ledger.store import MemoryStore
from ledger.types import Address, Block, FinalBlock, Log, Receipt
from tests.support.anvil import Anvil, prefixed, quantity, running_anvil
from tests.support.chains import CHAIN, final_on, genesis_of, genesis_state, transaction
from tests.support.tools import need

BLOCKS = 12
EMITTERS = [Address(bytes(18) + bytes((0xE0, topics))) for topics in range(5)]
"""Contracts on anvil: each emits what its calldata says, with so many topics."""
TOPICS = [bytes([number]) * 32 for number in range(4)]
NOBODY = "0x" + "77" * 20
Ask = Callable[[bytes], Any]


def emitter(topics: int) -> bytes:
    """Code that emits its calldata: so many topics, then data."""
    load = b"".join(bytes((0x60, 32 * place, 0x35)) for place in reversed(range(topics)))
    size = bytes((0x60, 32 * topics, 0x36, 0x03))
    copy = bytes((0x80, 0x60, 32 * topics, 0x60, 0, 0x37))
    return load + size + copy + bytes((0x60, 0, 0xA0 + topics, 0))


def random_log(rng: random.Random) -> Log:
    topics = tuple(rng.choice(TOPICS) for _ in range(rng.randrange(5)))
    return Log(address=EMITTERS[len(topics)], topics=topics, data=rng.randbytes(rng.choice((0, 1, 32, 100))))


def emit(anvil: Anvil, blocks: list[list[Log]]) -> None:
    for number, address in enumerate(EMITTERS):
        anvil.ask("anvil_setCode", prefixed(address), prefixed(emitter(number)))
    for logs in blocks:
        for log in logs:
            data = prefixed(b"".join(log.topics) + log.data)
            call = {"from": NOBODY, "to": prefixed(log.address), "gas": "0x100000", "gasPrice": "0x0", "data": data}
            anvil.ask("eth_sendTransaction", call)
        anvil.ask("evm_mine")


def endpoint(blocks: list[list[Log]]) -> JsonRpc:
    """A chain whose transactions emitted these events, one each."""
    genesis, store = genesis_of(4), MemoryStore()
    head = genesis_state(genesis)

    def commit(final: FinalBlock, receipts: list[Receipt]) -> None:
        ids = tuple(transaction_id(decode_transaction(data)) for data in final.block.txs)
        decision = Decision(
            final=final, tx_ids=ids, receipts=tuple(receipts), nodes={}, validators=genesis.validators()
        )
        store.commit(decision)

    commit(FinalBlock(block=Block(header=head.header, txs=()), certificate=None), [])
    for logs in blocks:
        txs = [transaction(100 * head.header.height + number) for number in range(len(logs))]
        receipts = [Receipt(ok=True, gas=1, reason="", logs=(log,)) for log in logs]
        final, head = final_on(genesis, head, txs, receipts)
        commit(final, receipts)
    return JsonRpc(store, ContractHost(CHAIN, store.read_node))


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Ask, Ask]]:
    rng = random.Random(8)
    blocks = [[random_log(rng) for _ in range(rng.randint(1, 4))] for _ in range(BLOCKS)]
    ours = endpoint(blocks)
    with running_anvil(need("anvil"), 1) as anvil:
        emit(anvil, blocks)

        def theirs(body: bytes) -> Any:
            request = urllib.request.Request(anvil.url, body, {"Content-Type": "application/json"})  # noqa: S310 - ours
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return json.loads(response.read() or "null")

        yield lambda body: json.loads(ours.answer(body) or "null"), theirs


def asked(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def random_filter(rng: random.Random) -> dict[str, object]:
    first = rng.randint(0, BLOCKS)
    last = rng.choice((first, rng.randint(first, BLOCKS), BLOCKS))
    wanted: dict[str, object] = {
        "fromBlock": rng.choice((quantity(first), "earliest")),
        "toBlock": rng.choice((quantity(last), "latest", "latest", None)),
    }
    address = rng.choice((None, None, [], rng.choice(EMITTERS), rng.sample(EMITTERS, 2)))
    if address is not None or rng.random() < 0.5:
        wanted["address"] = [prefixed(each) for each in address] if isinstance(address, list) else shown(address)
    if rng.random() < 0.8:
        topics = [random_place(rng) for _ in range(rng.randrange(5))]
        while topics and admits_all(topics[-1]):
            del topics[-1]
        wanted["topics"] = topics
    return {name: wanted[name] for name in rng.sample(sorted(wanted), len(wanted))}


def random_place(rng: random.Random) -> object:
    """All, one topic, one of some, or an absent one."""
    some: list[object] = [prefixed(topic) for topic in rng.sample(TOPICS, rng.randrange(4))]
    return rng.choice((None, None, prefixed(rng.choice(TOPICS)), some, [*some, None], [prefixed(b"\xee" * 32)]))


def admits_all(place: object) -> bool:
    return not place or (isinstance(place, list) and None in place)


def shown(address: bytes | None) -> str | None:
    return None if address is None else prefixed(address)


def essence(answer: Any) -> list[tuple[object, ...]]:
    names = ("blockNumber", "transactionIndex", "logIndex", "address", "topics", "data", "removed")
    return [tuple(json.dumps(log[name]) for name in names) for log in answer["result"]]


@pytest.mark.system
def test_filters_find_the_same_events(both: tuple[Ask, Ask]) -> None:
    ours, theirs = both
    rng, found = random.Random(9), 0
    for _ in range(400):
        body = asked("eth_getLogs", random_filter(rng))
        expected = essence(theirs(body))
        assert essence(ours(body)) == expected, body
        found += bool(expected)
    assert 100 < found < 350


HASH = "0x" + "00" * 32
WRONG = {
    "no request": b"null",
    "no method": b'{"jsonrpc":"2.0","id":1}',
    "a method that is no text": b'{"jsonrpc":"2.0","id":1,"method":7}',
    "no version": b'{"id":1,"method":"eth_chainId"}',
    "another version": b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId","params":[]}',
    "an empty batch": b"[]",
    "an id that is a fraction": b'{"jsonrpc":"2.0","id":1.5,"method":"eth_chainId","params":[]}',
    "an id that is a truth": b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId","params":[]}',
    "an id that is an object": b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId","params":[]}',
    "a key twice": b'{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId","params":[]}',
    "parameters by name": b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}',
    "an unknown method": asked("eth_nothing"),
    "a parameter too many": asked("eth_chainId", 1),
    "a parameter too few": asked("eth_getBlockByNumber"),
    "a negative height": asked("eth_getBlockByNumber", "-0x1", False),
    "a huge height": asked("eth_getBlockByNumber", "0x10000000000000000", False),
    "a height without digits": asked("eth_getBlockByNumber", "0x", False),
    "a tag that is none": asked("eth_getBlockByNumber", "newest", False),
    "a truth that is none": asked("eth_getBlockByNumber", "0x0", "yes"),
    "a short hash": asked("eth_getBlockByHash", "0x00", False),
    "a long hash": asked("eth_getTransactionReceipt", HASH + "00"),
    "an odd number of digits": asked("eth_getTransactionByHash", "0x1"),
    "a short address": asked("eth_getCode", "0x11", "latest"),
    "a call that is a text": asked("eth_call", "0x", "latest"),
    "calldata of half bytes": asked("eth_call", {"to": NOBODY, "data": "0x123"}, "latest"),
    "a range and a hash": asked("eth_getLogs", {"blockHash": HASH, "fromBlock": "0x0"}),
    "a block that is not there": asked("eth_getLogs", {"blockHash": HASH}),
    "a range of numbers": asked("eth_getLogs", {"fromBlock": 1}),
    "an address of half bytes": asked("eth_getLogs", {"address": "0x0"}),
    "topics that are a text": asked("eth_getLogs", {"topics": "0x"}),
    "five topics": asked("eth_getLogs", {"topics": [None] * 5}),
    "a short topic": asked("eth_getLogs", {"topics": ["0x00"]}),
    "a filter that is a list": asked("eth_getLogs", []),
}


@pytest.mark.system
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_wrong_requests_get_the_same_code(both: tuple[Ask, Ask], body: bytes) -> None:
    ours, theirs = (ask(body)["error"]["code"] for ask in both)
    assert ours == theirs


RIGHT = {
    "nothing to answer": b'{"jsonrpc":"2.0","method":"eth_chainId"}',
    "a batch with nothing to answer": b'[{"jsonrpc":"2.0","method":"eth_chainId"}]',
    "no such block": asked("eth_getBlockByNumber", "0xff", False),
    "no such hash": asked("eth_getBlockByHash", HASH, False),
    "no such transaction": asked("eth_getTransactionByHash", HASH),
    "no such receipt": asked("eth_getTransactionReceipt", HASH),
    "code of nobody": asked("eth_getCode", NOBODY, "latest"),
    "a call of nobody": asked("eth_call", {"to": NOBODY, "nothing": 1}, {"blockNumber": "0x0"}),
    "a call of nothing": asked("eth_call", {"to": None, "data": None}, "latest"),
    "an id that is null": b'{"jsonrpc":"2.0","id":null,"method":"eth_blockNumber","params":[]}',
    "a negative id": b'{"jsonrpc":"2.0","id":-5,"method":"eth_blockNumber"}',
    "an id that is a text": b'{"jsonrpc":"2.0","id":"","method":"eth_blockNumber"}',
}


@pytest.mark.system
@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT.keys())
def test_the_rest_gets_the_same_answer(both: tuple[Ask, Ask], body: bytes) -> None:
    ours, theirs = (ask(body) for ask in both)
    assert ours == theirs
