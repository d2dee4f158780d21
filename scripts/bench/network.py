"""A consortium of eight daemons on this machine, made anew for a benchmark."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpcnode.devnet.control import open_layout
from mpcnode.devnet.plan import Layout

MODEL = "credit-rating"
PURPOSE = "credit-application"


def mpcnode(*arguments: str, check: bool = True) -> str:
    """Run a command of the project; return what it prints."""
    done = subprocess.run([sys.executable, "-m", "mpcnode", *arguments], check=check, capture_output=True, text=True)
    return done.stdout


@contextmanager
def network(root: Path, demo: Path | None = None) -> Iterator[Layout]:
    """Run the daemons of a new consortium in a directory, which is emptied first; of models and records in `demo`."""
    mpcnode("devnet", "down", str(root), check=False)
    shutil.rmtree(root, ignore_errors=True)
    mpcnode("devnet", "new", str(root), *(() if demo is None else ("--demo", str(demo))))
    layout = open_layout(root)
    _be_patient(layout.profile)
    mpcnode("devnet", "up", str(root))
    try:
        yield layout
    finally:
        mpcnode("devnet", "down", str(root))


def _be_patient(profile: Path) -> None:
    """Let no query run out of time while several wait for the same two cores."""
    text = profile.read_text(encoding="utf-8")
    text = re.sub(r"contribute_by_ms = \d+", "contribute_by_ms = 30000", text)
    profile.write_text(re.sub(r"deadline_ms = \d+", "deadline_ms = 90000", text), encoding="utf-8")
