"""Two verifiers of receipt files, written apart, say the same of thousands of valid and mutated files."""

import ast
import json
import random
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import pytest

from ledger.consistency import verify_consistency
from ledger.encoding import block_hash, encode_receipt
from ledger.errors import InvalidProofError
from ledger.receipts import verify_receipt
from mpcnode.sealing.keys import verify
from scripts.verify_receipt import WrongError, check, check_consistency
from tests.support.mutations import Document, broken_json, bytes_of, damage, flip, not_hex
from tests.support.odd_json import around, key_twice, other_number, other_spelling, other_value
from tests.support.odd_receipts import ODD_SIGNATURES
from tests.support.proofs import Consortium
from tests.support.receipt_cases import (
    ALWAYS,
    HEIGHT,
    MUTATIONS,
    NEVER,
    ON_HANDOVERS,
    OTHERS,
    SOMETIMES,
    VALID,
    chain_of,
    valid,
    valid_text,
)
from tests.support.tools import ROOT

ODD_JSON = [
    (other_value, 200, NEVER),
    (other_spelling, 200, SOMETIMES),
    (key_twice, 100, SOMETIMES),
    (around, 100, SOMETIMES),
]

SCRIPT = ROOT / "scripts" / "verify_receipt.py"


def first_opinion(data: bytes, side: Consortium) -> list[tuple] | None:
    try:
        verified = verify_receipt(data, side.genesis, verify)
    except InvalidProofError:
        return None
    return [
        (
            found.tx_id,
            found.transaction.method,
            found.receipt.ok,
            encode_receipt(found.receipt),
            (found.height, found.block_hash, found.timestamp_ms),
        )
        for found in verified.transactions
    ]


def second_opinion(data: bytes, side: Consortium) -> list[tuple] | None:
    try:
        return [(*proven[:-1], proven.block[:3]) for proven in check(data, side.document)]
    except WrongError:
        return None


def with_handovers() -> list[int]:
    return [number for number in range(VALID) if json.loads(valid_text(number))["handovers"]]


@pytest.mark.parametrize(
    ("mutate", "count", "expected"),
    [*MUTATIONS, *ODD_SIGNATURES, *ODD_JSON, (other_number, 100, SOMETIMES)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_both_verifiers_say_the_same(mutate, count, expected):
    said: Counter[bool] = Counter()
    numbers = with_handovers() if mutate in ON_HANDOVERS else range(VALID)
    for seed in range(count):
        rng = random.Random(f"{mutate.__name__} {seed}")
        document = valid(numbers[seed % len(numbers)])
        data = mutate(document, rng) or bytes_of(document, rng)
        first = first_opinion(data, document.made.side)
        assert second_opinion(data, document.made.side) == first, f"{mutate.__name__}, seed {seed}"
        said[first is not None] += 1
    assert set(said) == expected, said


def test_chains_have_all_sizes_and_changes():
    sizes = {len(validators) for number in range(VALID) for validators in chain_of(number).sets}
    changes = Counter(len(json.loads(valid_text(number))["handovers"]) for number in range(VALID))
    assert sizes == {4, 5, 6, 7}
    assert min(changes[count] for count in range(4)) >= 5


# ------------------------------------------------------------- consistency files


def two_heights(rng: random.Random) -> tuple[int, int]:
    newer = rng.randint(1, HEIGHT)
    return rng.randrange(newer), newer


def bent(document: Document, rng: random.Random) -> None:
    path = document[rng.choice(("inclusion", "consistency"))]
    step = rng.choice(path) if path else bytes(32).hex()
    rng.choice((path.reverse, path.clear, lambda: path.extend([step]), lambda: path.insert(0, step)))()


def other_part(document: Document, rng: random.Random) -> None:
    """A part of the proof of two other blocks, of this chain or another."""
    other = json.loads(chain_of(rng.randrange(20)).consistency_file(*two_heights(rng)))
    for name in rng.sample(sorted(other), rng.randint(1, 2)):
        document[name] = other[name]


def other_part_of_this(document: Document, rng: random.Random) -> None:
    made = next(chain_of(number) for number in range(4) if chain_of(number).side.chain.hex() == document["chain"])
    other = json.loads(made.consistency_file(*two_heights(rng)))
    for name in rng.sample(sorted(other), rng.randint(1, 2)):
        document[name] = other[name]


def keys_of_object(document: Document, rng: random.Random) -> None:
    target = rng.choice([document, document["older"], document["newer"], *document["handovers"]])
    if rng.random() < 0.5:
        del target[rng.choice(sorted(target))]
    else:
        target["more"] = rng.choice((1, "", []))


def nothing(document: Document, rng: random.Random) -> None:
    """The valid document itself."""


@pytest.mark.parametrize(
    ("mutate", "count", "expected"),
    [
        (nothing, 200, ALWAYS),
        (flip, 400, NEVER),
        (damage, 200, NEVER),
        (not_hex, 100, NEVER),
        (bent, 150, SOMETIMES),
        (other_part, 200, SOMETIMES),
        (other_part_of_this, 250, SOMETIMES),
        (keys_of_object, 60, NEVER),
        (broken_json, 60, SOMETIMES),
        *ODD_JSON,
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_both_say_the_same_of_consistency_files(mutate, count, expected):
    said: Counter[bool] = Counter()
    for seed in range(count):
        rng = random.Random(f"{mutate.__name__} {seed}")
        made = chain_of(seed % 20)
        older, newer = two_heights(rng)
        known = block_hash(made.headers[rng.choice((older, newer))])
        document = json.loads(made.consistency_file(older, newer))
        data = mutate(document, rng) or bytes_of(document, rng)
        first = second = None
        with suppress(InvalidProofError):
            found = verify_consistency(data, made.side.chain, known, verify)
            first = [(header.height, block_hash(header)) for header in (found.older, found.newer)]
        with suppress(WrongError):
            blocks = check_consistency(data, made.side.document, known)
            second = [(block.height, block.block_hash) for block in blocks]
        assert second == first, f"{mutate.__name__}, seed {seed}"
        said[first is not None] += 1
    assert set(said) == expected, said


def test_thousands_of_files_are_compared():
    assert sum(count for _, count, _ in MUTATIONS) >= 5000


def test_second_verifier_shares_no_code_with_the_first():
    tree = ast.parse(SCRIPT.read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "nacl"}


def run(tmp_path, file: bytes, document: bytes, *known: str) -> tuple[int, str]:
    (tmp_path / "a.receipt").write_bytes(file)
    (tmp_path / "consortium.toml").write_bytes(document)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "a.receipt"), str(tmp_path / "consortium.toml"), *known]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1
    return ran.returncode, ran.stdout


def test_command_tells_in_one_line_and_by_its_exit_code(tmp_path):
    data, side = valid_text(with_handovers()[0]), chain_of(with_handovers()[0]).side
    code, told = run(tmp_path, data, side.document)
    assert (code, told.split(":")[0]) == (0, "proven")
    for wrong, consortium_document in (
        (data, OTHERS[4].document),
        (data[:-9], side.document),
        (data, b""),
        (data, b"\xff"),
        (data, b"member = 5"),
        (data, b'member = ["a"]'),
    ):
        code, told = run(tmp_path, wrong, consortium_document)
        assert (code, told.split(":")[0]) == (1, "wrong")
    made = chain_of(1)
    proof, known = made.consistency_file(2, 7), block_hash(made.headers[2]).hex()
    code, told = run(tmp_path, proof, made.side.document, known)
    assert (code, told.split(" (")[0]) == (0, "proven: block 2")
    for wrong, *block in ((proof,), (proof, "00" * 32), (proof, "zz"), (data, known)):
        code, told = run(tmp_path, wrong, made.side.document, *block)
        assert (code, told.split(":")[0]) == (1, "wrong")
