"""Two verifiers of receipt files, written apart, say the same of thousands of valid and mutated files."""

import ast
import json
import random
import subprocess
import sys
from collections import Counter

import pytest

from ledger.encoding import encode_receipt
from ledger.errors import InvalidProofError
from ledger.receipts import verify_receipt
from mpcnode.sealing.keys import verify
from scripts.verify_receipt import WrongError, check
from tests.support.mutations import bytes_of
from tests.support.proofs import Consortium
from tests.support.receipt_cases import MUTATIONS, ON_HANDOVERS, OTHERS, VALID, chain_of, valid, valid_text
from tests.support.tools import ROOT

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
            found.height,
            found.timestamp_ms,
            found.block_hash,
            found.receipt.ok,
            encode_receipt(found.receipt),
        )
        for found in verified.transactions
    ]


def second_opinion(data: bytes, side: Consortium) -> list[tuple] | None:
    try:
        return [tuple(proven) for proven in check(data, side.document)]
    except WrongError:
        return None


def with_handovers() -> list[int]:
    return [number for number in range(VALID) if json.loads(valid_text(number))["handovers"]]


@pytest.mark.parametrize(("mutate", "count", "expected"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
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


def test_thousands_of_files_are_compared():
    assert sum(count for _, count, _ in MUTATIONS) >= 5000


def test_second_verifier_shares_no_code_with_the_first():
    tree = ast.parse(SCRIPT.read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "nacl"}


def run(tmp_path, receipt_file: bytes, document: bytes) -> tuple[int, str]:
    (tmp_path / "a.receipt").write_bytes(receipt_file)
    (tmp_path / "consortium.toml").write_bytes(document)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "a.receipt"), str(tmp_path / "consortium.toml")]
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
