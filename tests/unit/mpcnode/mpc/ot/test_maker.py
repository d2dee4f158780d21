"""Correlations from oblivious transfers are what a dealer deals, whatever the committee; who deviates is named."""

from collections.abc import Callable

import numpy as np
import pytest

from mpcnode.errors import CorrelationReuseError
from mpcnode.mpc import (
    AndBits,
    BitsToIntegers,
    BitTimesValue,
    Comparison,
    Correlation,
    Product,
    Program,
    Words,
    ZeroIntegers,
    ZeroShares,
    keystream,
)
from mpcnode.mpc.joint import BitTimesBits, provide
from mpcnode.mpc.ot import Link, Links, TransferMaker, connect, maker
from mpcnode.mpc.ot.terms import BitTerms, ProductTerms, StepTerms, Terms
from mpcnode.scorecard import Contribution, compile_model, encode_output, evaluate
from mpcnode.types import Rank
from tests.support.gadgets import Gadget, every_gadget
from tests.support.joint import Gadgets, run_joint, seed, session_id, share_rows
from tests.support.models import BANK, INSURER, SAVINGS, credit_layout, credit_rows
from tests.support.talks import check_items, deviates, link_up, provided, run_talks, talks_of

LINKS = {parties: link_up(parties, f"links {parties}") for parties in (2, 3, 5)}
ELEMENTARY: tuple[Correlation, ...] = (
    AndBits(label="and", words=3),
    BitTimesBits(label="many", rows=7, words=5),
    BitTimesBits(label="most", rows=128, words=2),
    BitTimesBits(label="odd", rows=65, words=1),
    Product(label="product", items=2, subjects=5),
    *(BitsToIntegers(label=f"integers{ring}", items=3, subjects=70, ring=ring) for ring in (16, 32, 64)),
    BitTimesValue(label="values", items=3, subjects=7),
    ZeroShares(label="zeros", words=4),
    ZeroIntegers(label="zero16", items=3, subjects=3, ring=16),
)


def program(parties: int, *items: Correlation) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=items), rounds=())


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_elementary_correlations(parties: int) -> None:
    compiled = program(parties, *ELEMENTARY)
    check_items(compiled, provided(compiled, "elementary", LINKS[parties]))


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_cut_into_batches_of_any_size(parties: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "BATCH_WORDS", 2)
    compiled = program(parties, *ELEMENTARY)
    check_items(compiled, provided(compiled, "batches", LINKS[parties]))


GADGETS = [
    gadget
    for gadget in every_gadget(3)
    if gadget.name in {"comparison-17", "comparison-32", "equality-33", "all", "lookup-4-32", "max-3", "top-2-of-5"}
]


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("place", range(len(GADGETS)), ids=[gadget.name for gadget in GADGETS])
def test_gadgets(place: int, parties: int) -> None:
    gadget: Gadget = GADGETS[place]
    compiled = program(parties, *gadget.correlations)
    check_items(compiled, provided(compiled, f"{place}", LINKS[parties]))


def test_no_share_is_plain() -> None:
    compiled = program(3, *ELEMENTARY)
    for material in provided(compiled, "plain", LINKS[3]):
        assert material.take("zeros")["zero"].all()
        assert len(set(material.take("zero16")["zero"].reshape(-1).tolist())) > 5
        found = material.take("integers64")["integers"]
        assert len(set(found.reshape(-1).tolist())) == found.size


def test_one_session_one_use() -> None:
    compiled = program(2, ELEMENTARY[0])
    provided(compiled, "once", LINKS[2])
    with pytest.raises(CorrelationReuseError, match="expected to get correlations once, got a second use"):
        provided(compiled, "once", LINKS[2])


def test_sessions_share_nothing() -> None:
    compiled = program(2, ELEMENTARY[0], ELEMENTARY[9])
    one, two = (provided(compiled, name, LINKS[2])[0] for name in ("one", "two"))
    assert (one.take("and")["ab"] != two.take("and")["ab"]).all()
    assert (one.take("zeros")["zero"] != two.take("zeros")["zero"]).all()


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_a_model_evaluated_without_a_dealer_is_evaluated_as_in_clear(parties: int) -> None:
    layout = credit_layout()
    subject = {
        BANK: Contribution(known=True, values=(200_000, None)),
        INSURER: Contribution(known=True, values=(2,)),
        SAVINGS: Contribution(known=True, values=(-100_001,)),
    }
    compiled = compile_model(layout, parties)
    rows = share_rows(compiled, "model", credit_rows(layout, subject))
    real = run_joint(compiled, "model", rows, materials=provided(compiled, "model", LINKS[parties]))
    assert real.output == encode_output(layout.model, evaluate(layout, subject))
    assert len(set(real.transcripts)) == 1


Fault = Callable[[bytes], bytes]


def flip(place: int) -> Fault:
    return lambda message: message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


@pytest.mark.parametrize(
    ("number", "fault", "error"),
    [
        (0, flip(500), "node 1: expected the same choices in all columns of transfers from number 0"),
        (0, flip(0), "node 1: expected transfers from number 0, got 1"),
        (0, lambda message: message[1:], "node 1: expected 6200 bytes of transfers, got 6199"),
        (1, lambda message: message[1:], "node 1: expected 24 bytes of corrections, got 23"),
    ],
    ids=["columns", "count", "short", "corrections"],
)
def test_a_node_that_sends_something_else_is_named(number: int, fault: Fault, error: str) -> None:
    compiled = program(3, ELEMENTARY[0])
    links = link_up(3, "faults")

    def meddle(at: int, sender: int, receiver: int, message: bytes) -> bytes:
        return fault(message) if (at, sender, receiver) == (number, 1, 2) else message

    with deviates(1, error):
        provided(compiled, "faults", links, meddle)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda message: message[1:], "node 1: expected 12320 bytes of a set-up, got 12319"),
        (lambda message: bytes(32) + message[32:], "node 1: expected a point of ed25519's prime-order group, got 0000"),
        (
            lambda message: message[:-32] + bytes(32),
            "node 1: expected a point of ed25519's prime-order group, got 0000",
        ),
    ],
    ids=["short", "transfer", "pair"],
)
def test_links_are_made_of_points_only(fault: Fault, error: str) -> None:
    def meddle(at: int, sender: int, receiver: int, message: bytes) -> bytes:
        return fault(message) if (sender, receiver) == (1, 0) else message

    with deviates(1, error):
        link_up(2, "bad", meddle)


def test_links_of_one_context_differ_by_direction_and_peer() -> None:
    def hashes(side: Links, peer: int) -> bytes:
        return side.by_peer[Rank(peer)].receiver.choose(np.zeros(1, np.uint64))[1].tobytes()

    links = link_up(3, "directions")
    assert len({hashes(links[i], j) for i in range(3) for j in range(3) if i != j}) == 6
    assert len({link.seed for side in links for link in side.by_peer.values()}) == 3


def test_points_that_a_node_in_the_middle_hands_on_give_no_two_nodes_one_secret() -> None:
    """Node 2 sends each of the others what it had from the other, as its own: they do not share a seed unawares."""
    talks = [connect(Rank(i), 3, seed("middle"), seed(f"middle {i}")) for i in range(2)]
    sent = [next(talk) for talk in talks]
    links: list[Link] = []
    for i, talk in enumerate(talks):
        with pytest.raises(StopIteration) as stop:
            talk.send({Rank(1 - i): sent[1 - i][Rank(i)], Rank(2): sent[1 - i][Rank(2)]})
        links.append(stop.value.value.by_peer[Rank(2)])
    mine, other = links
    assert mine.seed != other.seed
    message, _ = mine.receiver.choose(np.zeros(1, np.uint64))
    with deviates(2, "its keys are void"):
        other.sender.accept(message, 1)


def test_a_node_that_gets_its_own_set_up_back_shares_nothing_with_itself() -> None:
    talk = connect(Rank(0), 2, seed("mirror"), seed("mirror 0"))
    sent = next(talk)
    with pytest.raises(StopIteration) as stop:
        talk.send({Rank(1): sent[Rank(1)]})
    link = stop.value.value.by_peer[Rank(1)]
    message, _ = link.receiver.choose(np.zeros(1, np.uint64))
    with deviates(1, "its keys are void"):
        link.sender.accept(message, 1)


@pytest.mark.parametrize("size", [0, 31, 33, 65])
def test_a_context_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"context: expected 32 bytes, got {size}"):
        next(connect(Rank(0), 2, bytes(size), seed("short")))


def test_links_of_a_session_that_failed_are_used_no_more_and_nobody_else_is_blamed_for_their_counts() -> None:
    """Node 0 cheats node 2, which ends the session before it takes what node 1 sent: node 1 is not at fault."""
    compiled = program(3, ELEMENTARY[0])
    links = link_up(3, "failed")

    def meddle(at: int, sender: int, receiver: int, message: bytes) -> bytes:
        return flip(500)(message) if (at, sender, receiver) == (0, 0, 2) else message

    with deviates(0, "node 0: expected the same choices"):
        provided(compiled, "failed", links, meddle)
    for side in links:
        with pytest.raises(CorrelationReuseError, match=r"expected links that are free, .* connect the nodes anew"):
            TransferMaker(side, session_id("next"))


def test_one_session_at_a_time() -> None:
    side = link_up(2, "one at a time")[0]
    TransferMaker(side, session_id("first"))
    with pytest.raises(CorrelationReuseError, match=f"some that session {session_id('first').hex()} has not given"):
        TransferMaker(side, session_id("second"))


@pytest.mark.parametrize("bit", [0, 1])
def test_a_sender_that_lies_in_corrections_spoils_what_the_other_chose_by_and_nothing_finds_it(bit: int) -> None:
    """What is not promised: whether a product is wrong tells a bit of the other node's share."""
    links = link_up(2, f"lie {bit}")
    a, zeros = np.full(1, bit, np.uint64), np.zeros((1, 1), np.uint64)
    honest, liar = BitTerms(2, a, zeros, np.zeros_like(zeros)), BitTerms(2, zeros[0], zeros, np.zeros_like(zeros))
    message, chosen = links[0].by_peer[Rank(1)].receiver.choose(honest.choices)
    hashes = links[1].by_peer[Rank(0)].sender.accept(message, 1)
    honest.receive(chosen, flip(0)(liar.send(*hashes)))
    assert (honest._ab ^ liar._ab)[0, 0] == bit


def test_only_elementary_correlations_are_made() -> None:
    item = Comparison(label="c", bits=8, values=1, of=(0,), thresholds=(1,), subjects=1)
    making = TransferMaker(link_up(2, "kinds")[0], session_id("kinds"))
    with pytest.raises(ValueError, match="correlation c: expected an elementary one, got a Comparison"):
        next(making([item], {"c": {}}))


WORDS = 256


def random_words(name: str, count: int) -> Words:
    return keystream(seed(name), 8 * count).view(np.uint64)


def terms(kind: str, place: str) -> Terms:
    """One side of cross terms of numbers that are not random: what is sent must not show them."""
    bits = random_words(place, WORDS)
    if kind == "bits":
        ones = np.full((3, WORDS), 0xFFFF_FFFF_FFFF_FFFF, np.uint64)
        return BitTerms(2, bits, ones, np.zeros_like(ones))
    if kind == "products":
        fives = np.full(WORDS, 5, np.uint64)
        return ProductTerms(2, bits, fives, np.zeros_like(fives))
    values = np.full((2, 64 * WORDS), 5, np.uint64)
    return StepTerms(Rank(place == "receiver"), 2, bits, values, np.zeros_like(values))


def worst_coin(data: bytes) -> float:
    """Deviations squared of the least fair bit of all places in words."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    ones = bits.sum(axis=0, dtype=np.int64)
    return float((((2 * ones - len(bits)) ** 2) / len(bits)).max())


@pytest.mark.parametrize("kind", ["bits", "products", "steps"])
def test_corrections_are_fair_coins_to_who_chose(kind: str) -> None:
    """Alone, and after what the receiver can strip: the hashes that it knows, in all ways it may use them."""
    one, two = terms(kind, "receiver"), terms(kind, "sender")
    links = link_up(2, "coins")
    message, chosen = links[1].by_peer[Rank(0)].receiver.choose(one.choices)
    zero, other = links[0].by_peer[Rank(1)].sender.accept(message, len(one.choices))
    two.begin(two.turns[-1])
    sent = two.send(zero, other)
    assert len(sent) == one.size
    seen = np.frombuffer(sent, np.uint64).reshape(-1)
    if isinstance(one, BitTerms):
        known = one.rows(chosen).reshape(-1)
    else:
        known = chosen[:, 0] if kind == "products" else chosen.T.reshape(-1)
    for stripped in (seen, seen ^ known, seen + known, seen - known):
        assert worst_coin(stripped.tobytes()) < 49
    # planted: a sender whose two hashes are equal shows its values
    two = terms(kind, "sender")
    two.begin(two.turns[-1])
    assert worst_coin(two.send(zero, zero)) > 49


def test_messages_of_a_session_are_uniform_bytes() -> None:
    item = Comparison(label="c", bits=16, values=1, of=(0, 0), thresholds=(1, 2), subjects=2048)
    compiled = program(3, item, BitsToIntegers(label="d", items=2, subjects=2048, ring=32))
    makers = [TransferMaker(side, session_id("uniform")) for side in LINKS[3]]
    _, rounds = run_talks(talks_of(compiled, "uniform", makers))
    for number, sent in enumerate(rounds):
        seen = b"".join({message[8:] for messages in sent for message in messages.values()})  # openings go to all
        counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
        mean = len(seen) / 256
        assert ((counts - mean) ** 2 / mean).sum() < 450, number  # 255 degrees of freedom: a probability of 1e-12


def test_nodes_of_another_program_do_not_agree() -> None:
    links = link_up(2, "programs")
    talks = [
        provide(program(2, AndBits(label="a", words=words)), session_id("p"), side.rank, seed(f"{words}"), making)
        for words, side, making in (
            (1, links[0], TransferMaker(links[0], session_id("p"))),
            (3, links[1], TransferMaker(links[1], session_id("p"))),
        )
    ]
    with deviates(1, r"node 1: expected \d+ bytes of transfers"):
        run_talks(talks)
