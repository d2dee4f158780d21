"""What a newcomer reads first is true: the README's map, the Makefile's help, the locked packages."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def is_room(path: Path) -> bool:
    hidden = path.name.startswith((".", "_")) or path.suffix == ".egg-info" or path.name in {"build", "node_modules"}
    return path.is_dir() and not hidden and any(is_source(found) for found in path.rglob("*"))


def is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def mapped() -> list[str]:
    """Folders of the README's map, with their parents."""
    block = re.search(r"## Map\n\n```\n(.*?)```", README, re.DOTALL)
    assert block is not None
    folders, top = [], ""
    for line in block[1].splitlines():
        name = line.split()[0]
        top = top if line.startswith(" ") else name
        folders.append(name if name == top else top + name)
    return folders


def test_the_map_names_every_room_and_no_other():
    tops = [path for path in ROOT.iterdir() if is_room(path)]
    rooms = tops + [path for top in ("ledger", "mpcnode") for path in (ROOT / top).iterdir() if is_room(path)]
    assert sorted(mapped()) == sorted(f"{path.relative_to(ROOT)}/" for path in rooms)


def test_every_line_of_the_map_says_what_the_room_is_for():
    block = re.search(r"## Map\n\n```\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert all(len(line.split()) >= 3 for line in block[1].splitlines())


def test_help_lists_every_target():
    targets = set(re.findall(r"^\.PHONY: ([\w-]+)$", MAKEFILE, re.MULTILINE))
    rules = set(re.findall(r"^([a-z][\w-]*):(?!=)", MAKEFILE, re.MULTILINE))
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in printed.splitlines() if len(line.split()) > 1}
    assert targets == rules == listed


def test_every_script_that_a_target_runs_is_there():
    paths = re.findall(r"(?<![\w/])scripts/[\w/]+\.\w+", MAKEFILE)
    named = re.findall(r"python -m ((?:scripts|tests)[\w.]*)", MAKEFILE)
    assert paths
    assert named
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    places = {name: ROOT / name.replace(".", "/") for name in named}
    runnable = {name for name, at in places.items() if at.with_suffix(".py").exists() or (at / "__main__.py").exists()}
    assert set(named) == runnable


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_lock_holds_what_the_package_needs_with_hashes():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = (config["options"]["install_requires"] + config["options.extras_require"]["dev"]).split("\n")
    wanted = {re.split(r"[<>=]", line)[0].lower().replace("_", "-") for line in lines if line}
    lock = (ROOT / "configs" / "requirements.lock").read_text()
    pinned = re.findall(r"^([\w.-]+)==\S+( ; [^\n]*)? \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert wanted - {name.lower() for name, _ in pinned} == set(), "run make lock"
    assert len(pinned) == len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
    assert not re.search(r"https?://|--index|--find-links", lock)
