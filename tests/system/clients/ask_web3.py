"""Ask a JSON-RPC endpoint with web3.py, and print what it understood: python ask_web3.py URL QUESTION."""

import json
import sys

from web3 import HTTPProvider, Web3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError


def named(exception, call):
    """The message of an error that must come."""
    try:
        call()
    except exception as error:
        return str(error)
    raise AssertionError(f"expected {exception}, got none")


def main():
    url, asked = sys.argv[1], json.loads(sys.argv[2])
    w3 = Web3(HTTPProvider(url))
    contract = w3.eth.contract(address=w3.to_checksum_address(asked["address"]), abi=asked["abi"])
    block = w3.eth.get_block("latest")
    full = w3.eth.get_block(1, full_transactions=True)
    tx = w3.eth.get_transaction(asked["transaction"])
    receipt = w3.eth.get_transaction_receipt(asked["transaction"])
    function, given = contract.decode_function_input(tx["input"])
    get, nothing = contract.functions.get(asked["query"]), "0x" + "ab" * 32
    logs = contract.events.InputCommitted().get_logs(from_block=0, argument_filters={"query": asked["query"]})
    expire = contract.functions.expire([], b"", asked["expire"])
    named(TransactionNotFound, lambda: w3.eth.get_transaction(nothing))
    named(TransactionNotFound, lambda: w3.eth.get_transaction_receipt(nothing))
    named(BlockNotFound, lambda: w3.eth.get_block(99))
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block(1))
        batch.add(w3.eth.get_block(2))
        heights = [found["number"] for found in batch.execute()]
    answer = {
        "client": w3.client_version,
        "chain": [w3.eth.chain_id, int(w3.net.version)],
        "height": w3.eth.block_number,
        "block": [block["number"], block["timestamp"], block["hash"].to_0x_hex()],
        "same": w3.eth.get_block(block["hash"])["number"],
        "full": [item["hash"].to_0x_hex() for item in full["transactions"]],
        "transaction": [tx["from"].lower(), tx["to"].lower(), tx["blockNumber"], function.fn_name, given["args"].hex()],
        "receipt": [receipt["status"], receipt["gasUsed"], len(receipt["logs"])],
        "failed": w3.eth.get_transaction_receipt(asked["failed"])["status"],
        "registered": [event["args"]["query"].hex() for event in contract.events.Registered().process_receipt(receipt)],
        "committed": [log["transactionHash"].to_0x_hex() for log in logs],
        "states": [get.call(block_identifier=height)[0] for height in (0, 1)],
        "now": get.call()[10],
        "reverted": "MEMBER_ONLY" in named(ContractLogicError, expire.call),
        "code": len(w3.eth.get_code(contract.address)),
        "account": [w3.eth.get_balance(contract.address), w3.eth.get_transaction_count(contract.address)],
        "read_only": "read-only" in named(Web3RPCError, lambda: w3.eth.send_raw_transaction(b"\x00")),
        "batch": heights,
    }
    print(json.dumps(answer))


main()
