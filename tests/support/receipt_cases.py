"""Receipt files of chains whose validators change, and what can be done to them: for verifiers to agree on."""

import functools
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ledger import merkle
from ledger.encoding import (
    block_hash,
    decode_certificate,
    decode_header,
    encode_certificate,
    encode_header,
    encode_receipt,
    validators_hash,
)
from ledger.types import ChainId, Header, Height, Log, Millis, Receipt, Validator, VoteKind
from tests.support.chains import certificate_of, member_key, receipt, transaction, vote_key
from tests.support.mutations import Document, broken_json, damage, damaged, flip, not_hex, white_space
from tests.support.proofs import Chronicle, changed_set, chronicle, consortium, executed, transactions

VALID = 80
SIZES = (1, 2, 3, 4, 5, 7, 8, 9)
HEIGHT = 9

OURS = {members: consortium("ours", members) for members in (4, 5, 6, 7)}
OTHERS = {members: consortium("others", members) for members in (4, 5, 6, 7)}
TRANSACTIONS = {side.chain: transactions(side.chain, 30) for side in (*OURS.values(), *OTHERS.values())}


class Case(dict[str, Any]):
    """A receipt file's document, and the chain that it is about."""

    made: Chronicle


@functools.cache
def chain_of(number: int, consortia: str = "ours") -> Chronicle:
    """No change, or up to three, of a set of 4 to 7."""
    rng = random.Random(number)
    side = (OURS if consortia == "ours" else OTHERS)[4 + number % 4]
    return chronicle(side, rng, TRANSACTIONS[side.chain], (0, 1, 2, 3, 3)[number // 4 % 5], HEIGHT)


@functools.cache
def valid_text(number: int, consortia: str = "ours") -> bytes:
    """One to three blocks, some of their transactions; signing takes most of the time, so mutations share some."""
    rng, made = random.Random(number), chain_of(number, consortia)
    heights = sorted(rng.sample(range(1, HEIGHT + 1), rng.choice((1, 1, 2, 3))))
    wanted = []
    for height in heights if rng.random() < 0.8 else reversed(heights):
        size = len(made.blocks[height].txs)
        wanted += [(height, index) for index in rng.sample(range(size), min(size, rng.randint(1, 2)))]
    return made.receipt_file(wanted)


def valid(number: int) -> Case:
    case = Case(json.loads(valid_text(number)))
    case.made = chain_of(number)
    return case


def set_of(document: Case, height: int) -> tuple[Validator, ...]:
    """Who decides a height, in the chain or after its end."""
    sets = document.made.sets
    return sets[min(height, len(sets) - 1)]


def finalized(document: Case, header: bytes, validators: Sequence[Validator] | None = None) -> Document:
    """A header's entry, whatever it says: a quorum signs it, by default of the set of its height."""
    height, voted = int.from_bytes(header[64:96], "big") % (1 << 64), hashlib.sha256(header).digest()
    signed = certificate_of(
        document.made.side.chain, validators or set_of(document, height), VoteKind.FINALIZE, height, 1, voted
    )
    return {"header": header.hex(), "certificate": encode_certificate(signed).hex()}


def resigned(document: Case, header: Header, validators: Sequence[Validator] | None = None) -> Document:
    return finalized(document, encode_header(header), validators)


def header_in(entry: Document) -> Header:
    return decode_header(bytes.fromhex(entry["header"]))


def only_block(document: Case, txs: Sequence[bytes], receipts: Sequence[bytes]) -> None:
    """Let the file prove the first transaction of a block of these, which a quorum signed."""
    header = replace(document.made.headers[1], tx_root=merkle.root(txs), receipts_root=merkle.root(receipts))
    document["handovers"] = []
    document["blocks"] = [resigned(document, header)]
    document["transactions"] = [
        {
            "block": 0,
            "index": 0,
            "size": len(txs),
            "transaction": txs[0].hex(),
            "transaction_path": [step.hex() for step in merkle.path(txs, 0)],
            "receipt": receipts[0].hex(),
            "receipt_path": [step.hex() for step in merkle.path(receipts, 0)],
        }
    ]


# ------------------------------------------------------------- mutations: each changes a valid document


def swap_paths(document: Case, rng: random.Random) -> None:
    entry, other = (rng.choice(document["transactions"]) for _ in range(2))
    here, there = (rng.choice(("transaction_path", "receipt_path")) for _ in range(2))
    entry[here], other[there] = other[there], entry[here]


def bend_path(document: Case, rng: random.Random) -> None:
    path = rng.choice(document["transactions"])[rng.choice(("transaction_path", "receipt_path"))]
    step = rng.choice(path) if path else bytes(32).hex()
    rng.choice((path.reverse, path.clear, lambda: path.extend([step]), lambda: path.extend([step] * 65)))()


def wrong_sizes(document: Case, rng: random.Random) -> None:
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


def keys(document: Case, rng: random.Random) -> None:
    target = rng.choice([document, *document["blocks"], *document["handovers"], *document["transactions"]])
    if rng.random() < 0.5:
        del target[rng.choice(sorted(target))]
    else:
        target["more"] = rng.choice((1, "", []))


def another_format(document: Case, rng: random.Random) -> None:
    document["format"] = rng.choice(("ledger/receipt/1", "ledger/consistency/1", "", None, 1, ["ledger/receipt/2"]))


def lists(document: Case, rng: random.Random) -> None:
    """An empty, doubled, shortened or overlong list of blocks, transactions, handovers or validators."""
    holder, name = rng.choice(
        [
            *((document, name) for name in ("blocks", "transactions", "handovers")),
            *((entry, "validators") for entry in document["handovers"]),
        ]
    )
    listed = holder[name]
    holder[name] = rng.choice(([], listed * 2, listed[:-1], listed[:1] * 1025, {}, listed[::-1]))


def reorder(document: Case, rng: random.Random) -> None:
    """Another order of transactions proves the same; of blocks too, if the places follow."""
    rng.shuffle(document["transactions"])
    order = list(range(len(document["blocks"])))
    rng.shuffle(order)
    document["blocks"] = [document["blocks"][old] for old in order]
    for entry in document["transactions"]:
        entry["block"] = order.index(entry["block"])


def exchange(document: Case, rng: random.Random) -> None:
    """A transaction, receipt or block in the place of another one's."""
    holders, name = rng.choice(
        [
            (document["transactions"], "transaction"),
            (document["transactions"], "receipt"),
            (document["blocks"], "header"),
            (document["blocks"] + document["handovers"], rng.choice(("header", "certificate"))),
        ]
    )
    first, second = rng.choice(holders), rng.choice(holders)
    first[name], second[name] = second[name], first[name]


def certificates(document: Case, rng: random.Random) -> None:
    """Dropped, doubled and swapped signatures and signers."""
    entry = rng.choice(document["blocks"] + document["handovers"])
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


def votes(document: Case, rng: random.Random) -> None:
    """Properly signed certificates, of any kind, view, height and set of signers: some make the block final."""
    entry = rng.choice(document["blocks"] + document["handovers"])
    height, decided = header_in(entry).height, block_hash(header_in(entry))
    validators = set_of(document, height)
    size, most = len(validators), len(validators) - (len(validators) - 1) // 3
    kind = rng.choice((*[VoteKind.FINALIZE] * 5, VoteKind.NOTARIZE, VoteKind.NULLIFY))
    signers = sorted(rng.sample(range(size), rng.choice((most, most, most, size, most - 1, 0))))
    voted = certificate_of(
        document.made.side.chain,
        validators,
        kind,
        rng.choice((height, height, height, height + 1)),
        rng.choice((0, 1, 2, 7, (1 << 32) - 1)),
        rng.choice((decided, decided, decided, bytes(32))),
        signers=rng.choice((signers, signers, signers, signers[::-1], sorted(signers + signers[:1]))),
    )
    entry["certificate"] = encode_certificate(voted).hex()


def headers(document: Case, rng: random.Random) -> None:
    """Other headers, and a quorum's signatures on them: only what the receipt says of them may matter."""
    entry = rng.choice(document["blocks"] + document["handovers"])
    header = bytes.fromhex(entry["header"])
    at = 32 * rng.randrange(12)
    number = rng.choice((0, 5, (1 << 64) - 1, 1 << 64, 1 << 255))
    changed = header[:at] + rng.choice((number.to_bytes(32, "big"), rng.randbytes(32))) + header[at + 32 :]
    entry.update(finalized(document, changed))


def other_height(document: Case, rng: random.Random) -> None:
    header = rng.choice(document["blocks"])["header"]
    raised = (int(header[128:192], 16) + rng.randint(1, 9)).to_bytes(32, "big").hex()
    document["blocks"] = [
        entry | {"header": header[:128] + raised + header[192:]} if entry["header"] == header else entry
        for entry in document["blocks"]
    ]


def other_chain(document: Case, rng: random.Random) -> None:
    """All or some of it from the same members' other chain."""
    number = rng.randrange(VALID // 4) * 4 + len(document.made.sets[0]) - 4
    other = json.loads(valid_text(number, "others"))
    name = rng.choice(("chain", "blocks", "transactions", None))
    document.update(other if name is None else {name: other[name]})


def foreign_bytes(document: Case, rng: random.Random) -> None:
    """A block that a quorum signed over bytes that are perhaps no transaction or no receipt."""
    size, start = rng.choice(SIZES), rng.randrange(20)
    made = document.made
    txs = list(made.pool[start : start + size])
    receipts = [encode_receipt(executed(start + n)) for n in range(size)]
    if rng.random() < 0.5:
        txs[0] = rng.choice((damaged(txs[0], rng), odd_transaction(made.side.chain, rng)))
    else:
        receipts[0] = rng.choice((damaged(receipts[0], rng), odd_receipt(rng)))
    only_block(document, txs, receipts)


# ------------------------------------------------------------- mutations of handovers, on chains that have some


def fewer(document: Case, rng: random.Random) -> None:
    """One or more handovers left out."""
    listed = document["handovers"]
    for entry in rng.sample(listed, rng.randint(1, len(listed))):
        listed.remove(entry)


def out_of_order(document: Case, rng: random.Random) -> None:
    listed = document["handovers"]
    at, other = rng.randrange(len(listed)), rng.randrange(len(listed))
    rng.choice(
        (
            lambda: listed.insert(at, listed[other]),
            lambda: listed.insert(0, listed.pop()) if len(listed) > 1 else listed.append(listed[0]),
            lambda: listed.extend(listed),
        )
    )()


def keys_of_next(document: Case, rng: random.Random) -> None:
    """The keys of the next set: fewer, more, others, doubled, in another order."""
    listed = rng.choice(document["handovers"])["validators"]
    key = rng.choice(listed)
    rng.choice(
        (
            lambda: listed.remove(key),
            lambda: listed.append(key),
            lambda: listed.insert(0, bytes(32).hex()),
            listed.reverse,
            lambda: listed.__setitem__(0, vote_key(99).verify_key.encode().hex()),
        )
    )()


def hidden_change(document: Case, rng: random.Random) -> None:
    """A set that was handed over goes on signing, with the handovers to its successors left out or not.

    Left out, and if no block is of a later set, the file holds together: this is what a quorum of old keys can do.
    """
    made = document.made
    at = rng.randrange(len(document["handovers"]))
    last = header_in(document["handovers"][at]).height
    old = made.sets[last]
    place = rng.randrange(len(document["blocks"]))
    header = header_in(document["blocks"][place])
    if rng.random() < 0.7:
        header = replace(header, validators_hash=validators_hash(each.key for each in old))
    if rng.random() < 0.7:
        header = replace(header, height=Height(max(header.height, last + 1)))
    document["blocks"][place] = resigned(document, header, old)
    if rng.random() < 0.7:
        del document["handovers"][at:]


def usurpers(document: Case, rng: random.Random) -> None:
    """A handover, by a quorum of some set, to a set that was never chosen; then its quorum signs a block."""
    made = document.made
    handover = rng.choice(document["handovers"])
    header = header_in(handover)
    chosen = changed_set(set_of(document, header.height), rng)
    keys = [each.key for each in chosen]
    header = replace(header, next_validators_hash=validators_hash(keys))
    signers = rng.choice((set_of(document, header.height), chosen, made.sets[0]))
    handover.update(resigned(document, header, signers), validators=[key.hex() for key in keys])
    place = rng.randrange(len(document["blocks"]))
    block = header_in(document["blocks"][place])
    if rng.random() < 0.8:
        block = replace(block, validators_hash=validators_hash(keys))
    document["blocks"][place] = resigned(document, block, rng.choice((chosen, chosen, signers)))


def no_change(document: Case, rng: random.Random) -> None:
    """A final block that changes nothing, or the newest one, among the handovers."""
    made = document.made
    height = rng.randrange(1, HEIGHT + 1)
    entry = resigned(document, made.headers[height])
    entry["validators"] = [key.hex() for key in made.keys(height + 1)]
    listed = [*document["handovers"], entry]
    document["handovers"] = sorted(listed, key=lambda found: header_in(found).height)


def two_final(document: Case, rng: random.Random) -> None:
    """Another final block at the height of one in the file."""
    header = header_in(rng.choice(document["blocks"] + document["handovers"]))
    forked = replace(header, timestamp_ms=Millis(header.timestamp_ms + rng.randrange(2)))
    document["blocks"].append(resigned(document, forked))


def odd_transaction(ours: ChainId, rng: random.Random) -> bytes:
    """Properly signed, at or beyond a limit."""
    return transaction(
        rng.randrange(1000),
        chain=rng.choice((ours, ours, OTHERS[4].chain)),
        method=rng.choice(("", "test.put", "m" * 255)),
        args=bytes(rng.choice((0, 1, 14 << 10, (14 << 10) + 1))),
        cosigners=[(member_key(1), bytes(rng.choice((0, 32, 33, 576, 608))))] * rng.choice((0, 1, 2, 8, 9)),
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


def unchanged(document: Case, rng: random.Random) -> None:
    """The valid document itself."""


NEVER, ALWAYS, SOMETIMES = {False}, {True}, {False, True}
MUTATIONS: list[tuple[Callable[[Any, random.Random], bytes | None], int, set[bool]]] = [
    (unchanged, VALID, ALWAYS),
    (white_space, 20, ALWAYS),
    (reorder, 100, ALWAYS),
    (flip, 600, NEVER),
    (damage, 200, NEVER),
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
    (fewer, 200, NEVER),
    (out_of_order, 150, NEVER),
    (keys_of_next, 200, NEVER),
    (hidden_change, 400, SOMETIMES),
    (usurpers, 300, SOMETIMES),
    (no_change, 200, SOMETIMES),
    (two_final, 100, SOMETIMES),
]


ON_HANDOVERS = {fewer, out_of_order, keys_of_next, hidden_change, usurpers}
