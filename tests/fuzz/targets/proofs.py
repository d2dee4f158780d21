"""Proof files: two verifiers that were written apart say the same of each.

A signature is good here unless its first byte is 0xff: else nothing behind the first check would ever be reached. Real
signatures are the business of tests/property/test_independent_verifier.py.
"""

from collections.abc import Callable
from unittest.mock import patch

from ledger.consistency import verify_consistency
from ledger.encoding import block_hash, encode_receipt
from ledger.errors import InvalidProofError
from ledger.receipts import verify_receipt
from ledger.types import PublicKey, Signature
from scripts import verify_receipt as second
from tests.fuzz.json_mutation import mutate_json
from tests.fuzz.target import Target, expect
from tests.support.receipt_cases import HEIGHT, chain_of, valid_text

SEEDS = (0, 4, 8, 12)
"""Numbers of receipt files about one consortium, with no change of validators and with up to three."""

_BAD = 0xFF


def _first_verifier(_key: PublicKey, _statement: bytes, signature: Signature) -> bool:
    return signature[0] != _BAD


def _second_verifier(_key: bytes, _statement: bytes, signature: bytes, what: str) -> None:
    second.need(signature[0] != _BAD, f"{what}: expected a good signature, got a bad one")


def _seen(verdict: Callable[[], object]) -> object:
    try:
        return verdict()
    except (InvalidProofError, second.WrongError):
        return None


def _target(opinions: Callable[[bytes], tuple[object, object]], seeds: tuple[bytes, ...]) -> Target:
    patch.object(second, "check_signature", _second_verifier).start()

    def check(data: bytes) -> None:
        one, other = opinions(data)
        expect(one == other, f"expected one verdict of both verifiers, got {one} and {other}")

    for seed in seeds:
        expect(opinions(seed)[0] is not None, "expected every seed to prove something")
    return Target(check=check, seeds=seeds, size_max=96 << 10, mutate=mutate_json, words=(b'"handovers":', b"ledger/"))


def receipt_file() -> Target:
    side = chain_of(SEEDS[0]).side

    def first_opinion(data: bytes) -> object:
        return [
            (
                found.tx_id,
                found.transaction.method,
                found.receipt.ok,
                encode_receipt(found.receipt),
                (found.height, found.block_hash, found.timestamp_ms),
            )
            for found in verify_receipt(data, side.genesis, _first_verifier).transactions
        ]

    def opinions(data: bytes) -> tuple[object, object]:
        return (
            _seen(lambda: first_opinion(data)),
            _seen(lambda: [(*each[:-1], each.block[:3]) for each in second.check(data, side.document)]),
        )

    return _target(opinions, tuple(map(valid_text, SEEDS)))


def consistency_file() -> Target:
    made = chain_of(SEEDS[-1])
    older, newer = 2, HEIGHT
    known = block_hash(made.headers[newer])

    def first_opinion(data: bytes) -> object:
        found = verify_consistency(data, made.side.chain, known, _first_verifier)
        return [(each.height, block_hash(each)) for each in (found.older, found.newer)]

    def second_opinion(data: bytes) -> object:
        return [(each.height, each.block_hash) for each in second.check_consistency(data, made.side.document, known)]

    def opinions(data: bytes) -> tuple[object, object]:
        return _seen(lambda: first_opinion(data)), _seen(lambda: second_opinion(data))

    return _target(opinions, (made.consistency_file(older, newer), made.consistency_file(0, newer)))
