"""A consistency file proves that one block is in the history of another, and nothing that was changed in it does."""

import json
import random
from dataclasses import replace

import pytest

from ledger import merkle
from ledger.consistency import encode_consistency_file, verify_consistency
from ledger.encoding import block_hash, encode_header
from ledger.errors import InvalidProofError
from ledger.types import BlockHash, FinalBlock
from tests.support.chains import verify
from tests.support.proofs import Chronicle, changed_set, chronicle, consortium, decided, transactions

SIDE = consortium("ours", 5)
POOL = transactions(SIDE.chain, 20)
HEIGHT = 12
MADE = chronicle(SIDE, random.Random(3), POOL, 3, HEIGHT)
CHANGES = [each.header.height for each in MADE.handovers()]


def hash_at(height, made=MADE):
    return block_hash(made.headers[height])


def checked(data, known):
    return verify_consistency(data, SIDE.chain, known, verify)


def refused(document, said, known=None):
    with pytest.raises(InvalidProofError, match=said):
        checked(json.dumps(document).encode(), known or hash_at(2))


def document(older=2, newer=HEIGHT):
    return json.loads(MADE.consistency_file(older, newer))


@pytest.mark.parametrize("newer", range(1, HEIGHT + 1))
def test_every_block_is_proved_in_the_history_of_every_newer_one(newer):
    for older in range(newer):
        data = MADE.consistency_file(older, newer)
        for known in (older, newer):
            found = checked(data, hash_at(known))
            assert (found.older, found.newer) == (MADE.headers[older], MADE.headers[newer])


def test_the_validators_change_in_these_tests():
    assert len(CHANGES) == 3
    assert 2 < CHANGES[-1] < HEIGHT


def test_a_file_holds_the_changes_between_both_blocks_and_no_others():
    for older in range(HEIGHT):
        for newer in range(older + 1, HEIGHT + 1):
            assert len(document(older, newer)["handovers"]) == sum(older < height < newer for height in CHANGES)


def test_a_reader_who_knows_neither_block_learns_nothing():
    for known in (BlockHash(bytes(32)), hash_at(3)):
        refused(document(), "file: expected the known block", known)


def rewritten(at):
    """A chain of the same validators that differs from a height on."""
    made = Chronicle(SIDE, POOL[at:] + POOL[:at])
    for header in MADE.headers[1 : HEIGHT + 1]:
        made.add(1 if header.height >= at else len(MADE.blocks[header.height].txs), MADE.sets[header.height + 1])
    return made


def test_another_history_does_not_pass_for_this_one():
    """Its quorum signed it, but what the reader remembers is not in it."""
    other = rewritten(1)
    forged = document() | json.loads(other.consistency_file(2, HEIGHT))
    refused(forged, "file: expected the known block")
    refused(forged | {"older": document()["older"]}, "inclusion")


def test_a_quorum_that_forks_its_history_tree_is_found_out():
    """The older block is where it was, but leaves before it are others: the consistency path has no way there."""
    hashes = [block_hash(header) for header in MADE.headers[:HEIGHT]]
    hashes[0] = BlockHash(b"\x01" * 32)
    tree = encode_consistency_file(
        MADE.headers[2], MADE.keys(3), MADE.final(HEIGHT), MADE.handovers(), hashes
    )  # the paths in the forked tree
    newer = replace(MADE.headers[HEIGHT], history_root=merkle.root(hashes))
    forged = json.loads(tree) | {"newer": decided(newer, MADE.certificate(newer))}
    refused(forged, "consistency: expected a path between the roots")


def test_sets_from_before_the_older_block_have_no_say():
    """The keys of the genesis set cannot finish a history for a reader who remembers a head after it changed."""
    older = CHANGES[0]
    forged = document(older)
    made = Chronicle(SIDE, POOL)
    newer = replace(MADE.headers[HEIGHT], validators_hash=MADE.headers[1].validators_hash)
    forged["handovers"] = []
    forged["newer"] = decided(newer, made.certificate(newer))
    refused(forged, "newer.header: expected the validators", hash_at(older))
    forged["older"]["validators"] = [key.hex() for key in MADE.keys(1)]
    refused(forged, "older.validators: expected the ascending keys", hash_at(older))


def test_a_change_cannot_be_left_out():
    forged = document(0)
    del forged["handovers"][1]
    refused(forged, r"handovers\[1\].header: expected the validators", hash_at(0))


def test_a_change_from_before_the_older_block_is_out_of_order():
    older = CHANGES[0]
    forged = document(older)
    forged["handovers"] = document(0)["handovers"]
    refused(forged, r"handovers\[0\].header: expected", hash_at(older))


def test_the_newer_block_is_newer():
    header = MADE.headers[2]
    forged = document(2, 3) | {"newer": decided(header, MADE.certificate(header))}
    refused(forged, "newer.header: expected a height after 2, got 2")


def test_another_chain_is_refused():
    other = consortium("others", 5)
    with pytest.raises(InvalidProofError, match="chain: expected"):
        verify_consistency(MADE.consistency_file(2, 9), other.chain, hash_at(2), verify)
    foreign = replace(MADE.headers[2], chain=other.chain)
    forged = document()
    forged["older"]["header"] = encode_header(foreign).hex()
    refused(forged, "older.header: expected the chain")


@pytest.mark.parametrize("name", ["format", "chain", "older", "handovers", "newer", "inclusion", "consistency"])
def test_keys_are_exactly_these(name):
    changed = document()
    refused(changed | {"more": 1}, "file: expected an object")
    refused(changed | {name: None}, "expected")
    del changed[name]
    refused(changed, "file: expected an object|format")


def test_what_cannot_be_written():
    hashes = [block_hash(header) for header in MADE.headers[:5]]
    for older, newer, known in ((4, 4, hashes[:4]), (5, 4, hashes[:4]), (2, 5, hashes[:4])):
        with pytest.raises(ValueError, match="hashes"):
            encode_consistency_file(MADE.headers[older], MADE.keys(older + 1), MADE.final(newer), [], known)
    bare = FinalBlock(block=MADE.blocks[5], certificate=None)
    with pytest.raises(ValueError, match="hashes"):
        encode_consistency_file(MADE.headers[2], MADE.keys(3), bare, [], hashes)


def test_sets_that_change_are_different():
    rng = random.Random(1)
    for number in range(1, HEIGHT):
        assert changed_set(MADE.sets[number], rng) != MADE.sets[number]
