"""Runs of instructions as functions: what their text may hold, and of which code they are made."""

import ast

import pytest

from ledger.contract import interpreter
from ledger.contract.artefacts import ADDRESSES, load_artefacts
from ledger.contract.blocks import EXPRESSIONS, Draft, draft_run, find_runs
from ledger.contract.interpreter import take_apart

NAMES = {"stack", "memory", "m", "gas", "extend", "targets", "to", "BadJump", "MAX", "SIGN", "number", "len", "run"}
ATTRIBUTES = {"_bytes", "append", "get", "to_bytes"}
CALLED = {"extend", "len", "number", "BadJump"}
NODES = (
    *(
        ast.Module,
        ast.FunctionDef,
        ast.arguments,
        ast.arg,
        ast.Return,
        ast.Tuple,
        ast.Assign,
        ast.AugAssign,
        ast.Delete,
    ),
    *(
        ast.Expr,
        ast.If,
        ast.IfExp,
        ast.Raise,
        ast.Call,
        ast.Name,
        ast.Constant,
        ast.Attribute,
        ast.Subscript,
        ast.Slice,
    ),
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop),
)


def drafts(code: bytes) -> list[Draft]:
    program = take_apart(code)
    steps, targets = [interpreter._step(known) for known in program.instructions], program.targets
    return [draft_run(steps, targets, start, end) for start, end in find_runs(steps, targets)]


def is_variable(name: str) -> bool:
    return name[:1] in {"s", "v"} and name[1:].isdigit()


def check_text(text: str) -> None:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        assert isinstance(node, NODES), ast.dump(node)
        match node:
            case ast.Name():
                assert node.id in NAMES or is_variable(node.id), node.id
            case ast.Attribute():
                assert node.attr in ATTRIBUTES, node.attr
            case ast.Constant():
                assert type(node.value) is int or node.value in {"big", "Invalid Jump Destination", None}
            case ast.Call(func=ast.Name() as called):
                assert called.id in CALLED
            case ast.Call(func=ast.Attribute() as called):
                assert called.attr in ATTRIBUTES


@pytest.mark.parametrize("contract", ADDRESSES)
def test_a_text_holds_expressions_and_numbers_and_nothing_else(contract: str):
    found = drafts(load_artefacts()[contract].runtime)
    assert len(found) > 100
    for draft in found:
        check_text(draft.text)


@pytest.mark.parametrize(
    "text", ["import os", "def run():\n    open('x')", "def run():\n    stack.__class__", "def run():\n    return 'x'"]
)
def test_another_text_would_be_found(text: str):
    with pytest.raises(AssertionError):
        check_text(text)


def test_only_code_that_this_program_brings_along_is_made_into_functions():
    ours = load_artefacts()["members"].runtime
    assert any(take_apart(ours).blocks)
    for code in (ours[:-1], ours + b"\0", b"\x60\x01" * 9):
        assert drafts(code)
        assert not any(take_apart(code).blocks)


def test_a_run_says_what_it_needs_and_where_it_goes_on():
    # JUMPDEST, PUSH1 7, ADD, DUP2, PUSH1 0, JUMPI; the word below is only read
    (draft,) = drafts(b"\x5b\x60\x07\x01\x81\x5f\x57")
    assert (draft.writer.needs, draft.writer.highest) == (2, 2)
    assert draft.text.splitlines()[-1].strip() == "return gas, 0 if s2 else 6"
    assert "del stack[-1:]" in draft.text


def test_every_expression_takes_what_it_names():
    for text, takes in EXPRESSIONS.values():
        assert {name for name in "ab" if f"{{{name}}}" in text} == set("ab"[:takes])


@pytest.mark.parametrize("opcode", [b"\x51", b"\x19", b"\x80", b"\x01", b"\x5f"])
def test_a_text_is_short_however_long_the_code(opcode: bytes):
    found = drafts(opcode * 24_576)
    assert len(found) == 96
    assert max(len(draft.text) for draft in found) < 50_000
