"""A second opinion on a receipt or consistency file, with no code of this package: docs/protocol.md 1 written again.

    python scripts/verify_receipt.py FILE CONSORTIUM [KNOWN]

Needs Python and pynacl. Trusts the consortium document: its SHA-256 is the chain, its vote keys the first validators;
for a consistency file, the block hash KNOWN instead of the keys. Prints one line; exit code 0: it is proven, 1: not.
"""

import argparse
import hashlib
import json
import re
import sys
import tomllib
from collections import namedtuple
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import CryptoError

Block = namedtuple("Block", "height block_hash time_ms tx_root receipts_root history_root validators next_validators")
Proven = namedtuple("Proven", "tx_id method ok receipt block")
FINALIZE = 3
Json = dict[str, Any]
HEX = re.compile("([0-9a-f]{2})*")

# The shape of what JSON holds: an object's keys, a list's (least, most, item), a constant text, a number of bytes in
# hexadecimal, `bytes` for any number of them, `int` for an integer of 32 bits.
KEYS, PATH = (1, 128, 32), (0, 64, 32)
FINAL = {"header": 384, "certificate": bytes}
HANDOVERS = (0, 1024, FINAL | {"validators": KEYS})
PLACE = {"block": int, "index": int, "size": int}
ENTRY = PLACE | {"transaction": bytes, "transaction_path": PATH, "receipt": bytes, "receipt_path": PATH}
RECEIPT = {"format": "ledger/receipt/2", "chain": 32, "handovers": HANDOVERS, "blocks": (1, 1024, FINAL)}
RECEIPT |= {"transactions": (1, 1024, ENTRY)}
CONSISTENCY = {"format": "ledger/consistency/1", "chain": 32, "older": {"header": 384, "validators": KEYS}}
CONSISTENCY |= {"handovers": HANDOVERS, "newer": FINAL, "inclusion": PATH, "consistency": PATH}


class WrongError(ValueError):
    """The file does not prove what it says."""


def need(holds: bool, wrong: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise WrongError(wrong)


def sha256(*parts: bytes) -> bytes:
    """Hash the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def words(domain: str, *values: bytes | int) -> bytes:
    """Encode a statement: each value in 32 bytes."""
    listed = (value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in values)
    return domain.encode().ljust(32, b"\0") + b"".join(listed)


def digest(domain: str, *fields: bytes) -> bytes:
    """SHA-256 over domain, number of fields and fields, each behind its length."""
    tag, *sized = (len(part).to_bytes(4, "big") + part for part in (domain.encode(), *fields))
    return sha256(tag, len(fields).to_bytes(4, "big"), *sized)


def check_signature(key: bytes, signed: bytes, signature: bytes, what: str) -> None:
    """Check an Ed25519 signature; a key of small order would have signed anything."""
    need(crypto_core_ed25519_is_valid_point(key), f"{what}: no key of prime order: {key.hex()}")
    try:
        crypto_sign_open(signature + signed, key)
    except CryptoError as error:
        raise WrongError(f"{what}: no signature of {key.hex()}") from error


def roots(first: int, size: int, nodes: list[bytes], at: str, *, leaf: bool) -> tuple[bytes, bytes]:
    """Return the roots over the first so many leaves and over all `size` of them (RFC 9162, 2.1.3 and 2.1.4).

    `nodes` are a path from below. The lowest is over the last of the first leaves (`leaf`: a path of inclusion), or
    over the widest whole subtree that ends with it (a path of consistency).
    """
    need(0 < first <= size, f"{at}: no {first} leaves in a tree of {size}")
    turns = []
    while size > 1 if leaf else first < size:
        left = 1 << (size - 1).bit_length() - 1
        turns.append(first > left)
        first, size = (first - left, size - left) if first > left else (first, left)
    need(len(nodes) == len(turns) + 1, f"{at}: a path of {len(nodes)} nodes, not of {len(turns) + 1}")
    older = newer = nodes[0]
    for turned_right, node in zip(reversed(turns), nodes[1:], strict=True):
        older = sha256(b"\x01", node, older) if turned_right else older
        newer = sha256(b"\x01", node, newer) if turned_right else sha256(b"\x01", newer, node)
    return older, newer


def check_included(leaf: bytes, place: tuple[int, int], path: list[bytes], root: bytes, at: str) -> None:
    """Check that a leaf is at a place, (index, size), in the tree with this root."""
    _, found = roots(place[0] + 1, place[1], [sha256(b"\x00", leaf), *path], at, leaf=True)
    need(found == root, f"{at}: a path to another root")


def shaped(shape: Any, found: object, at: str) -> Any:  # noqa: ANN401 - as many types as JSON has
    """Take what JSON has at a place, if it has that shape."""
    match found:
        case dict() if isinstance(shape, dict) and found.keys() == shape.keys():
            return {name: shaped(shape[name], each, f"{at}.{name}") for name, each in found.items()}
        case list() if isinstance(shape, tuple) and shape[0] <= len(found) <= shape[1]:
            return [shaped(shape[2], each, f"{at}[{index}]") for index, each in enumerate(found)]
        case int() if shape is int and type(found) is int and 0 <= found < 1 << 32:
            return found
        case str() if shape == found:
            return found
        case str() if shape in (bytes, len(found) // 2) and len(found) <= 4 << 20 and HEX.fullmatch(found):
            return bytes.fromhex(found)
    raise WrongError(f"{at}: not what a file of this format has there")


def read_json(data: bytes) -> object:
    """Parse JSON of at most 16 MiB in which every key is there once."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        need(len(dict(pairs)) == len(pairs), "file: a key that is there twice")
        return dict(pairs)

    need(len(data) <= 16 << 20, "file: more than 16 MiB")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise WrongError(f"file: no JSON: {error}") from error


class Cursor:
    """Reads big-endian integers and bytes from the front of an encoding (docs/protocol.md 1.2)."""

    def __init__(self, data: bytes, at: str) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        """Take so many bytes."""
        need(len(self.data) >= size, f"{self.at}: {len(self.data)} bytes where {size} should be")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size: int, most: int = 1 << 64) -> int:
        """Take an integer of so many bytes."""
        value = int.from_bytes(self.take(size), "big")
        need(value <= most, f"{self.at}: more than {most}: {value}")
        return value

    def text(self) -> bytes:
        """Take a length of one byte and ASCII."""
        taken = self.take(self.number(1))
        need(taken.isascii(), f"{self.at}: not ASCII: {taken!r}")
        return taken

    def end(self) -> None:
        """Nothing may be left."""
        need(not self.data, f"{self.at}: {len(self.data)} bytes behind the end")


def read_header(header: bytes, chain: bytes, at: str) -> Block:
    """Take a header of this chain apart."""
    need(header[:64] == words("ledger/block/1", chain), f"{at}: no block of the chain {chain.hex()}")
    word = [header[start : start + 32] for start in range(0, 384, 32)]
    height, time_ms = int.from_bytes(word[2], "big"), int.from_bytes(word[4], "big")
    need(max(height, time_ms) < 1 << 64, f"{at}: height or time of more than 64 bits")
    return Block(height, sha256(header), time_ms, word[6], word[7], *word[9:12])


def check_keys(keys: list[bytes], expected: bytes, at: str) -> list[bytes]:
    """Check that a set of validators has this hash."""
    need(keys == sorted(set(keys)), f"{at}: validators that do not ascend")
    need(digest("ledger/validators/1", *keys) == expected, f"{at}: not the validators {expected.hex()}")
    return keys


class Chain:
    """Who decides which height: a known set, and those that it and its successors handed over to."""

    def __init__(self, chain: bytes, keys: list[bytes], since: int, handovers: list[Json]) -> None:
        self.chain, self.sets = chain, [(since, keys)]
        self.final: dict[int, bytes] = {}
        for index, entry in enumerate(handovers):
            at = f"handovers[{index}]"
            block = self.check_final(entry, at)
            need(block.height > self.sets[-1][0], f"{at}: height {block.height} is not above the one before")
            need(block.next_validators != block.validators, f"{at}: hands nothing over")
            self.sets.append((block.height, check_keys(entry["validators"], block.next_validators, at)))

    def check_final(self, entry: Json, at: str) -> Block:
        """Check that a quorum of the set of its height made a block final, and no other one at that height."""
        block = read_header(entry["header"], self.chain, at)
        keys = next((keys for since, keys in reversed(self.sets) if since < block.height), self.sets[0][1])
        check_keys(keys, block.validators, at)
        votes = Cursor(entry["certificate"], at)
        kind, height, view, voted = votes.number(1), votes.number(8), votes.number(4), votes.take(32)
        need((kind, height, voted) == (FINALIZE, *block[:2]) and view > 0, f"{at}: not FINALIZE of this block")
        signers = [votes.number(2, len(keys) - 1) for _ in range(votes.number(4, 128))]
        need(signers == sorted(set(signers)), f"{at}: signers that do not ascend: {signers}")
        need(len(signers) >= len(keys) - (len(keys) - 1) // 3, f"{at}: {len(signers)} of {len(keys)} are no quorum")
        signed = words("ledger/vote/1", self.chain, kind, height, view, voted)
        for signer in signers:
            check_signature(keys[signer], signed, votes.take(64), f"{at}: vote of {signer}")
        votes.end()
        need(self.final.setdefault(height, voted) == voted, f"{at}: another final block at height {height}")
        return block


def check_transaction(data: bytes, chain: bytes, at: str) -> tuple[bytes, str]:
    """Check a transaction's form and signatures; return its id and method."""
    need(len(data) <= 16 << 10, f"{at}: more than 16 KiB")
    tx = Cursor(data, at)
    need(tx.take(32) == chain, f"{at}: not of the chain {chain.hex()}")
    fields = [tx.take(32), tx.take(8), tx.take(16), tx.text(), tx.take(tx.number(4, 14 << 10))]
    cosigners = [(tx.take(32), tx.take(tx.number(4, 576)), tx.take(64)) for _ in range(tx.number(4, 8))]
    signature = tx.take(64)
    tx.end()
    tx_id = digest("ledger/tx/1", chain, *fields, *(key + stated for key, stated, _ in cosigners))
    check_signature(fields[0], words("ledger/tx/1", chain, tx_id), signature, f"{at}: sender")
    for key, stated, signed in cosigners:
        need(len(stated) % 32 == 0 < len(stated), f"{at}: a statement of {len(stated)} bytes")
        check_signature(key, stated, signed, f"{at}: cosigner")
    return tx_id, fields[3].decode()


def check_executed(data: bytes, at: str) -> bool:
    """Check the form of an execution receipt; return whether the transaction held."""
    executed = Cursor(data, at)
    ok, _gas, _reason = executed.number(1, 1) == 1, executed.number(8), executed.text()
    for _ in range(executed.number(4, 64)):
        _address, _topics = executed.take(20), executed.take(32 * executed.number(4, 4))
        executed.take(executed.number(4, 16 << 10))
    executed.end()
    return ok


def check_entry(entry: Json, blocks: list[Block], chain: bytes, at: str) -> Proven:
    """Check a transaction and its execution receipt against the block that it names."""
    need(entry["block"] < len(blocks), f"{at}: no block {entry['block']}")
    block, data, executed = blocks[entry["block"]], entry["transaction"], entry["receipt"]
    place = entry["index"], entry["size"]
    check_included(data, place, entry["transaction_path"], block.tx_root, at)
    check_included(executed, place, entry["receipt_path"], block.receipts_root, at)
    return Proven(*check_transaction(data, chain, at), check_executed(executed, at), executed, block)


def opened(data: bytes, shape: Json, consortium: bytes) -> tuple[Json, bytes]:
    """Parse a file; return it and the chain that it is of."""
    file, chain = shaped(shape, read_json(data), "file"), sha256(consortium)
    need(file["chain"] == chain, f"file: not of the chain {chain.hex()}")
    return file, chain


def check(receipt: bytes, consortium: bytes) -> list[Proven]:
    """Check a receipt file; return what it proves, or raise `WrongError`."""
    members = tomllib.loads(consortium.decode("utf-8"))["member"]
    keys = sorted(shaped(32, member["vote"], "vote key") for member in members if "vote" in member)
    file, chain = opened(receipt, RECEIPT, consortium)
    known = Chain(chain, keys, 0, file["handovers"])
    blocks = [known.check_final(entry, f"blocks[{at}]") for at, entry in enumerate(file["blocks"])]
    return [check_entry(each, blocks, chain, f"transactions[{at}]") for at, each in enumerate(file["transactions"])]


def check_consistency(data: bytes, consortium: bytes, known: bytes) -> tuple[Block, Block]:
    """Check that an older block is in the history of a newer one, and one of both known; else raise `WrongError`."""
    file, chain = opened(data, CONSISTENCY, consortium)
    older = read_header(file["older"]["header"], chain, "older")
    keys = check_keys(file["older"]["validators"], older.next_validators, "older")
    newer = Chain(chain, keys, older.height, file["handovers"]).check_final(file["newer"], "newer")
    need(older.height < newer.height, "newer: not above the older block")
    need(known in {older.block_hash, newer.block_hash}, f"file: neither block is {known.hex()}")
    check_included(older.block_hash, (older.height, newer.height), file["inclusion"], newer.history_root, "inclusion")
    found = sha256(), newer.history_root  # of an empty history, which needs no path
    if older.height > 0:  # one of 2^n blocks is a whole subtree, so its root is not in the path
        nodes = [older.history_root] * (older.height.bit_count() == 1) + file["consistency"]
        found = roots(older.height, newer.height, nodes, "consistency", leaf=False)
    need(found == (older.history_root, newer.history_root), "consistency: not the roots of both histories")
    need(older.height > 0 or not file["consistency"], "consistency: a path from an empty history")
    return older, newer


def told(file: bytes, consortium: bytes, known: str | None) -> str:
    """Check a file and say what it proves."""
    if known is not None:
        ends = check_consistency(file, consortium, bytes.fromhex(known))
        return " is in the history of ".join(f"block {block.height} ({block.block_hash.hex()})" for block in ends)
    each = [f"{p.method} {'ok' if p.ok else 'reverted'} at height {p.block.height}" for p in check(file, consortium)]
    return f"{len(each)} final transactions: {', '.join(each)}"


def main() -> int:
    """Run the check that the command line asks for."""
    parser = argparse.ArgumentParser(description="Check a receipt, or with KNOWN a consistency file, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("consortium", type=Path)
    parser.add_argument("known", nargs="?", help="hash of a block that you know to be final")
    asked = parser.parse_args()
    try:
        print("proven:", told(asked.file.read_bytes(), asked.consortium.read_bytes(), asked.known))
    except (OSError, KeyError, TypeError, ValueError) as error:
        print(f"wrong: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
