"""Paillier keys of tests: short, so that they are quick, and always the same."""

import random
from collections.abc import Mapping
from functools import cache
from typing import TypeVar

from mpcnode.mpc.multiplier import Exchange
from mpcnode.mpc.paillier import DecryptionKey, PaillierMultiplier, Source, generate
from mpcnode.types import Rank

SHORT_BITS = 512

T = TypeVar("T")


def seeded(seed: int) -> Source:
    """Random bytes that are the same in every run."""
    return random.Random(seed).randbytes


@cache
def key_of(seed: int, modulus_bits: int = SHORT_BITS) -> DecryptionKey:
    """A key, made once."""
    return generate(seeded(seed), modulus_bits=modulus_bits)


def multipliers(parties: int) -> dict[Rank, PaillierMultiplier]:
    """Every node's multiplier, with short keys."""
    ranks = [Rank(rank) for rank in range(parties)]
    return {
        rank: PaillierMultiplier(
            rank,
            key_of(rank),
            {other: key_of(other).encryption for other in ranks if other != rank},
            seeded(100 + rank),
        )
        for rank in ranks
    }


def run_all(exchanges: Mapping[Rank, Exchange[T]]) -> dict[Rank, T]:
    """Bring messages to and fro between all nodes; returns what each ends with."""
    results: dict[Rank, T] = {}
    sent = {rank: next(exchange) for rank, exchange in exchanges.items()}
    while sent:
        received = {
            rank: {sender: messages[rank] for sender, messages in sent.items() if sender != rank} for rank in exchanges
        }
        sent = {}
        for rank, exchange in exchanges.items():
            try:
                sent[rank] = exchange.send(received[rank])
            except StopIteration as stop:
                results[rank] = stop.value
    return results
