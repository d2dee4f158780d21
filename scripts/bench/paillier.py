"""Paillier by itself, both sides in one process: keys, encryption beside `phe`'s own, cross terms.

`phe` is measured with GMP beneath it, which it uses where it is installed, and without its encoding of floats. Ours is
all in: drawing, tables of powers (made anew for every batch), blinding. The two take turns, and only the time that the
processor gave counts, so both meet the same machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import TypeVar

from gmpy2 import mpz

from mpcnode.adapters.randomness import random_bytes
from mpcnode.mpc.paillier import MODULUS_BITS, DecryptionKey, accept, announce, generate
from mpcnode.mpc.paillier.cross import answer, ask, conclude
from mpcnode.mpc.paillier.slots import Slots
from mpcnode.types import Rank
from scripts.bench.registry import Measurement, Parameter, benchmark

T = TypeVar("T")

ALICE, BOB = Rank(0), Rank(1)
CONTEXT = b"benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    modulus_bits: int = MODULUS_BITS
    rounds: int = 9
    batch: int = 480
    """Encryptions that share tables."""
    plaintexts: int = 8
    """Answers of a batch of cross terms."""


@benchmark("paillier")
def paillier() -> list[Measurement]:
    """Measure it at the default length."""
    return measure(Extent())


def measure(extent: Extent) -> list[Measurement]:
    """Measure to some extent."""
    key, key_s = _timed(lambda: generate(random_bytes, modulus_bits=extent.modulus_bits))
    announced, announce_s = _timed(lambda: announce(key, CONTEXT, random_bytes))
    _, accept_s = _timed(lambda: accept(announced, CONTEXT, modulus_bits_min=extent.modulus_bits))
    of: dict[str, Parameter] = {"bits": extent.modulus_bits}
    return [
        Measurement("paillier_key_s", key_s, "s", of),
        Measurement("paillier_announce_s", announce_s, "s", of),
        Measurement("paillier_accept_s", accept_s, "s", of),
        Measurement("paillier_announcement_bytes", len(announced), "bytes", of),
        *_encryption(extent, key, of),
        *starmap(_cross_terms, ((extent, key, of, 64), (extent, key, of, 1))),
    ]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def _encryption(extent: Extent, key: DecryptionKey, of: dict[str, Parameter]) -> list[Measurement]:
    public = key.encryption
    plaintext = mpz.from_bytes(random_bytes(public.modulus_bytes), "little") % public.n
    as_phe = int(plaintext)
    ours: list[float] = []
    others: list[float] = []
    phe: list[float] = []
    decrypted: list[float] = []
    for _ in range(extent.rounds):
        phe.append(_timed(lambda: public.public.raw_encrypt(as_phe))[1])
        decrypted.append(_timed(lambda: key.decrypt(plaintext))[1])
        others.append(_timed(lambda: public.encrypt(plaintext, random_bytes))[1])
        fresh = DecryptionKey(key.private, key.h)  # without tables
        ours.append(_timed(partial(_encrypt, fresh, plaintext, extent.batch))[1] / extent.batch)
    own_ms, other_ms, phe_ms, decrypt_ms = (1000 * statistics.median(times) for times in (ours, others, phe, decrypted))
    batch: dict[str, Parameter] = {**of, "batch": extent.batch}
    return [
        Measurement("paillier_encrypt_3072_phe_ratio", phe_ms / own_ms, "1", {**batch, "phe_ms": phe_ms}),
        Measurement("paillier_encrypt_ms", own_ms, "ms", {**batch, "by": "its owner"}),
        Measurement("paillier_encrypt_by_others_ms", other_ms, "ms", {**of, "for": "whom nothing may show"}),
        Measurement("paillier_decrypt_ms", decrypt_ms, "ms", of),
    ]


def _encrypt(key: DecryptionKey, plaintext: mpz, times: int) -> None:
    for _ in range(times):
        key.encrypt(plaintext, random_bytes)


def _cross_terms(extent: Extent, key: DecryptionKey, of: dict[str, Parameter], bits: int) -> Measurement:
    """Both sides on one core, tables made before."""
    count = extent.plaintexts * Slots(bits, extent.modulus_bits).count
    left, right = ([int.from_bytes(random_bytes(8), "little") >> (64 - bits) for _ in range(count)] for _ in range(2))
    parts: dict[str, list[float]] = {"ask": [], "answer": [], "conclude": []}
    sent = 0
    for _ in range(extent.rounds):
        asked, seconds = _timed(partial(ask, key, left, bits=bits, source=random_bytes))
        parts["ask"].append(seconds)
        (answered, shares), seconds = _timed(
            partial(answer, key.encryption, ALICE, asked, right, bits=bits, source=random_bytes)
        )
        parts["answer"].append(seconds)
        others, seconds = _timed(partial(conclude, key, BOB, answered, count=count, bits=bits))
        parts["conclude"].append(seconds)
        sent = len(asked) + len(answered)
        wrong = sum((a + b - x * y) % (1 << bits) != 0 for a, b, x, y in zip(others, shares, left, right, strict=True))
        if wrong:
            raise RuntimeError(f"cross terms: expected {count} right ones, got {wrong} wrong")
    medians = {part: statistics.median(times) for part, times in parts.items()}
    params: dict[str, Parameter] = {**of, "cross_terms": count, "bytes_each": sent / count}
    params |= {f"{part}_ms_each": 1000 * seconds / count for part, seconds in medians.items()}
    return Measurement(f"paillier_{bits}_bit_cross_terms_per_s", count / sum(medians.values()), "1/s", params)
