import ast
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mpcnode.mpc
from mpcnode.errors import PeerDeviatedError, SessionError
from mpcnode.mpc.multiplier import Multiplier
from mpcnode.mpc.paillier import PaillierMultiplier
from mpcnode.types import Rank
from tests.support.paillier import key_of, multipliers, run_all, seeded
from tests.support.talks import deviates

WORDS = st.one_of(st.sampled_from([0, 1, 2**64 - 1, 2**63]), st.integers(0, 2**64 - 1))


def rows(parties, length):
    row = st.lists(WORDS, min_size=length, max_size=length).map(lambda words: np.array(words, np.uint64))
    return st.lists(row, min_size=parties, max_size=parties)


def add(shares):
    return reduce(np.add, shares)


def xor(shares):
    return reduce(np.bitwise_xor, shares)


@pytest.mark.parametrize("parties", [2, 3, 5])
@settings(max_examples=15)
@given(st.integers(1, 64), st.integers(0, 4), st.data())
def test_products_of_what_all_share(parties, bits, length, data):
    left, right = data.draw(rows(parties, length)), data.draw(rows(parties, length))
    nodes = multipliers(parties)
    shares = run_all({rank: node.products(left[rank], right[rank], bits) for rank, node in nodes.items()})
    ring = np.uint64((1 << bits) - 1)
    assert np.array_equal(add(shares.values()) & ring, add(left) * add(right) & ring)
    assert all(
        share.dtype == np.uint64 and share.shape == (length,) and not (share & ~ring).any() for share in shares.values()
    )


@pytest.mark.parametrize("holder", [0, 1, 2])
def test_products_with_what_one_node_has_alone(holder):
    left = [np.array([7, 2**63, 0], np.uint64) if rank == holder else np.zeros(3, np.uint64) for rank in range(3)]
    right = [np.array([5 + rank, 2**64 - 1, 3], np.uint64) for rank in range(3)]
    sent: list[tuple[int, int]] = []
    nodes = multipliers(3)
    exchanges = {rank: node.products(left[rank], right[rank], 64, Rank(holder)) for rank, node in nodes.items()}

    def noted(rank, exchange):
        messages = next(exchange)
        while True:
            sent.extend((int(rank), int(to)) for to, data in messages.items() if data)
            try:
                messages = exchange.send((yield messages))
            except StopIteration as stop:
                return stop.value

    shares = run_all({rank: noted(rank, exchange) for rank, exchange in exchanges.items()})
    assert np.array_equal(add(shares.values()), left[holder] * add(right))
    others = [rank for rank in range(3) if rank != holder]
    assert sorted(sent) == sorted([*((holder, rank) for rank in others), *((rank, holder) for rank in others)])


def test_who_has_nothing_to_ask_sends_nothing():
    row = np.ones(2, np.uint64)
    first = multipliers(3)[Rank(0)].products(row, row, 64, Rank(0))
    asked = next(first)
    second = multipliers(3)[Rank(1)].products(row, row, 64, Rank(0))
    next(second)
    with deviates(2, "node 2: expected 0 bytes of a question, got 3"):
        second.send({Rank(0): asked[Rank(1)], Rank(2): b"abc"})
    second = multipliers(3)[Rank(1)].products(row, row, 64, Rank(0))
    next(second)
    second.send({Rank(0): asked[Rank(1)], Rank(2): b""})
    with deviates(0, "node 0: expected 0 bytes of an answer, got 1"):
        second.send({Rank(0): b"a", Rank(2): b""})


@pytest.mark.parametrize("parties", [2, 3, 5])
@settings(max_examples=4)
@given(st.integers(0, 2), st.data())
def test_and_of_what_all_share(parties, length, data):
    left, right = data.draw(rows(parties, length)), data.draw(rows(parties, length))
    nodes = multipliers(parties)
    shares = run_all({rank: node.and_words(left[rank], right[rank]) for rank, node in nodes.items()})
    assert np.array_equal(xor(shares.values()), xor(left) & xor(right))
    assert all(share.dtype == np.uint64 and share.shape == (length,) for share in shares.values())


def test_it_is_a_multiplier():
    multiplier: Multiplier = multipliers(2)[Rank(0)]
    assert repr(multiplier) == "PaillierMultiplier(2 nodes)"


def test_shares_of_one_product_are_new_every_time():
    ones = np.ones(8, np.uint64)
    nodes = multipliers(2)
    first, second = (
        run_all({rank: node.products(ones, ones, 64) for rank, node in nodes.items()})[Rank(0)] for _ in range(2)
    )
    assert not (first == second).any()


def test_two_rounds_and_as_many_bytes_as_said():
    nodes = multipliers(3)
    ones = np.ones(5, np.uint64)
    exchanges = {rank: node.products(ones, ones, 64) for rank, node in nodes.items()}
    asked = {rank: next(exchange) for rank, exchange in exchanges.items()}
    assert all(len(data) == 5 * 128 for messages in asked.values() for data in messages.values())
    assert asked[Rank(0)][Rank(1)] == asked[Rank(0)][Rank(2)]
    answered = exchanges[Rank(0)].send({rank: asked[rank][Rank(0)] for rank in (Rank(1), Rank(2))})
    assert [len(data) for data in answered.values()] == [3 * 128, 3 * 128]  # two products to a plaintext of 512 bits


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: {}, r"messages: expected one of each of \[1, 2\], got \[\]"),
        (lambda messages: {Rank(1): messages[Rank(1)]}, r"expected one of each of \[1, 2\], got \[1\]"),
        (lambda messages: {**messages, Rank(0): b""}, r"expected one of each of \[1, 2\], got \[0, 1, 2\]"),
        (lambda messages: {**messages, Rank(2): messages[Rank(2)][1:]}, "node 2: expected 3 ciphertexts"),
        (lambda messages: {**messages, Rank(2): bytes(len(messages[Rank(2)]))}, "node 2, ciphertext 0: expected 0 < c"),
    ],
)
@pytest.mark.parametrize("round_number", [1, 2])
def test_messages_that_no_honest_node_sends_end_it_and_name_the_node(change, said, round_number):
    nodes = multipliers(3)
    row = np.array([1, 2, 3], np.uint64)
    mine = nodes[Rank(0)].products(row, row, 1 if round_number == 1 else 64)
    others = {rank: nodes[rank].products(row, row, 1 if round_number == 1 else 64) for rank in (Rank(1), Rank(2))}
    first = next(mine)
    asked = {rank: next(exchange) for rank, exchange in others.items()}
    to_me = {rank: messages[Rank(0)] for rank, messages in asked.items()}
    if round_number == 2:
        mine.send(to_me)
        pair = {Rank(1): Rank(2), Rank(2): Rank(1)}
        answered = {
            rank: exchange.send({Rank(0): first[rank], pair[rank]: asked[pair[rank]][rank]})
            for rank, exchange in others.items()
        }
        to_me = {rank: messages[Rank(0)] for rank, messages in answered.items()}
        said = said.replace("3 ciphertexts", "2 ciphertexts")
    with pytest.raises(SessionError, match=said) as found:
        mine.send(change(to_me))
    assert found.type is (PeerDeviatedError if "node 2" in said else SessionError)
    assert getattr(found.value, "rank", 2) == 2


def test_a_copied_modulus_is_refused():
    public = [key_of(number).encryption for number in range(3)]
    with deviates(2, "node 2: expected a modulus of its own, got that of node 0"):
        PaillierMultiplier(Rank(0), key_of(0), {Rank(1): public[1], Rank(2): public[0]}, seeded(0))
    with deviates(2, "node 2: expected a modulus of its own, got that of node 1"):
        PaillierMultiplier(Rank(0), key_of(0), {Rank(2): public[1], Rank(1): public[1]}, seeded(0))


@pytest.mark.parametrize("others", [{}, {Rank(0): key_of(1).encryption}])
def test_keys_of_no_other_or_of_oneself_are_refused(others):
    with pytest.raises(ValueError, match="keys: expected those of the nodes other than 0"):
        PaillierMultiplier(Rank(0), key_of(0), others, seeded(0))


def test_rows_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="factors: expected two rows of one length"):
        next(multipliers(2)[Rank(0)].products(np.ones(2, np.uint64), np.ones(3, np.uint64), 64))


def test_no_product_code_asks_for_short_keys():
    """The lengths that tests use are arguments that nothing in the package gives."""
    root = Path(mpcnode.mpc.__file__).parents[1]
    given = {
        path.relative_to(root)
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg in {"modulus_bits", "modulus_bits_min"}
    }
    assert given == set()
