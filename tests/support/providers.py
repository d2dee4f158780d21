"""Every provider of correlations for a committee in one process."""

from collections.abc import Sequence
from functools import partial, reduce

import numpy as np

from mpcnode.mpc import Material, Program, Words, deal
from mpcnode.mpc.joint import MultiplierMaker, others
from mpcnode.mpc.multiplier import Exchange
from mpcnode.mpc.paillier import accept
from mpcnode.mpc.providers import DealerProvider, JointProvider, Provider, paillier_provider, transfer_provider
from mpcnode.mpc.ring import low_bits
from mpcnode.types import Rank
from tests.support.joint import seed, seeds_for, session_id
from tests.support.paillier import SHORT_BITS, key_of, seeded
from tests.support.talks import Meddle, honest, run_talks


def transfers(parties: int, name: str, meddle: Meddle = honest) -> list[JointProvider]:
    sources = [seeded(1000 + i) for i in range(parties)]
    return run_talks([transfer_provider(Rank(i), parties, seed(name), sources[i]) for i in range(parties)], meddle)[0]


def paillier(parties: int, name: str, meddle: Meddle = honest) -> list[JointProvider]:
    """With short keys."""
    check = partial(accept, modulus_bits_min=SHORT_BITS)
    talks = [
        paillier_provider(Rank(i), parties, seed(name), key_of(i), seeded(2000 + i), check=check)
        for i in range(parties)
    ]
    return run_talks(talks, meddle)[0]


def dealers(program: Program, name: str) -> list[DealerProvider]:
    seeds = seeds_for(name, program.parties)
    corrections = deal(program, session_id(name), seeds)
    last = program.parties - 1
    return [
        DealerProvider(Rank(i), session_id(name), seeds[i], corrections if i == last else None)
        for i in range(program.parties)
    ]


def provided_by(providers: Sequence[Provider], program: Program, name: str) -> list[Material]:
    return run_talks([provider.provide(program, session_id(name)) for provider in providers])[0]


class OpenMultiplier:
    """Multiplies without any secret: nodes tell each other all, node 0 has every result."""

    def __init__(self, rank: Rank, parties: int) -> None:
        self._rank = rank
        self._others = others(rank, parties)

    def products(self, left: Words, right: Words, bits: int, holder: Rank | None = None) -> Exchange[Words]:
        assert holder in (None, self._rank) or not left.any(), "expected zeros where another node has all of a factor"
        pair = np.stack([left, right])
        received = yield dict.fromkeys(self._others, pair.tobytes())
        every = [pair, *(np.frombuffer(data, np.uint64).reshape(2, -1) for data in received.values())]
        one, other = reduce(np.add, every)
        return low_bits(one * other, bits) if self._rank == 0 else np.zeros_like(left)

    def and_words(self, left: Words, right: Words) -> Exchange[Words]:
        one, other = (np.unpackbits(row.view(np.uint8), bitorder="little").astype(np.uint64) for row in (left, right))
        product = yield from self.products(one, other, 1)
        return np.packbits(product.astype(np.uint8), bitorder="little").view(np.uint64)


def opened(parties: int, name: str) -> list[JointProvider]:
    """Of products that everybody sees."""

    def provider(rank: Rank) -> JointProvider:
        return JointProvider(
            rank, seeded(3000 + rank), lambda _: MultiplierMaker(OpenMultiplier(rank, parties), rank, parties)
        )

    return [provider(Rank(i)) for i in range(parties)]
