"""Generate the Python code of every .proto file: proto/<package>/v1/*.proto becomes <package>/v1/*_pb2*.py with types.

The include path is `proto` and the output path the repository, so the generated imports read `from ledger.v1 import …`.
With --check nothing is written: the exit code is 1 if what is committed differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
INIT = '"""Generated from the .proto files by scripts/generate_protos.py; do not edit."""\n'


def generate(out: Path) -> None:
    """Write the code of all .proto files below `out`."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
    ]
    command += [f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}", *sources]
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join((beside, os.environ.get("PATH", "")))
    subprocess.run(command, check=True, cwd=PROTO, env=os.environ | {"PATH": path})
    for package in {file.parent for file in out.rglob("*_pb2.py")}:
        (package / "__init__.py").write_text(INIT)


def files_of(base: Path, packages: list[Path]) -> dict[Path, bytes]:
    """Content of every Python file in the generated packages, by path relative to `base`."""
    found = (path for package in packages for path in (base / package).glob("*.py*") if path.suffix in {".py", ".pyi"})
    return {path.relative_to(base): path.read_bytes() for path in found}


def main() -> int:
    """Generate, or compare with what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the committed code differs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        generate(out)
        packages = sorted({file.parent.relative_to(out) for file in out.rglob("*_pb2.py")})
        wanted, there = files_of(out, packages), files_of(ROOT, packages)
    differing = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    for name in differing:
        print(f"{'differs' if args.check else 'written'}: {name}")
        if args.check:
            continue
        if name in wanted:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_bytes(wanted[name])
        else:
            (ROOT / name).unlink()
    return int(args.check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
