"""`make fuzz`: every target for some seconds, two at a time, then what was collected is measured.

    python -m tests.fuzz --seconds 20                 all targets
    python -m tests.fuzz --only certificate           one
    python -m tests.fuzz --only certificate --input build/fuzz-corpus/certificate-crash-0123

Exit code 0: nothing was found; 1: something was, and how to see it again is printed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.planted import PLANTED
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
ATHERIS = ROOT / "build" / "fuzz"
CORPORA = ROOT / "build" / "fuzz-corpus"
REGRESSIONS = Path(__file__).parent / "corpus"
GRACE_S = 120
"""For starting, and for an input that is under way when the time is over."""

_COUNT = re.compile(rb"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How fuzzing a target went."""

    target: str
    executions: int
    seconds: float
    corpus: int
    findings: tuple[Path, ...]
    """Inputs that break a law or a bound."""
    log: Path
    failed: bool

    def line(self) -> str:
        """One line of the table."""
        rate = self.executions / max(self.seconds, 0.1)
        return (
            f"{self.target:18} {self.executions:>10,} executions {rate:>9,.0f}/s {self.corpus:>6} in the corpus "
            f"{len(self.findings):>3} findings"
        )


def run(name: str, seconds: int, plant: str | None, corpora: Path) -> Ran:
    """Fuzz one target, then measure its corpus and what was found before."""
    corpus, log = corpora / name, corpora / f"{name}.log"
    corpora.mkdir(parents=True, exist_ok=True)
    worker = [sys.executable, "-m", "tests.fuzz.worker", name]
    if plant is not None:
        worker += ["--plant", plant]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join((str(ATHERIS), str(ROOT))))
    before = set(corpora.glob(f"{name}-*"))
    with log.open("wb") as out:
        fuzzing = [*worker, "--corpus", str(corpus), "--seconds", str(seconds)]
        began = time.monotonic()
        fuzzed = subprocess.run(
            fuzzing, stdout=out, stderr=out, cwd=ROOT, env=environment, timeout=seconds + GRACE_S, check=False
        )
        took = min(time.monotonic() - began, float(seconds))
        collected = [path for path in (corpus, REGRESSIONS / name) if path.exists() and any(path.iterdir())]
        measuring = [*worker, "--measure", *map(str, collected)]
        measured = subprocess.run(
            measuring, stdout=out, stderr=out, cwd=ROOT, env=environment, timeout=seconds + GRACE_S, check=False
        )
    told = log.read_bytes()
    executed = _COUNT.search(told)
    findings = {path for path in corpora.glob(f"{name}-*") if path not in before}
    findings |= {Path(line.removeprefix("finding: ")) for line in _lines(told) if line.startswith("finding: ")}
    return Ran(
        target=name,
        executions=int(executed[1]) if executed else 0,
        seconds=took,
        corpus=len(list(corpus.iterdir())) if corpus.exists() else 0,
        findings=tuple(sorted(findings)),
        log=log,
        failed=fuzzed.returncode != 0 or measured.returncode != 0,
    )


def _lines(told: bytes) -> list[str]:
    return told.decode(errors="replace").splitlines()


def _explain(ran: Ran) -> None:
    """Print what a reader needs of a target that failed."""
    print(f"--- {ran.target}: the end of {ran.log}")
    print("\n".join(_lines(ran.log.read_bytes())[-40:]))
    for path in ran.findings:
        print(f"replay: make fuzz ONLY={ran.target} INPUT={path}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    parser.add_argument("--only", choices=TARGETS, help="one target")
    parser.add_argument("--input", type=Path, help="check this input instead of looking for one")
    parser.add_argument("--plant", choices=PLANTED, help="break a decoder first, to see that it is noticed")
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="where inputs are collected")
    parser.add_argument("--fresh", action="store_true", help="forget what was collected before")
    asked = parser.parse_args()
    if asked.input is not None:
        if asked.only is None:
            parser.error("--input: expected --only, the target that the input is for")
        from tests.fuzz.worker import measure  # noqa: PLC0415 - imports what workers need

        good = measure(asked.only, asked.plant, [asked.input])
        print(f"{asked.only}: {asked.input} {'holds' if good else 'is a finding'}")
        return 0 if good else 1
    if not (ATHERIS / "atheris").exists():
        print(f"expected atheris in {ATHERIS}, got nothing there: run make fuzz, which installs it", file=sys.stderr)
        return 2
    if asked.fresh:
        shutil.rmtree(asked.corpora, ignore_errors=True)
    names = [asked.only] if asked.only else list(TARGETS)
    bad: list[Ran] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for ran in pool.map(lambda name: run(name, asked.seconds, asked.plant, asked.corpora), names):
            print(ran.line(), flush=True)
            if ran.failed or not ran.executions:
                bad.append(ran)
    for ran in bad:
        _explain(ran)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
