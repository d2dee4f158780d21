"""What goes wrong in a run: drawn from the seed, so that a range of seeds covers every kind of trouble."""

import random
from dataclasses import dataclass

from ledger.consensus import Timing

TIMING = Timing(view_ms=500, view_ms_max=4_000, resend_ms=300, repropose_ms=100, status_ms=5_000)
"""Shorter than a daemon's, for delays of at most 60 ms once the network has settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Faults of one run. Everything bad but the Byzantine stops at `settled_ms`."""

    name: str
    replicas: int = 4
    """Replicas with a vote key."""
    rotating: int = 0
    """Size of committees that change; 0: all replicas, always."""
    observers: int = 0
    byzantine: tuple[str, ...] = ()
    """One strategy of `tests.sim.byzantine` for each Byzantine replica."""
    crash: float = 0.0
    """Probability of a crash before each single effect of an honest replica."""
    blackouts: int = 0
    """Crashes of every honest replica at once."""
    crash_replica: int | None = None
    crash_effect: int = 0
    """This replica crashes before this effect, counted from 1, and before no other."""
    losses: int = 0
    """Honest replicas that lose their whole disk, once, and then observe until they are past their votes."""
    ghosts: int = 2
    """Transactions that expire a second after they were submitted, unless a block was faster."""
    slow_execution: float = 0.1
    """Share of blocks whose execution takes up to 1.5 s."""
    loss: float = 0.2
    duplication: float = 0.05
    slow: float = 0.33
    """Share of messages delayed by up to 3 s, which also reorders them."""
    partitions: bool = True
    txs: int = 10
    settled_ms: int = 8_000
    timing: Timing = TIMING


CALM = Profile(name="calm", loss=0.0, slow=0.0, duplication=0.0, partitions=False, slow_execution=0.0)

PROFILES = (
    Profile(name="lossy", loss=0.4),
    Profile(name="chaos", byzantine=("chaos",)),
    Profile(name="splitter", byzantine=("splitter",)),
    Profile(name="twins", byzantine=("twins",)),
    Profile(name="selective", byzantine=("selective",)),
    Profile(name="amnesiac", byzantine=("amnesiac",)),
    Profile(name="silent", byzantine=("silent",), loss=0.3),
    Profile(name="crashes", crash=0.004),
    Profile(name="chaos, crashes", byzantine=("chaos",), crash=0.002),
    Profile(name="splitter, blackouts", byzantine=("splitter",), blackouts=8),
    Profile(name="chaos, blackouts", byzantine=("chaos",), blackouts=8),
    Profile(name="selective, blackouts", byzantine=("selective",), blackouts=8),
    Profile(name="twins, crashes", byzantine=("twins",), crash=0.002),
    Profile(name="observers", observers=2, byzantine=("chaos",), crash=0.001),
    Profile(name="six", replicas=6, byzantine=("splitter",), crash=0.001),
    Profile(name="six twins", replicas=6, byzantine=("twins",)),
    Profile(name="seven", replicas=7, byzantine=("chaos", "splitter"), crash=0.001, txs=8),
    Profile(name="seven twins", replicas=7, byzantine=("twins", "amnesiac"), txs=8),
    Profile(name="rotating", replicas=7, rotating=4, byzantine=("chaos",), crash=0.001, txs=8),
    Profile(name="lost disks", replicas=7, losses=2, crash=0.001, byzantine=(), txs=8),
    Profile(name="lost disk, observers", observers=1, losses=1, loss=0.1),
    CALM,
)


def draw(seed: int) -> Profile:
    """Return the profile of a seed: seeds in a row have different ones."""
    return PROFILES[seed % len(PROFILES)]


def source(seed: int, profile: Profile) -> random.Random:
    """Return the randomness of a run."""
    return random.Random(f"{seed} {profile.name}")
