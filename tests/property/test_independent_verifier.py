"""Two verifiers of receipt files, written apart, say the same of thousands of valid and mutated files."""

import ast
import functools
import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ledger import merkle
from ledger.encoding import block_hash, decode_certificate, encode_certificate, encode_header, encode_receipt
from ledger.errors import InvalidProofError
from ledger.receipts import FORMAT, verify_receipt
from ledger.types import ChainId, Genesis, Header, Height, Log, Receipt, VoteKind
from mpcnode.sealing.keys import verify
from scripts.verify_receipt import WrongError, check
from tests.support.chains import (
    block_on,
    certificate,
    genesis_of,
    genesis_state,
    member_key,
    receipt,
    transaction,
)
from tests.support.tools import ROOT

SCRIPT = ROOT / "scripts" / "verify_receipt.py"
VALID = 60
SIZES = (1, 2, 3, 4, 5, 7, 8, 9)
Document = dict[str, Any]


@dataclass(frozen=True)
class Consortium:
    """Documents of the same members on two chains."""

    document: bytes
    genesis: Genesis


def consortium(name: str, members: int = 4) -> Consortium:
    genesis = genesis_of(members)
    tables = [f'[[member]]\nname = "{m.name}"\nvote = "{m.vote_key.hex()}"\n' for m in genesis.members if m.vote_key]
    tables.append('[[member]]\nname = "votes not"\n')
    document = "".join((f'[consortium]\nname = "{name}"\n', *tables)).encode()
    return Consortium(document, replace(genesis, chain=ChainId(hashlib.sha256(document).digest())))


OURS, OTHERS = consortium("ours"), consortium("others")


def transactions(count: int, start: int, chain: bytes) -> list[bytes]:
    stated = [bytes([n]) * 64 for n in range(3)]
    return [
        transaction(
            number,
            sender=number % 3,
            chain=chain,
            cosigners=[(member_key(n), stated[n]) for n in range(number % 3)],
        )
        for number in range(start, start + count)
    ]


def executed(number: int) -> Receipt:
    return Receipt(ok=False, gas=number, reason="WRONG_STATE") if number % 3 == 1 else receipt(number)


def signed_block(genesis: Genesis, header: Header, **options: Any) -> Document:
    """A block's entry; a quorum has signed this very header, whatever it says."""
    voted = certificate(genesis, VoteKind.FINALIZE, header.height, 1, block_hash(header), **options)
    return {
        "header": encode_header(header).hex(),
        "certificate": encode_certificate(voted).hex(),
        "validators": [validator.key.hex() for validator in genesis.validators()],
    }


def entries_of(block: int, txs: list[bytes], receipts: list[bytes], wanted: list[int]) -> list[Document]:
    return [
        {
            "block": block,
            "index": index,
            "size": len(txs),
            "transaction": txs[index].hex(),
            "transaction_path": [step.hex() for step in merkle.path(txs, index)],
            "receipt": receipts[index].hex(),
            "receipt_path": [step.hex() for step in merkle.path(receipts, index)],
        }
        for index in wanted
    ]


def header_over(genesis: Genesis, txs: list[bytes], receipts: list[bytes], height: int = 1) -> Header:
    """A header with these roots, even over bytes that are no transactions and no receipts."""
    header = block_on(genesis_state(genesis), [], []).header
    return replace(header, height=Height(height), tx_root=merkle.root(txs), receipts_root=merkle.root(receipts))


def document_of(chain: bytes, blocks: list[Document], entries: list[Document]) -> Document:
    return {"format": FORMAT, "chain": chain.hex(), "blocks": blocks, "transactions": entries}


def valid(rng: random.Random, genesis: Genesis = OURS.genesis) -> Document:
    """One to three blocks, some of their transactions."""
    blocks: list[Document] = []
    entries: list[Document] = []
    for place in range(rng.choice((1, 1, 2, 3))):
        size = rng.choice(SIZES)
        txs = TRANSACTIONS[genesis.chain][10 * place : 10 * place + size]
        receipts = [encode_receipt(executed(10 * place + n)) for n in range(size)]
        blocks.append(signed_block(genesis, header_over(genesis, txs, receipts, place + 1)))
        entries += entries_of(place, txs, receipts, rng.sample(range(size), min(size, rng.randint(1, 2))))
    return document_of(genesis.chain, blocks, entries)


@functools.cache
def valid_text(number: int) -> str:
    """Signing takes most of the time, so mutations share some documents."""
    return json.dumps(valid(random.Random(number)))


TRANSACTIONS = {side.genesis.chain: transactions(30, 0, side.genesis.chain) for side in (OURS, OTHERS)}


# ------------------------------------------------------------- mutations: each changes a valid document


def hex_places(value: Any, at: tuple = ()) -> list[tuple]:
    """Where the hexadecimal texts of a document are."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() if key != "format" for place in hex_places(inner, (*at, key))]
    if isinstance(value, list):
        return [place for index, inner in enumerate(value) for place in hex_places(inner, (*at, index))]
    return [at] if isinstance(value, str) else []


def put(document: Document, at: tuple, change: Callable[[Any], Any]) -> None:
    target: Any = document
    for step in at[:-1]:
        target = target[step]
    target[at[-1]] = change(target[at[-1]])


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut, lengthened, flipped, or with four bytes that may be a length overwritten."""
    at = rng.randrange(len(data) + 1)
    number = rng.choice((0, 1, 4, 5, 8, 9, 64, 65, 512, 14 << 10, (14 << 10) + 1, 1 << 31)).to_bytes(4, "big")
    return rng.choice(
        (data[:at], data + rng.randbytes(rng.randint(1, 40)), data[:at] + number + data[at + 4 :], flipped(data, rng))
    )


def flip(document: Document, rng: random.Random) -> None:
    put(document, rng.choice(hex_places(document)), lambda text: flipped(bytes.fromhex(text), rng).hex())


def damage(document: Document, rng: random.Random) -> None:
    put(document, rng.choice(hex_places(document)), lambda text: damaged(bytes.fromhex(text), rng).hex())


def not_hex(document: Document, rng: random.Random) -> None:
    junk: list[Any] = [None, 7, 1.5, True, [], {}, "zz", "0", "AB", "0x00", " 00", "٣٣"]
    put(document, rng.choice(hex_places(document)), lambda text: rng.choice([*junk, text.upper() + "F", text[:-1]]))


def swap_paths(document: Document, rng: random.Random) -> None:
    entry, other = (rng.choice(document["transactions"]) for _ in range(2))
    here, there = (rng.choice(("transaction_path", "receipt_path")) for _ in range(2))
    entry[here], other[there] = other[there], entry[here]


def bend_path(document: Document, rng: random.Random) -> None:
    path = rng.choice(document["transactions"])[rng.choice(("transaction_path", "receipt_path"))]
    step = rng.choice(path) if path else bytes(32).hex()
    rng.choice((path.reverse, path.clear, lambda: path.extend([step]), lambda: path.extend([step] * 65)))()


def wrong_sizes(document: Document, rng: random.Random) -> None:
    values: list[Any] = [
        0,
        1,
        2,
        3,
        4,
        8,
        9,
        16,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 64,
        -1,
        True,
        None,
        "1",
        1.0,
        [],
        {},
    ]
    rng.choice(document["transactions"])[rng.choice(("index", "size", "block"))] = rng.choice(values)


def keys(document: Document, rng: random.Random) -> None:
    target = rng.choice([document, *document["blocks"], *document["transactions"]])
    if rng.random() < 0.5:
        del target[rng.choice(sorted(target))]
    else:
        target["more"] = rng.choice((1, "", []))


def another_format(document: Document, rng: random.Random) -> None:
    document["format"] = rng.choice(("ledger/receipt/2", "", None, 1, ["ledger/receipt/1"]))


def lists(document: Document, rng: random.Random) -> None:
    """An empty, doubled, shortened or overlong list of blocks, transactions or validators."""
    holder, name = rng.choice(
        [(document, "blocks"), (document, "transactions"), *((entry, "validators") for entry in document["blocks"])]
    )
    listed = holder[name]
    holder[name] = rng.choice(([], listed * 2, listed[:-1], listed[:1] * 1025, {}, listed[::-1]))


def reorder(document: Document, rng: random.Random) -> None:
    """Another order of transactions proves the same; of blocks too, if the places follow."""
    rng.shuffle(document["transactions"])
    order = list(range(len(document["blocks"])))
    rng.shuffle(order)
    document["blocks"] = [document["blocks"][old] for old in order]
    for entry in document["transactions"]:
        entry["block"] = order.index(entry["block"])


def exchange(document: Document, rng: random.Random) -> None:
    """A transaction, receipt or block in the place of another one's."""
    holders, name = rng.choice(
        [
            (document["transactions"], "transaction"),
            (document["transactions"], "receipt"),
            (document["blocks"], "header"),
        ]
    )
    first, second = rng.choice(holders), rng.choice(holders)
    first[name], second[name] = second[name], first[name]


def certificates(document: Document, rng: random.Random) -> None:
    """Dropped, doubled and swapped signatures and signers."""
    entry = rng.choice(document["blocks"])
    found = decode_certificate(bytes.fromhex(entry["certificate"]))
    signers, signatures = list(found.signers), list(found.signatures)
    at, other = rng.randrange(3), rng.randrange(3)
    match rng.randrange(6):
        case 0:
            del signers[at], signatures[at]
        case 1:
            del signatures[at]
        case 2:
            signers.insert(at, signers[at])
            signatures.insert(at, signatures[at])
        case 3:
            signatures[at] = signatures[other]
        case 4:
            signers[at], signers[other] = signers[other], signers[at]
        case _:
            signers[at] = rng.choice((3, 4, 127, 65535))
    changed = replace(found, signers=tuple(signers), signatures=tuple(signatures))
    entry["certificate"] = encode_certificate(changed).hex()


def votes(document: Document, rng: random.Random) -> None:
    """Properly signed certificates, of any kind, view, height and set of signers: some make the block final."""
    entry = rng.choice(document["blocks"])
    header = bytes.fromhex(entry["header"])
    height, decided = int.from_bytes(header[64:96], "big"), hashlib.sha256(header).digest()
    kind = rng.choice((VoteKind.FINALIZE, VoteKind.FINALIZE, VoteKind.FINALIZE, VoteKind.NOTARIZE, VoteKind.NULLIFY))
    voted = certificate(
        OURS.genesis,
        kind,
        rng.choice((height, height, height, height + 1)),
        rng.choice((0, 1, 2, 7, (1 << 32) - 1)),
        rng.choice((decided, decided, decided, bytes(32))),
        signers=rng.choice(((0, 1, 2), (1, 2, 3), (0, 1, 2, 3), (0, 1), (), (2, 1, 0), (0, 1, 1, 2))),
    )
    entry["certificate"] = encode_certificate(voted).hex()


def headers(document: Document, rng: random.Random) -> None:
    """Other headers, and a quorum's signatures on them: only what the receipt says of them may matter."""
    entry = rng.choice(document["blocks"])
    header = bytes.fromhex(entry["header"])
    at = 32 * rng.randrange(12)
    number = rng.choice((0, 5, (1 << 64) - 1, 1 << 64, 1 << 255))
    changed = header[:at] + rng.choice((number.to_bytes(32, "big"), rng.randbytes(32))) + header[at + 32 :]
    height = int.from_bytes(changed[64:96], "big")
    decided = hashlib.sha256(changed).digest()
    signed = certificate(OURS.genesis, VoteKind.FINALIZE, height % (1 << 64), 1, decided)
    entry.update(header=changed.hex(), certificate=encode_certificate(signed).hex())


def other_height(document: Document, rng: random.Random) -> None:
    header = rng.choice(document["blocks"])["header"]
    raised = (int(header[128:192], 16) + rng.randint(1, 9)).to_bytes(32, "big").hex()
    document["blocks"] = [
        entry | {"header": header[:128] + raised + header[192:]} if entry["header"] == header else entry
        for entry in document["blocks"]
    ]


def other_chain(document: Document, rng: random.Random) -> None:
    """All or some of it from the same members' other chain."""
    other = valid(rng, OTHERS.genesis)
    name = rng.choice(("chain", "blocks", "transactions", None))
    document.update(other if name is None else {name: other[name]})


def foreign_bytes(document: Document, rng: random.Random) -> None:
    """A block that a quorum signed over bytes that are perhaps no transaction or no receipt."""
    size, index = rng.choice(SIZES), 0
    start = rng.randrange(20)
    txs = TRANSACTIONS[OURS.genesis.chain][start : start + size]
    receipts = [encode_receipt(executed(start + n)) for n in range(size)]
    if rng.random() < 0.5:
        txs[index] = rng.choice((damaged(txs[index], rng), odd_transaction(rng)))
    else:
        receipts[index] = rng.choice((damaged(receipts[index], rng), odd_receipt(rng)))
    document["blocks"] = [signed_block(OURS.genesis, header_over(OURS.genesis, txs, receipts))]
    document["transactions"] = entries_of(0, txs, receipts, [index])


def odd_transaction(rng: random.Random) -> bytes:
    """Properly signed, at or beyond a limit."""
    return transaction(
        rng.randrange(1000),
        chain=rng.choice((OURS.genesis.chain, OURS.genesis.chain, OTHERS.genesis.chain)),
        method=rng.choice(("", "test.put", "m" * 255)),
        args=bytes(rng.choice((0, 1, 14 << 10, (14 << 10) + 1))),
        cosigners=[(member_key(1), bytes(rng.choice((0, 32, 33, 512, 544))))] * rng.choice((0, 1, 2, 8, 9)),
    )


def odd_receipt(rng: random.Random) -> bytes:
    log = Log(
        address=receipt().logs[0].address,
        topics=(bytes(32),) * rng.choice((0, 4, 5)),
        data=bytes(rng.choice((0, 1, 16 << 10, (16 << 10) + 1))),
    )
    return encode_receipt(
        Receipt(ok=True, gas=(1 << 64) - 1, reason="R" * 255, logs=(log,) * rng.choice((0, 1, 64, 65)))
    )


def bytes_of(document: Document, rng: random.Random) -> bytes:
    return json.dumps(document, indent=rng.choice((None, 1))).encode()


def broken_json(document: Document, rng: random.Random) -> bytes:
    data = bytes_of(document, rng).rstrip()
    at = rng.randrange(len(data))
    return rng.choice(
        (
            data[:at],
            data[:at] + rng.randbytes(3) + data[at + 3 :],
            data + data,
            b"\xef\xbb\xbf" + data,
            data.decode().encode("utf-16"),
            data.replace(b'"block": 0', b'"block": 0, "block": 0', 1),
            data.replace(b'"block": 0', b'"block": 0.0', 1),
            data.replace(b'"block": 0', b'"block": NaN', 1),
            data.replace(b'"block": 0', b'"block": ' + b"1" * 5000, 1),
            data.replace(b'"block": 0', b'"block": ' + b"[" * 20000, 1),
        )
    )


def unchanged(document: Document, rng: random.Random) -> None:
    """The valid document itself."""


def white_space(document: Document, rng: random.Random) -> bytes:
    return b" \n\t" + json.dumps(dict(reversed(document.items())), indent=3).encode() + b"\r\n"


NEVER, ALWAYS, SOMETIMES = {False}, {True}, {False, True}
MUTATIONS: list[tuple[Callable[[Document, random.Random], bytes | None], int, set[bool]]] = [
    (unchanged, VALID, ALWAYS),
    (white_space, 20, ALWAYS),
    (reorder, 100, ALWAYS),
    (flip, 600, NEVER),
    (damage, 200, SOMETIMES),
    (not_hex, 200, NEVER),
    (swap_paths, 250, SOMETIMES),
    (bend_path, 250, SOMETIMES),
    (wrong_sizes, 350, SOMETIMES),
    (keys, 80, NEVER),
    (another_format, 20, NEVER),
    (lists, 150, SOMETIMES),
    (exchange, 150, SOMETIMES),
    (certificates, 300, SOMETIMES),
    (votes, 350, SOMETIMES),
    (headers, 350, SOMETIMES),
    (other_height, 60, NEVER),
    (other_chain, 120, NEVER),
    (foreign_bytes, 400, SOMETIMES),
    (broken_json, 200, NEVER),
]


def first_opinion(data: bytes) -> list[tuple] | None:
    try:
        verified = verify_receipt(data, OURS.genesis, verify)
    except InvalidProofError:
        return None
    return [
        (
            found.tx_id,
            found.transaction.method,
            found.height,
            found.timestamp_ms,
            found.block_hash,
            found.receipt.ok,
            encode_receipt(found.receipt),
        )
        for found in verified.transactions
    ]


def second_opinion(data: bytes) -> list[tuple] | None:
    try:
        return [tuple(proven) for proven in check(data, OURS.document)]
    except WrongError:
        return None


@pytest.mark.parametrize(("mutate", "count", "expected"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_both_verifiers_say_the_same(mutate, count, expected):
    said: Counter[bool] = Counter()
    for seed in range(count):
        rng = random.Random(f"{mutate.__name__} {seed}")
        document = json.loads(valid_text(seed % VALID))
        data = mutate(document, rng) or bytes_of(document, rng)
        first = first_opinion(data)
        assert second_opinion(data) == first, f"{mutate.__name__}, seed {seed}"
        said[first is not None] += 1
    assert set(said) == expected, said


def test_thousands_of_files_are_compared():
    assert sum(count for _, count, _ in MUTATIONS) >= 3500


def test_second_verifier_shares_no_code_with_the_first():
    tree = ast.parse(SCRIPT.read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "nacl"}


def run(tmp_path, receipt_file: bytes, document: bytes) -> tuple[int, str]:
    (tmp_path / "a.receipt").write_bytes(receipt_file)
    (tmp_path / "consortium.toml").write_bytes(document)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "a.receipt"), str(tmp_path / "consortium.toml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1
    return ran.returncode, ran.stdout


def test_command_tells_in_one_line_and_by_its_exit_code(tmp_path):
    document = valid(random.Random(1))
    data = json.dumps(document).encode()
    code, told = run(tmp_path, data, OURS.document)
    assert (code, told.split(":")[0]) == (0, "proven")
    for wrong, consortium_document in (
        (data, OTHERS.document),
        (data[:-9], OURS.document),
        (data, b""),
        (data, b"\xff"),
        (data, b"member = 5"),
        (data, b'member = ["a"]'),
    ):
        code, told = run(tmp_path, wrong, consortium_document)
        assert (code, told.split(":")[0]) == (1, "wrong")
