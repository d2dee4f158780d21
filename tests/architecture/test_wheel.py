"""What pip installs is what stands in the repository: every module, stub and artefact."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ledger", "mpcnode")


def test_a_wheel_holds_every_file_of_the_packages(tmp_path):
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*build, "-w", tmp_path, source], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("mpcnode-*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    there = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there
