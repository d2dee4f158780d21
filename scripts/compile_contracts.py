"""Compile the contracts with the pinned Vyper and write, or check, the committed artefacts.

    python scripts/compile_contracts.py            write artefacts/*.json beside the sources
    python scripts/compile_contracts.py --check    recompile and fail on any difference

Vyper is needed here only. It is installed, as configs/vyper.lock pins it, into build/vyper, an environment of its own.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

VYPER_VERSION = "0.4.3"
ROOT = Path(__file__).resolve().parent.parent
SOURCES = (ROOT / "ledger" / "contract", ROOT / "tests" / "support" / "upgrades")
"""Directories of *.vy files, each with a directory `artefacts` for what becomes of them."""
COMPILER_HOME = ROOT / "build" / "vyper"
COMPILER_LOCK = ROOT / "configs" / "vyper.lock"
FORMATS = {"abi": "abi", "bytecode": "bytecode", "runtime": "bytecode_runtime", "layout": "layout"}


def find_compiler() -> Path:
    """Return the pinned compiler, installed on first use."""
    compiler = COMPILER_HOME / "bin" / "vyper"
    if not compiler.exists():
        venv.create(COMPILER_HOME, with_pip=True)
        pip = [str(COMPILER_HOME / "bin" / "pip"), "install", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*pip, "--require-hashes", "-r", str(COMPILER_LOCK)], check=True)
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout
    if version.split("+")[0].strip() != VYPER_VERSION:
        raise SystemExit(f"expected Vyper {VYPER_VERSION} in {COMPILER_HOME}, got {version.strip()}")
    return compiler


def compile_contract(compiler: Path, path: Path) -> str:
    """Return the text of a contract's artefact."""
    source = path.read_bytes()
    command = [str(compiler), "-f", ",".join(FORMATS.values()), path.name]
    # The compiler sees a relative path, so that nothing of this machine's directories enters its output.
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=path.parent).stdout.strip()
    values = dict(zip(FORMATS, output.split("\n"), strict=True))
    artefact = {
        "contract": path.stem,
        "compiler": f"vyper {VYPER_VERSION}",
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "abi": json.loads(values["abi"]),
        "bytecode": values["bytecode"],
        "runtime": values["runtime"],
        "layout": json.loads(values["layout"])["storage_layout"],
    }
    return json.dumps(artefact, indent=1) + "\n"


def main() -> int:
    """Write the artefacts, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if an artefact differs")
    check = parser.parse_args().check
    compiler = find_compiler()
    different = 0
    for source in sorted(path for directory in SOURCES for path in directory.glob("*.vy")):
        text = compile_contract(compiler, source)
        path = source.parent / "artefacts" / f"{source.stem}.json"
        path.parent.mkdir(exist_ok=True)
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path.relative_to(ROOT)} differs from what Vyper {VYPER_VERSION} makes of its source")
            different = 1
    return different


if __name__ == "__main__":
    sys.exit(main())
