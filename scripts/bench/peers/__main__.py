"""Run other systems on the work of `make bench ONLY=score`, and write build/bench/peers.json.

Each has a virtual environment of its own under build/peers, from a lock with hashes. Three processes on this machine
talk over the loopback, in a network namespace of their own where the kernel lets us make one: then bytes are counted.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from scripts.bench.peers.work import OWNERS, WORKS
from scripts.bench.registry import OUT, Measurement, Parameter

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / "build" / "peers"
PORT = 19_100
"""And the two after it: free in a namespace of our own, to be kept free elsewhere."""
PARTIES_S = 300
"""The slowest of these takes a minute on two cores."""
ISOLATED = ("unshare", "--user", "--map-root-user", "--net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A system, and how much of it is measured."""

    name: str
    package: str
    """Names the lock."""
    trust: str
    party: tuple[str, ...]
    """Module of a party, and its last arguments."""
    sizes: tuple[tuple[int, int], ...]
    """Numbers of subjects, and runs of each."""
    python: tuple[int, int] | None = None
    """The newest Python that there are wheels for; None: any that this project runs on."""


PEERS = (
    Peer(
        name="mpyc",
        package="mpyc",
        trust="honest majority, no dealer",
        party=("scripts.bench.peers.mpyc_party",),
        sizes=((1, 7), (1000, 3), (10_000, 1)),
    ),
    Peer(
        name="spu_aby3",
        package="spu",
        trust="honest majority, no dealer",
        party=("scripts.bench.peers.spu_party", "aby3"),
        sizes=((1, 7), (1000, 7), (100_000, 5)),
        python=(3, 11),
    ),
    Peer(
        name="spu_semi2k",
        package="spu",
        trust="one party is the dealer",
        party=("scripts.bench.peers.spu_party", "semi2k"),
        sizes=((1, 7), (1000, 7), (100_000, 5)),
        python=(3, 11),
    ),
)


class PeerError(Exception):
    """A peer could not be installed, or did not do its work."""


def main() -> int:
    """Install and measure all peers that have wheels for this Python."""
    figures: list[Measurement] = []
    for peer in PEERS:
        if peer.python is not None and sys.version_info[:2] > peer.python:
            print(f"{peer.name}: left out, its newest wheels are for Python {'.'.join(map(str, peer.python))}")
            continue
        python = install(peer.package)
        for figure in measure(peer, python, WORKS, peer.sizes):
            figures.append(figure)
            print(f"{figure.name}: {figure.value:,.4g} {figure.unit}", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "peers.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 0


def install(package: str) -> Path:
    """Make a peer's environment if it is not there as its lock says; return its interpreter."""
    lock, home = ROOT / "configs" / "peers" / f"{package}.lock", BUILT / package
    stamp, python = home / lock.name, home / "bin" / "python"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
        subprocess.run([str(python), "-m", "pip", "install", *options, "-r", str(lock)], check=True)
        shutil.copy(lock, stamp)
    return python


def measure(peer: Peer, python: Path, works: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Iterator[Measurement]:
    """Yield a figure for every work and number of subjects.

    Raises:
        PeerError: a party ended with an error.
    """
    for work in works:
        for subjects, runs in sizes:
            found = run(peer, python, work, subjects, runs)
            of: dict[str, Parameter] = {"trust": peer.trust, "subjects": subjects, "runs": runs, "parties": OWNERS}
            if found["bytes_each"] is not None:
                of["bytes_each"] = round(found["bytes_each"], 1)
            name = f"{work}_{subjects}_{peer.name}_subjects_per_s"
            if subjects == 1:
                yield Measurement(f"{work}_n1_{peer.name}_ms", 1000 * found["seconds"], "ms", of)
            else:
                yield Measurement(name, subjects / found["seconds"], "1/s", of)


def run(peer: Peer, python: Path, work: str, subjects: int, runs: int) -> dict[str, Any]:
    """Run three parties; return what rank 0 reports."""
    isolated = _can_isolate()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OWN_NETWORK": str(int(isolated))}
    command = [str(python), "-m", peer.party[0], work, str(subjects), str(runs)]
    parties = [shlex.join([*command, *_place(peer, rank)]) for rank in range(OWNERS)]
    # the report is rank 0's; some peers' other parties wait for ever for one that has gone
    script = (
        f"{parties[0]} & first=$!; {' & '.join(parties[1:])} & wait $first; sleep 1; kill $(jobs -p) 2>/dev/null; wait"
    )
    if isolated:
        script = f"ip link set lo up; {script}"
    with TemporaryFile() as told:
        process = subprocess.Popen(
            [*(ISOLATED if isolated else ()), "bash", "-c", script],
            cwd=ROOT,
            env=environment,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(PARTIES_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        told.seek(0)
        lines = told.read().decode(errors="replace").splitlines()
    reports = [line.removeprefix("REPORT ") for line in lines if line.startswith("REPORT ")]
    if len(reports) != 1:
        raise PeerError(f"{peer.name}: expected one report of {work} for {subjects}, got {len(reports)}: {lines[-20:]}")
    found: dict[str, Any] = json.loads(reports[0])
    return found


def _can_isolate() -> bool:
    """Whether we may make a network namespace."""
    if shutil.which(ISOLATED[0]) is None:
        return False
    tried = subprocess.run([*ISOLATED, "ip", "link", "set", "lo", "up"], check=False, capture_output=True)
    return tried.returncode == 0


def _place(peer: Peer, rank: int) -> tuple[str, ...]:
    """Last arguments of a party: who it is, and where the others are."""
    if peer.package == "mpyc":
        return (f"-M{OWNERS}", f"-I{rank}", f"-B{PORT}")
    return (str(rank), str(PORT), *peer.party[1:])


if __name__ == "__main__":
    sys.exit(main())
