"""The same program gives right results on the correlations of every provider, which have the same shapes."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest

from mpcnode.errors import CorrelationReuseError, DealError
from mpcnode.mpc import AndBits, Array, Comparison, Material, Opening, Party, Program, Protocol, Words
from mpcnode.mpc.joint import MultiplierMaker, provide
from mpcnode.mpc.joint import multiplying as making
from mpcnode.mpc.multiplier import Exchange
from mpcnode.mpc.providers import JointProvider, Provider, Source
from mpcnode.scorecard import Contribution, compile_model, encode_output, evaluate
from mpcnode.types import Rank, SessionId
from tests.support.gadgets import Gadget, every_gadget, random_inputs
from tests.support.joint import (
    Gadgets,
    run_joint,
    run_protocols,
    seed,
    session_id,
    share_bits,
    share_integers,
    share_rows,
)
from tests.support.models import BANK, INSURER, SAVINGS, credit_rows, earning_layout
from tests.support.paillier import multipliers
from tests.support.providers import OpenMultiplier, dealers, opened, paillier, provided_by, transfers
from tests.support.talks import check_items, deviates, run_talks

GADGETS = [gadget for gadget in every_gadget(3) if gadget.correlations]
SHORT = {
    *("comparison-2", "comparison-5", "comparison-8", "equality-1", "equality-2", "equality-8", "all", "any", "and"),
    *("count", "division-2-2", "lookup-1-16", "zero-0", "zero-16", "zero-64"),
    *(f"{name}-{bits}" for name in ("product", "bit-times-value") for bits in (1, 8, 31, 64)),
    *(f"bits-to-integers-{ring}" for ring in (16, 32, 64)),
}
"""Gadgets that take keys of 512 bits a second at most; all others are run on products that are made openly."""

CASES = [
    (source, place)
    for source in ("dealer", "ot", "open", "paillier")
    for place, gadget in enumerate(GADGETS)
    if source != "paillier" or gadget.name in SHORT
]
JOINT = {"ot": transfers, "open": opened, "paillier": paillier}

both_sizes = pytest.mark.parametrize("parties", [2, 3])
every_source = pytest.mark.parametrize("source", ["dealer", *JOINT])


@cache
def joint(source: str, parties: int) -> Sequence[Provider]:
    return JOINT[source](parties, f"{source} {parties}")


def provided(source: str, program: Program, name: str) -> list[Material]:
    providers = dealers(program, name) if source == "dealer" else joint(source, program.parties)
    return provided_by(providers, program, f"{source} {name}" if source != "dealer" else name)


def copied(materials: Sequence[Material]) -> list[Material]:
    return [Material(material._left) for material in materials]


def after_a_round(protocol: Protocol[Array]) -> Protocol[Array]:
    """So that even what needs no round can be run."""
    yield (Opening(np.zeros(1, np.uint64)),)
    return (yield from protocol)


def test_what_paillier_is_tested_on_exists() -> None:
    assert {gadget.name for gadget in GADGETS} >= SHORT


@both_sizes
@pytest.mark.parametrize(("source", "place"), CASES, ids=[f"{source}-{GADGETS[i].name}" for source, i in CASES])
def test_gadgets(source: str, place: int, parties: int) -> None:
    gadget: Gadget = GADGETS[place]
    program = Program(parties=parties, body=Gadgets(correlations=gadget.correlations), rounds=())
    materials = provided(source, program, f"{place}")
    assert [[*material._left] for material in materials] == [[item.label for item in gadget.correlations]] * parties
    check_items(program, copied(materials))

    values, bits = random_inputs(gadget, place)
    of_values = share_integers(values.view(np.uint64), parties, "values")
    of_bits = [(share & np.uint64(1)).astype(np.uint8) for share in share_bits(bits.astype(np.uint64), parties, "bits")]
    sides = [
        after_a_round(gadget.run(Party(is_first=i == 0, material=materials[i]), of_values[i], of_bits[i]))
        for i in range(parties)
    ]
    results, _ = run_protocols(sides)
    assert gadget.same(gadget.join(results), gadget.clear(values, bits))


@both_sizes
@every_source
@pytest.mark.parametrize("earning", [(), (0, 1, 2, 3)])
def test_a_scorecard(source: str, parties: int, earning: tuple[int, ...]) -> None:
    layout, name = earning_layout(*earning), f"scorecard {earning}"
    subject = {
        BANK: Contribution(known=True, values=(200_000, None)),
        INSURER: Contribution(known=True, values=(2,)),
        SAVINGS: Contribution(known=True, values=(-100_001,)),
    }
    program = compile_model(layout, parties)
    rows = share_rows(program, name, credit_rows(layout, subject))
    materials = provided(source, program, name)
    check_items(program, copied(materials))
    real = run_joint(program, name, rows, materials=materials)
    assert real.output == encode_output(layout.model, evaluate(layout, subject))
    assert len(set(real.transcripts)) == 1


def one_and(parties: int = 2) -> Program:
    return Program(parties=parties, body=Gadgets(correlations=(AndBits(label="a", words=1),)), rounds=())


@every_source
def test_a_session_is_provided_for_once(source: str) -> None:
    program = one_and()
    providers = dealers(program, "once") if source == "dealer" else JOINT[source](2, "once")
    provided_by(providers, program, "once")
    with pytest.raises(CorrelationReuseError, match="expected to get correlations once, got a second use"):
        provided_by(providers, program, "once")


def test_what_was_dealt_to_one_session_is_for_no_other() -> None:
    with pytest.raises(CorrelationReuseError, match="expected the session that was dealt to"):
        provided_by(dealers(one_and(), "one"), one_and(), "other")


def test_what_was_dealt_for_one_program_is_for_no_other() -> None:
    longer = Program(parties=2, body=Gadgets(correlations=(AndBits(label="a", words=2),)), rounds=())
    with pytest.raises(DealError, match="expected corrections of 16 bytes, got 8"):
        provided_by(dealers(one_and(), "short"), longer, "short")


@pytest.mark.parametrize("source", JOINT)
def test_sessions_share_nothing(source: str) -> None:
    first, second = (provided(source, one_and(), name)[0].take("a") for name in ("one", "two"))
    assert all((first[name] != second[name]).all() for name in ("a", "b", "ab"))


def test_providers_do_not_show_what_they_hold() -> None:
    assert repr(dealers(one_and(), "r")[0]) == f"DealerProvider({session_id('r').hex()})"
    providers = opened(2, "repr")
    assert repr(providers[0]) == "JointProvider(0 sessions)"
    provided_by(providers, one_and(), "r")
    assert repr(providers[0]) == "JointProvider(1 sessions)"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda message: message[:-1], r"node 1: announcement: expected \d+ bytes after its length, got"),
        (lambda message: message[:-1] + b"\7", "node 1: modulus proof, challenge 127: expected a choice"),
    ],
)
def test_a_key_that_does_not_check_names_its_node(fault: Callable[[bytes], bytes], said: str) -> None:
    def meddle(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        return fault(message) if (sender, receiver) == (1, 2) else message

    with deviates(1, said):
        paillier(3, "keys", meddle)


def test_an_announcement_of_another_node_or_set_up_is_refused() -> None:
    sent: dict[tuple[int, int], bytes] = {}

    def swap(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        sent[sender, receiver] = message
        return sent[0, 2] if (sender, receiver) == (1, 2) else message

    with deviates(1, "node 1: modulus proof"):
        paillier(3, "swapped", swap)

    def replay(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        return sent[1, 2] if (sender, receiver) == (1, 2) else message

    with deviates(1, "node 1: modulus proof"):
        paillier(3, "replayed", replay)


class Counting:
    """A multiplier that notes how much it is asked at once."""

    def __init__(self, inner: OpenMultiplier) -> None:
        self.inner = inner
        self.sizes: list[tuple[str, int]] = []

    def products(self, left: Words, right: Words, bits: int, holder: Rank | None = None) -> Exchange[Words]:
        self.sizes.append((f"mod 2^{bits}", len(left)))
        return self.inner.products(left, right, bits, holder)

    def and_words(self, left: Words, right: Words) -> Exchange[Words]:
        self.sizes.append(("words", len(left)))
        return self.inner.and_words(left, right)


def test_batches_of_many_words() -> None:
    """Longer than one batch, so that a message stays small; the same items all the same."""
    program = Program(parties=2, body=Gadgets(correlations=(AndBits(label="a", words=150),)), rounds=())
    counting = [Counting(OpenMultiplier(Rank(i), 2)) for i in range(2)]
    talks = [
        provide(program, session_id("batches"), Rank(i), seed(f"batches {i}"), MultiplierMaker(counting[i], Rank(i), 2))
        for i in range(2)
    ]
    check_items(program, run_talks(talks)[0])
    assert counting[0].sizes == [("words", 64), ("words", 64), ("words", 22)]
    assert making.BATCH_PRODUCTS == 64 * 64


def test_only_elementary_correlations_are_made_of_products() -> None:
    item = Comparison(label="c", bits=8, values=1, of=(0,), thresholds=(1,), subjects=1)
    maker = MultiplierMaker(multipliers(2)[Rank(0)], Rank(0), 2)
    with pytest.raises(ValueError, match="correlation c: expected an elementary one, got a Comparison"):
        next(maker([item], {"c": {}}))


def test_nodes_of_another_program_do_not_agree() -> None:
    longer = Program(parties=2, body=Gadgets(correlations=(AndBits(label="a", words=2),)), rounds=())
    providers = paillier(2, "programs")
    talks = [
        provider.provide(program, session_id("programs"))
        for provider, program in zip(providers, (one_and(), longer), strict=True)
    ]
    with deviates(1, "node 1: expected 64 ciphertexts"):
        run_talks(talks)


def test_every_session_draws_a_seed_of_its_own() -> None:
    drawn: list[bytes] = []

    def source(size: int) -> bytes:
        drawn.append(bytes([len(drawn)]) * size)
        return drawn[-1]

    def maker(session: SessionId, rank: Rank) -> MultiplierMaker:
        return MultiplierMaker(OpenMultiplier(rank, 2), rank, 2)

    sources: list[Source] = [source, bytes]
    providers = [JointProvider(Rank(i), sources[i], partial(maker, rank=Rank(i))) for i in range(2)]
    for name in ("one", "two"):
        provided_by(providers, one_and(), name)
    assert drawn == [bytes(32), b"\1" * 32]
