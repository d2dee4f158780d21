"""The JSON-RPC endpoint on loopback, asked by the real web3.py and ethers: both understand the chain as it is."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ledger.contract import address_of, encode_args
from ledger.contract.artefacts import ADDRESSES, ARTEFACTS, load_artefacts
from ledger.encoding import decode_transaction, transaction_id
from ledger.types import Height
from tests.support.contracts import CHAIN
from tests.support.stored_world import QUERY, StoredWorld, stored_world
from tests.support.tools import NODE_MODULES, need

CLIENTS = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def world() -> StoredWorld:
    return stored_world()


@pytest.fixture(scope="module")
def url(world) -> Iterator[str]:
    endpoint = world.endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = endpoint.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def final(world, height):
    found = world.store.final(Height(height))
    assert found is not None
    return found.block


def transactions(world, height):
    return [decode_transaction(data) for data in final(world, height).txs]


def ids(world, height):
    return ["0x" + transaction_id(tx).hex() for tx in transactions(world, height)]


def question(world) -> str:
    return json.dumps(
        {
            "address": "0x" + ADDRESSES["queries"].hex(),
            "abi": json.loads((ARTEFACTS / "queries.json").read_text())["abi"],
            "query": "0x" + QUERY.hex(),
            "transaction": ids(world, 1)[0],
            "failed": ids(world, 2)[2],
            "expire": "0x" + encode_args("queries.expire", QUERY, 0).hex(),
        }
    )


def expected(world):
    (registration,), newest = transactions(world, 1), final(world, 3).header
    receipt = world.store.receipts(Height(1))[0]
    sender = "0x" + address_of(registration.sender).hex()
    chain_id = int.from_bytes(CHAIN[:7], "big") >> 4
    return {
        "client": "ledger/test",
        "chain": [chain_id, chain_id],
        "height": 3,
        "block": [3, newest.timestamp_ms // 1000, "0x" + world.head.block_hash.hex()],
        "same": 3,
        "full": ids(world, 1),
        "transaction": [sender, "0x" + ADDRESSES["queries"].hex(), 1, "register", registration.args.hex()],
        "receipt": [1, receipt.gas, len(receipt.logs)],
        "failed": 0,
        "registered": [QUERY.hex()],
        "committed": ids(world, 2)[:2],
        "states": [0, 1],
        "now": world.get(QUERY)["committed"],
        "reverted": True,
        "code": len(load_artefacts()["queries"].runtime),
        "account": [0, 0],
        "read_only": True,
        "batch": [1, 2],
    }


@pytest.mark.system
def test_web3_understands_the_chain(world, url):
    python = need("web3-python")
    ran = subprocess.run(
        [python, CLIENTS / "ask_web3.py", url, question(world)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == expected(world)


@pytest.mark.system
def test_ethers_understands_the_chain(world, url):
    if not (NODE_MODULES / "ethers").exists():
        need("ethers")
    ran = subprocess.run(
        [need("node"), CLIENTS / "ask_ethers.cjs", url, question(world)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)},
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == expected(world)
