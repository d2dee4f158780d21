"""A second opinion on a receipt or consistency file, with no code of this package: docs/protocol.md 1 written again.

    python scripts/verify_receipt.py FILE CONSORTIUM [KNOWN]

Needs Python and pynacl. Trusts the consortium document: its SHA-256 is the chain, its vote keys the first validators;
for a consistency file, the block hash KNOWN instead of the keys. Prints one line; exit code 0: it is proven, 1: not.
"""

import argparse
import hashlib
import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

FINALIZE = 3
FILE_BYTES_MAX = 16 << 20
FIELD_DIGITS_MAX = 4 << 20
HEX = frozenset("0123456789abcdef")
ENTRIES_MAX = 1024
DECIDED = "header certificate"
RECEIPT = "format chain handovers blocks transactions"
CONSISTENCY = "format chain older handovers newer inclusion consistency"
T = TypeVar("T")


class WrongError(ValueError):
    """The file does not prove what it says."""


class Proven(NamedTuple):
    """A transaction that is final, and the execution receipt that the validators signed for it."""

    tx_id: bytes
    method: str
    height: int
    time_ms: int
    block_hash: bytes
    ok: bool
    receipt: bytes


class Block(NamedTuple):
    """What a header commits to."""

    height: int
    time_ms: int
    block_hash: bytes
    tx_root: bytes
    receipts_root: bytes
    history_root: bytes
    validators: bytes
    next_validators: bytes


class Cursor:
    """Reads big-endian integers and bytes from the front of a field."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.what = data, what

    def take(self, size: int) -> bytes:
        """Take so many bytes."""
        need(len(self.data) >= size, f"{self.what}: expected {size} more bytes, got {len(self.data)}")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size: int, most: int | None = None) -> int:
        """Take an integer of so many bytes."""
        value = int.from_bytes(self.take(size), "big")
        need(most is None or value <= most, f"{self.what}: expected at most {most}, got {value}")
        return value

    def text(self) -> str:
        """Take a length of one byte and ASCII."""
        taken = self.take(self.number(1))
        need(taken.isascii(), f"{self.what}: expected ASCII, got {taken!r}")
        return taken.decode()

    def many(self, most: int, take: Callable[[], T]) -> list[T]:
        """Take a count of four bytes and so many items."""
        return [take() for _ in range(self.number(4, most))]

    def end(self) -> None:
        """Nothing may be left."""
        need(not self.data, f"{self.what}: expected its end, got {len(self.data)} more bytes")


def need(holds: bool, wrong: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise WrongError(wrong)


def words(*values: str | bytes | int) -> bytes:
    """Encode a statement: each value in 32 bytes."""
    parts = (v.encode() if isinstance(v, str) else v for v in values)
    return b"".join(p.to_bytes(32, "big") if isinstance(p, int) else p.ljust(32, b"\0") for p in parts)


def digest(domain: str, fields: Iterable[bytes]) -> bytes:
    """SHA-256 over domain, number of fields and fields, each behind its length."""
    listed = list(fields)
    joined = b"".join(len(f).to_bytes(4, "big") + f for f in listed)
    head = len(domain).to_bytes(4, "big") + domain.encode()
    return hashlib.sha256(head + len(listed).to_bytes(4, "big") + joined).digest()


def check_signature(key: bytes, signed: bytes, signature: bytes, what: str) -> None:
    """Check an Ed25519 signature."""
    try:
        need(crypto_core_ed25519_is_valid_point(key), f"{what}: expected a key on the curve, got {key.hex()}")
        VerifyKey(key).verify(signed, signature)
    except (CryptoError, ValueError) as error:
        raise WrongError(f"{what}: expected a signature of {key.hex()}, got another") from error


def root_from(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root of the tree of `size` leaves that has `leaf` at `index`, by RFC 9162's recursive definition."""
    need(0 <= index < size, f"path: expected an index below {size}, got {index}")
    need(bool(path) == (size > 1), f"path: expected {'some' if size > 1 else 'no'} steps here, got {len(path)}")
    if size == 1:
        return hashlib.sha256(b"\x00" + leaf).digest()
    left = 1 << ((size - 1).bit_length() - 1)
    if index < left:
        return hashlib.sha256(b"\x01" + root_from(leaf, index, left, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(b"\x01" + path[-1] + root_from(leaf, index - left, size - left, path[:-1])).digest()


def roots_from(first: int, second: int, first_root: bytes | None, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Roots of the trees of `first` and `second` leaves by RFC 9162's SUBPROOF; the smaller one if it is not given."""
    if first == second:
        need(len(path) == (first_root is None), f"path: expected no more steps here, got {len(path)}")
        root = path[0] if first_root is None else first_root
        return root, root
    need(0 < first < second and bool(path), f"path: expected steps from {first} to {second} leaves, got {len(path)}")
    left = 1 << ((second - 1).bit_length() - 1)
    if first <= left:
        older, newer = roots_from(first, left, first_root, path[:-1])
        return older, hashlib.sha256(b"\x01" + newer + path[-1]).digest()
    both = roots_from(first - left, second - left, None, path[:-1])
    older, newer = (hashlib.sha256(b"\x01" + path[-1] + root).digest() for root in both)
    return older, newer


def read_json(data: bytes) -> dict[str, Any]:
    """Parse the file: an object, every key once, no floating-point numbers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "file: expected every key once, got one twice")
        return dict(pairs)

    def refuse(number: str) -> None:
        raise WrongError(f"file: expected integers, got {number}")

    need(len(data) <= FILE_BYTES_MAX, f"file: expected at most {FILE_BYTES_MAX} bytes, got {len(data)}")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise WrongError(f"file: expected JSON, got {error}") from error
    if not isinstance(found, dict):
        raise WrongError("file: expected an object, got another")
    return found


def keyed(found: object, names: str) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(found, dict) or set(found) != set(names.split()):
        raise WrongError(f"expected an object with {names}, got another")
    return found


def listed(found: object, what: str, least: int, most: int) -> list[Any]:
    """A list of so many items."""
    if not isinstance(found, list) or not least <= len(found) <= most:
        raise WrongError(f"{what}: expected {least} to {most} items, got others")
    return found


def unhex(found: object, what: str, size: int | None = None) -> bytes:
    """Bytes that are written in lowercase hexadecimal."""
    if not isinstance(found, str) or len(found) % 2 or len(found) > FIELD_DIGITS_MAX or set(found) - HEX:
        raise WrongError(f"{what}: expected lowercase hexadecimal, got another")
    need(size is None or len(found) == 2 * size, f"{what}: expected {size} bytes, got {len(found) // 2}")
    return bytes.fromhex(found)


def unhex_path(found: object, what: str) -> list[bytes]:
    """A path in a Merkle tree."""
    return [unhex(step, what, 32) for step in listed(found, what, 0, 64)]


def read_header(found: object, chain: bytes, what: str) -> Block:
    """Take a header of this chain apart."""
    header = unhex(found, what, 12 * 32)
    word = [header[at : at + 32] for at in range(0, len(header), 32)]
    need(word[0] == words("ledger/block/1"), f"{what}: expected the domain ledger/block/1, got another")
    need(word[1] == chain, f"{what}: expected the chain {chain.hex()}, got {word[1].hex()}")
    height, time_ms = int.from_bytes(word[2], "big"), int.from_bytes(word[4], "big")
    need(height >> 64 == 0 and time_ms >> 64 == 0, f"{what}: expected height and time of 64 bits, got more")
    return Block(height, time_ms, hashlib.sha256(header).digest(), word[6], word[7], *word[9:12])


def read_keys(found: object, expected: bytes, what: str) -> list[bytes]:
    """Take the keys of the set with this hash."""
    keys = [unhex(key, what, 32) for key in listed(found, what, 1, 128)]
    need(keys == sorted(set(keys)), f"{what}: expected ascending keys, got others")
    need(digest("ledger/validators/1", keys) == expected, f"{what}: expected the set {expected.hex()}, got another")
    return keys


class Sets:
    """Who decides which height: a known set, and those that it and its successors handed over to."""

    def __init__(self, chain: bytes, keys: list[bytes], since: int) -> None:
        self.chain, self.keys, self.since = chain, keys, since
        self.known = [(since, keys)]
        self.final: dict[int, bytes] = {}

    def follow(self, handovers: object) -> None:
        """Follow every change of the set, in order."""
        for at, found in enumerate(listed(handovers, "handovers", 0, ENTRIES_MAX)):
            what = f"handovers[{at}]"
            entry = keyed(found, f"{DECIDED} validators")
            block = self.check_final({name: entry[name] for name in DECIDED.split()}, what)
            need(block.height > self.known[-1][0], f"{what}: expected a later height, got {block.height}")
            need(block.next_validators != block.validators, f"{what}: expected another set, got the same")
            self.known.append((block.height, read_keys(entry["validators"], block.next_validators, what)))

    def check_final(self, found: object, what: str) -> Block:
        """Check that a quorum of the validators of its height made a header final."""
        entry = keyed(found, DECIDED)
        block = read_header(entry["header"], self.chain, what)
        keys = next((keys for since, keys in reversed(self.known) if since < block.height), self.known[0][1])
        need(block.validators == digest("ledger/validators/1", keys), f"{what}: expected the validators walked to")
        votes = Cursor(unhex(entry["certificate"], what), what)
        head = (votes.number(1), votes.number(8), votes.number(4), votes.take(32))
        finalizes = head == (FINALIZE, block.height, head[2], block.block_hash) and head[2] > 0
        need(finalizes, f"{what}: expected FINALIZE of block {block.block_hash.hex()}, got another vote")
        signers = votes.many(128, lambda: votes.number(2, len(keys) - 1))
        need(signers == sorted(set(signers)), f"{what}: expected ascending signers, got {signers}")
        quorum = len(keys) - (len(keys) - 1) // 3
        need(len(signers) >= quorum, f"{what}: expected at least {quorum} signers, got {len(signers)}")
        for signer in signers:
            signed = words("ledger/vote/1", self.chain, *head)
            check_signature(keys[signer], signed, votes.take(64), f"{what}: vote of {signer}")
        votes.end()
        same = self.final.setdefault(block.height, block.block_hash) == block.block_hash
        need(same, f"{what}: expected one final block at height {block.height}, got two")
        return block


def check_transaction(data: bytes, chain: bytes) -> tuple[bytes, str]:
    """Check a transaction's form and signatures; return its id and method."""
    need(len(data) <= 16 << 10, f"transaction: expected at most 16 KiB, got {len(data)} bytes")
    tx = Cursor(data, "transaction")
    need(tx.take(32) == chain, f"transaction: expected the chain {chain.hex()}, got another")
    sender, expiry, unique, method = tx.take(32), tx.take(8), tx.take(16), tx.text()
    args = tx.take(tx.number(4, 14 << 10))
    cosigners = tx.many(8, lambda: (tx.take(32), tx.take(tx.number(4, 512)), tx.take(64)))
    signature = tx.take(64)
    tx.end()
    joined = (key + stated for key, stated, _ in cosigners)
    tx_id = digest("ledger/tx/1", (chain, sender, expiry, unique, method.encode(), args, *joined))
    check_signature(sender, words("ledger/tx/1", chain, tx_id), signature, "transaction")
    for key, stated, signed in cosigners:
        need(len(stated) % 32 == 0 and stated != b"", f"cosigner: expected whole words, got {len(stated)} bytes")
        check_signature(key, stated, signed, "cosigner")
    return tx_id, method


def check_executed(data: bytes) -> bool:
    """Check the form of an execution receipt; return whether the transaction held."""
    executed = Cursor(data, "receipt")
    ok = executed.number(1, 1) == 1
    executed.number(8)
    executed.text()
    for _ in range(executed.number(4, 64)):
        executed.take(20)
        executed.take(32 * executed.number(4, 4))
        executed.take(executed.number(4, 16 << 10))
    executed.end()
    return ok


def check_entry(found: object, blocks: list[Block], chain: bytes) -> Proven:
    """Check one transaction and its execution receipt against the block it names."""
    entry = keyed(found, "block index size transaction transaction_path receipt receipt_path")
    place, index, size = (entry[name] for name in ("block", "index", "size"))
    need(all(type(n) is int and 0 <= n < 1 << 32 for n in (place, index, size)), "entry: expected 32-bit integers")
    need(place < len(blocks), f"entry: expected a block below {len(blocks)}, got {place}")
    block = blocks[place]
    data, executed = (unhex(entry[name], name) for name in ("transaction", "receipt"))
    for name, leaf, root in (("transaction", data, block.tx_root), ("receipt", executed, block.receipts_root)):
        path = unhex_path(entry[f"{name}_path"], f"{name}_path")
        need(root_from(leaf, index, size, path) == root, f"{name}: expected a path to the header's root, got another")
    tx_id, method = check_transaction(data, chain)
    ok = check_executed(executed)
    return Proven(tx_id, method, block.height, block.time_ms, block.block_hash, ok, executed)


def open_file(data: bytes, consortium: bytes, form: str, names: str) -> tuple[dict[str, Any], bytes]:
    """Parse a file of a format; return it and the chain that it must be of."""
    chain = hashlib.sha256(consortium).digest()
    found = read_json(data)
    need(found.get("format") == form, f"file: expected {form}, got {found.get('format')!r}")
    need(unhex(keyed(found, names)["chain"], "chain", 32) == chain, f"file: expected the chain {chain.hex()}")
    return found, chain


def check(receipt: bytes, consortium: bytes) -> list[Proven]:
    """Check a receipt file; return what it proves, in the file's order.

    Raises:
        WrongError: whatever is wrong with it.
    """
    members = tomllib.loads(consortium.decode("utf-8"))["member"]
    keys = sorted(unhex(member["vote"], "vote key", 32) for member in members if "vote" in member)
    file, chain = open_file(receipt, consortium, "ledger/receipt/2", RECEIPT)
    sets = Sets(chain, keys, 0)
    sets.follow(file["handovers"])
    found = enumerate(listed(file["blocks"], "blocks", 1, ENTRIES_MAX))
    blocks = [sets.check_final(entry, f"blocks[{at}]") for at, entry in found]
    entries = listed(file["transactions"], "transactions", 1, ENTRIES_MAX)
    return [check_entry(entry, blocks, chain) for entry in entries]


def check_consistency(data: bytes, consortium: bytes, known: bytes) -> tuple[Block, Block]:
    """Check that an older block is in the history of a newer one; one of both is known by its hash.

    Raises:
        WrongError: whatever is wrong with it.
    """
    file, chain = open_file(data, consortium, "ledger/consistency/1", CONSISTENCY)
    start = keyed(file["older"], "header validators")
    older = read_header(start["header"], chain, "older")
    sets = Sets(chain, read_keys(start["validators"], older.next_validators, "older"), older.height)
    sets.follow(file["handovers"])
    newer = sets.check_final(file["newer"], "newer")
    need(older.height < newer.height, f"newer: expected a height after {older.height}, got {newer.height}")
    need(known in {older.block_hash, newer.block_hash}, f"file: expected the block {known.hex()}, got others")
    found = root_from(older.block_hash, older.height, newer.height, unhex_path(file["inclusion"], "inclusion"))
    need(found == newer.history_root, "inclusion: expected a path to the newer history root, got another")
    path = unhex_path(file["consistency"], "consistency")
    if older.height == 0:
        need(not path and older.history_root == hashlib.sha256().digest(), "consistency: expected an empty history")
        return older, newer
    roots = roots_from(older.height, newer.height, older.history_root, path)
    need(roots == (older.history_root, newer.history_root), "consistency: expected both history roots, got others")
    return older, newer


def told(file: bytes, consortium: bytes, known: str | None) -> str:
    """Check a file of either format and say what it proves."""
    if known is not None:
        older, newer = (
            f"{b.height} ({b.block_hash.hex()})" for b in check_consistency(file, consortium, bytes.fromhex(known))
        )
        return f"block {older} is in the history of block {newer}"
    proven = check(file, consortium)
    each = ", ".join(f"{p.method} {'ok' if p.ok else 'reverted'} at height {p.height}" for p in proven)
    return f"{len(proven)} final transactions: {each}"


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
