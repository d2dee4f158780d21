"""The catalogue is complete, its ranges hold, its page is current, and no text can carry what was asked."""

import inspect
import re
from pathlib import Path
from typing import Any

import grpc
import pytest

import ledger.errors
import mpcnode.errors
from mpcnode.errors import CATALOGUE, ErrorCode, Exit, NodeError, code_of, code_of_revert
from scripts.make_error_table import page

ROOT = Path(__file__).resolve().parents[3]


def test_every_code_has_one_entry():
    assert set(CATALOGUE) == set(ErrorCode)


def test_grpc_names_are_grpc_statuses_and_never_ok():
    statuses = {status.name for status in grpc.StatusCode} - {"OK"}
    assert {entry.grpc for entry in CATALOGUE.values()} <= statuses


def test_http_statuses_are_errors():
    assert all(400 <= entry.http < 600 for entry in CATALOGUE.values())


@pytest.mark.parametrize(
    ("prefix", "low", "high"), [("QUERY", 10, 19), ("LEDGER", 20, 29), ("RECEIPT", 20, 29), ("CONFIG", 30, 39)]
)
def test_exit_codes_lie_in_the_range_of_their_area(prefix, low, high):
    assert all(low <= code <= high for code in Exit if code.name.startswith(prefix))


def test_exit_codes_are_distinct_and_every_failure_has_one():
    assert len({int(code) for code in Exit}) == len(Exit.__members__)
    assert all(entry.exit not in (Exit.OK, Exit.USAGE) for entry in CATALOGUE.values())


def test_public_texts_are_whole_sentences_without_placeholders():
    for entry in CATALOGUE.values():
        assert entry.public.endswith(".")
        assert entry.public.isascii()
        assert not re.search(r"[{}%]", entry.public)


def test_page_is_the_catalogue():
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page()


def test_every_revert_code_of_the_specification_is_in_the_catalogue():
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = text.split("## 5. Contract functions")[1].split("## 6. Rules")[0]
    functions = section.split("Every end emits")[0]
    not_codes = {
        "REGISTERED",
        "COMPUTING",
        "ANSWERED",
        "REFUSED",
        "POLICY",
        "MATCH",
        "MISMATCH",
        "INCOMPLETE",
        "SHA",
        "ABI",
        "OPRF",
        "MPC",
    }
    words = set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", functions)) - not_codes
    assert {"OPERATOR_ONLY", "BOX_MISMATCH", "TOO_EARLY", "QUOTA_EXCEEDED"} <= words
    assert words <= {str(code) for code in ErrorCode}


def test_every_error_class_leads_to_an_entry():
    classes: list[Any] = [
        kind for _, kind in inspect.getmembers(mpcnode.errors, inspect.isclass) if issubclass(kind, NodeError)
    ]
    assert len(classes) > 10
    for kind in classes:
        _, *others = inspect.signature(kind).parameters.values()
        needed = [other for other in others if other.default is other.empty and other.kind is not other.VAR_POSITIONAL]
        error = kind("expected X, got Y", *(0 for _ in needed))
        assert error.entry is CATALOGUE[kind.default]
        assert str(error) == "expected X, got Y"


def test_code_given_to_an_error_wins():
    assert mpcnode.errors.RequestError("x", ErrorCode.PANEL_STALE).entry is CATALOGUE[ErrorCode.PANEL_STALE]


def test_revert_reasons_become_codes():
    assert code_of_revert("PANEL_STALE") is ErrorCode.PANEL_STALE
    assert code_of_revert("out of gas") is ErrorCode.REVERTED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (mpcnode.errors.RequestError("x", ErrorCode.WINDOW), ErrorCode.WINDOW),
        (ledger.errors.DecodeError("x"), ErrorCode.MALFORMED_MESSAGE),
        (ledger.errors.InvalidProofError("x"), ErrorCode.RECEIPT_INVALID),
        (ledger.errors.InvalidBlockError("x"), ErrorCode.LEDGER_INVALID),
        (ledger.errors.StorageError("x"), ErrorCode.STORAGE),
        (ledger.errors.LockedError("x"), ErrorCode.LOCKED),
        (ledger.errors.ExpiredError("x"), ErrorCode.TRANSACTION_EXPIRED),
        (ledger.errors.UnavailableError("x"), ErrorCode.UNAVAILABLE),
        (KeyError("x"), ErrorCode.INTERNAL),
    ],
)
def test_every_exception_has_a_code(error, code):
    assert code_of(error) is code


@pytest.mark.parametrize(
    ("contract", "some"),
    [
        ("queries", {"QUERY_EXISTS", "NO_CONTRIBUTION"}),
        ("members", {"VALIDATORS_MIN", "NOT_ACTIVE"}),
        ("governance", {"OTHER_CALL", "NO_UPGRADE"}),
        ("registries", {"MODEL_RETIRED", "NOT_A_HOLDER"}),
        ("records", {"MARK_NOT_AHEAD", "NOT_A_PARTY"}),
    ],
)
def test_every_word_that_a_transaction_or_a_decided_call_reverts_with_is_in_the_catalogue(contract, some):
    source = (ROOT / "ledger" / "contract" / f"{contract}.vy").read_text(encoding="utf-8")
    words = set(re.findall(r'"([A-Z_]+)"', source)) - {"COMPANY", "COMPANY_COUNT"}  # genesis', and a bit that is none
    assert some <= words
    assert words <= {str(code) for code in ErrorCode}
