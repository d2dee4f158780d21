"""Generate the Python code of proto/ into ledger/v1 and mpcnode/v1; --check: fail if the committed code is not that.

Paths under proto/ mirror the packages, so the generated imports are right as they come.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
PACKAGES = ("ledger/v1", "mpcnode/v1")
INIT = '"""Generated from proto/{package} by `make proto`; only the rpc edge imports it."""\n'


def generate(out: Path) -> None:
    """Write the generated code of every package into `out`."""
    protos = [
        str(path.relative_to(PROTO)) for package in PACKAGES for path in sorted((PROTO / package).glob("*.proto"))
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO)]
    command += [f"--{kind}_out={out}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run([*command, *protos], check=True, env={"PATH": path}, cwd=ROOT, stderr=subprocess.DEVNULL)
    for package in PACKAGES:
        if (out / package).is_dir():
            (out / package / "__init__.py").write_text(INIT.format(package=package))


def tree(base: Path) -> dict[str, bytes]:
    """Return the generated files below `base` by relative path."""
    files = (path for package in PACKAGES for path in (base / package).glob("*.py*"))
    return {str(path.relative_to(base)): path.read_bytes() for path in files}


def main() -> int:
    """Generate or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed code, write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        made, there = tree(Path(scratch)), tree(ROOT)
    differing = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    if args.check:
        for name in differing:
            print(f"{name}: expected what `make proto` generates, got something else", file=sys.stderr)
        return 1 if differing else 0
    for name in differing:
        if name not in made:
            (ROOT / name).unlink()
            continue
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(made[name])
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
