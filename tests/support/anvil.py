"""Anvil, Foundry's Ethereum node, as a second machine for the contracts: plain JSON-RPC, the fork fixed to Cancun."""

import contextlib
import gzip
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from ledger.contract.abi import encode_call
from ledger.contract.artefacts import ADDRESSES, load_artefacts
from ledger.contract.genesis import genesis_calls
from ledger.encoding import TX_GAS_MAX
from ledger.types import Genesis, Transaction

GAS_MAX = 30_000_000
STARTS_WITHIN_S = 20
SYSTEM = bytes(20)


@dataclass(frozen=True, kw_only=True)
class Mined:
    """What a transaction did, in the words of the ledger's receipts."""

    ok: bool
    gas: int
    """Without the intrinsic gas."""
    reason: str
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]


def quantity(number: int) -> str:
    return hex(number)


def unprefixed(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def prefixed(data: bytes) -> str:
    return "0x" + data.hex()


def word_of(text: str) -> int:
    return int(text, 16)


def intrinsic_gas(data: bytes) -> int:
    """Of a call with this calldata (EIP-2028)."""
    return 21_000 + sum(16 if byte else 4 for byte in data)


def calldata(tx: Transaction) -> bytes:
    """Of a transaction, by docs/protocol.md 1.3."""
    _, function = tx.method.split(".")
    signers = ["0x" + keccak(cosigner.key)[-20:].hex() for cosigner in tx.cosigners]
    stated = b"".join(cosigner.statement for cosigner in tx.cosigners)
    selector = keccak(f"{function}(address[],bytes,bytes)".encode())[:4]
    return selector + encode(("address[]", "bytes", "bytes"), (signers, stated, tx.args))


class Anvil:
    """A running node without money, whose blocks are made by hand."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer = json.load(response)
        if "error" in answer:
            raise AssertionError(f"{method}: expected a result, got {answer['error']}")
        return answer["result"]

    def set_slot(self, address: bytes, slot: int, value: int) -> None:
        words = (number.to_bytes(32, "big") for number in (slot, value))
        self.ask("anvil_setStorageAt", prefixed(address), *map(prefixed, words))

    def load(self, genesis: Genesis) -> None:
        """Install the contracts and store what the genesis calls change at height 0, which is never mined."""
        for name, artefact in load_artefacts().items():
            self.ask("anvil_setCode", prefixed(ADDRESSES[name]), prefixed(artefact.runtime))
        for function, values in genesis_calls(genesis):
            call = {
                "from": prefixed(SYSTEM),
                "to": prefixed(ADDRESSES[function.contract]),
                "gas": quantity(GAS_MAX),
                "data": prefixed(encode_call(function, *values)),
            }
            options = {
                "tracer": "prestateTracer",
                "tracerConfig": {"diffMode": True},
                "blockOverrides": {"number": "0x0", "time": "0x0"},
            }
            changed = self.ask("debug_traceCall", call, "latest", options)["post"]
            for address, account in changed.items():
                for slot, value in account.get("storage", {}).items():
                    self.set_slot(unprefixed(address), word_of(slot), word_of(value))

    def mine(self, timestamp: int, txs: Sequence[Transaction]) -> list[Mined]:
        """Make a block of these transactions, in this order."""
        self.ask("evm_setNextBlockTimestamp", quantity(timestamp))
        data = [calldata(tx) for tx in txs]
        hashes = [self._send(tx, given) for tx, given in zip(txs, data, strict=True)]
        self.ask("evm_mine")
        receipts = self.ask("eth_getBlockReceipts", "latest")
        assert [receipt["transactionHash"] for receipt in receipts] == hashes
        return [self._mined(receipt, given) for receipt, given in zip(receipts, data, strict=True)]

    def _send(self, tx: Transaction, data: bytes) -> str:
        call = {
            "from": prefixed(keccak(tx.sender)[-20:]),
            "to": prefixed(ADDRESSES[tx.method.split(".")[0]]),
            "gas": quantity(TX_GAS_MAX + intrinsic_gas(data)),
            "gasPrice": "0x0",
            "data": prefixed(data),
        }
        return str(self.ask("eth_sendTransaction", call))

    def _mined(self, receipt: dict[str, Any], data: bytes) -> Mined:
        ok = receipt["status"] == "0x1"
        return Mined(
            ok=ok,
            gas=word_of(receipt["gasUsed"]) - intrinsic_gas(data),
            reason="" if ok else self._reason(receipt["transactionHash"]),
            logs=tuple(
                (unprefixed(log["address"]), tuple(map(unprefixed, log["topics"])), unprefixed(log["data"]))
                for log in receipt["logs"]
            ),
        )

    def _reason(self, sent: str) -> str:
        trace = self.ask("debug_traceTransaction", sent, {"tracer": "callTracer"})
        output = unprefixed(trace.get("output", "0x"))
        if output[:4] == keccak(b"Error(string)")[:4]:
            return str(decode(("string",), output[4:])[0])
        error = str(trace["error"])
        if error == "execution reverted":
            return "MALFORMED_ARGUMENTS"
        return "OUT_OF_GAS" if error.startswith("out of gas") else error

    def head(self) -> tuple[int, int]:
        """Height and time of the newest block."""
        block = self.ask("eth_getBlockByNumber", "latest", False)
        return word_of(block["number"]), word_of(block["timestamp"])

    def storage(self, address: bytes) -> dict[bytes, int]:
        """Every slot of a contract that is not zero, by the hash of its number."""
        state = json.loads(gzip.decompress(unprefixed(self.ask("anvil_dumpState"))))
        slots = state["accounts"][prefixed(address)]["storage"]
        found = {keccak(word_of(slot).to_bytes(32, "big")): word_of(value) for slot, value in slots.items()}
        return {slot: value for slot, value in found.items() if value}


@contextlib.contextmanager
def running_anvil(program: str, chain_id: int) -> Iterator[Anvil]:
    """Start anvil on a port of its choice, at height 0 and time 0; stop it at the end."""
    options = {
        "--hardfork": "cancun",
        "--chain-id": chain_id,
        "--port": 0,
        "--accounts": 1,
        "--gas-limit": GAS_MAX,
        "--gas-price": 0,
        "--block-base-fee-per-gas": 0,
        "--number": 0,
        "--timestamp": 1,
        "--order": "fifo",
    }
    command = [program, *(str(part) for option in options.items() for part in option)]
    command += ["--auto-impersonate", "--no-mining", "--disable-console-log"]
    with (
        tempfile.TemporaryFile("w+") as told,  # a pipe that nobody empties would stop it
        subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield Anvil(f"http://{_listening(process, told)}")
        finally:
            process.kill()


def _listening(process: subprocess.Popen, told: TextIO) -> str:
    """Wait for anvil to say where it listens."""
    give_up = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        told.seek(0)
        found = re.search(r"^Listening on (\S+)\n", told.read(), re.MULTILINE)
        if found:
            return found[1]
        time.sleep(0.05)
    told.seek(0)
    raise AssertionError(f"expected anvil to listen, got {told.read()}")
