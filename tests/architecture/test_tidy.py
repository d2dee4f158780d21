"""Rules of the house that no linter has: sizes, names, and what may never be called."""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
NO_ROOMS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
NEVER_IMPORTED = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
NEVER_CALLED = {"eval", "exec", "insecure_channel", "add_insecure_port", "_create_unverified_context"}
NEVER_PASSED = {("verify", "False"), ("allow_pickle", "True"), ("check_hostname", "False"), ("shell", "True")}


def modules(*tops: str) -> list[Path]:
    """Hand-written Python files below these folders."""
    found = (path for top in tops for path in sorted((ROOT / top).rglob("*.py")))
    return [path for path in found if "v1" not in path.relative_to(ROOT).parts]


PRODUCT = modules("ledger", "mpcnode", "scripts")
EVERYTHING = modules("ledger", "mpcnode", "scripts", "tests")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def forbidden(tree: ast.AST) -> Iterator[str]:
    """Name everything in a module that is never imported, called or passed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in NEVER_IMPORTED)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in NEVER_IMPORTED:
            yield node.module or ""
        elif isinstance(node, ast.Attribute) and node.attr in NEVER_CALLED - {"eval", "exec"}:
            yield node.attr
        elif isinstance(node, ast.Name) and node.id in NEVER_CALLED:
            yield node.id
        elif isinstance(node, ast.keyword) and (node.arg, ast.unparse(node.value)) in NEVER_PASSED:
            yield f"{node.arg}={ast.unparse(node.value)}"


def test_there_is_something_to_check():
    assert len(PRODUCT) > 30


def test_modules_are_short():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in EVERYTHING}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_short():
    lengths = {
        f"{name_of(path)}:{function.name}": lines_of(function)
        for path in EVERYTHING
        for function in functions(parsed(path))
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX} == {}


def test_modules_say_what_they_are_for():
    assert [name_of(path) for path in PRODUCT if not ast.get_docstring(parsed(path))] == []


def test_modules_are_named_after_what_they_hold():
    named = {name_of(path): {*path.relative_to(ROOT).parts[:-1], path.stem} for path in EVERYTHING}
    assert [name for name, parts in named.items() if parts & NO_ROOMS] == []


def test_nothing_dangerous_is_called():
    found = {name_of(path): list(forbidden(parsed(path))) for path in PRODUCT}
    # of the contracts' own code only, and every text is checked: tests/unit/ledger/contract/test_blocks.py
    assert found.pop("ledger/contract/blocks.py") == ["exec"]
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "grpc.aio.insecure_channel('a')",
        "server.add_insecure_port('a')",
        "get(url, verify=False)",
        "np.load(file, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_what_is_dangerous_is_found(code):
    assert len(list(forbidden(ast.parse(code)))) == 1


def test_no_room_is_left_out_of_the_import_contracts():
    commented = re.findall(r"^\s*#\s*((?:ledger|mpcnode)[.\w]*)\s*$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    places = {name: ROOT / name.replace(".", "/") for name in commented}
    there = [name for name, place in places.items() if place.with_suffix(".py").exists() or [*place.glob("*.py")]]
    assert there == []


def test_contract_artefacts_were_compiled_from_these_sources():
    artefacts = sorted((ROOT / "ledger" / "contract" / "artefacts").glob("*.json"))
    sources = sorted((ROOT / "ledger" / "contract").glob("*.vy"))
    assert [path.stem for path in artefacts] == [path.stem for path in sources]
    for artefact, source in zip(artefacts, sources, strict=True):
        found = json.loads(artefact.read_text())["source_sha256"]
        assert found == hashlib.sha256(source.read_bytes()).hexdigest(), f"{source.name}: run make contract"
