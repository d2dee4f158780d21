"""What goes wrong in a run: drawn from the seed, so that a range of seeds covers every kind of trouble."""

import random
from dataclasses import dataclass

from ledger.consensus import Timing

TIMING = Timing(view_ms=500, view_ms_max=4_000, resend_ms=300, repropose_ms=100, status_ms=5_000)
"""Shorter than a daemon's, for delays of at most 60 ms once the network has settled."""

REAL_EVERY = 100
"""Of so many seeds one has real signatures, contracts and files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Faults of one run. Everything bad but the Byzantine stops at `settled_ms`."""

    name: str
    replicas: int = 4
    """Replicas that vote at first."""
    spare: int = 0
    """More replicas with a vote key, which may become validators."""
    changes: int = 0
    """Transactions that take a replica out of the validators or in."""
    observers: int = 0
    byzantine: tuple[str, ...] = ()
    """One strategy of `tests.sim.byzantine` for each Byzantine replica."""
    asks: bool = False
    """Whether a replica that restarts asks its peers for its newest vote before it votes, as a daemon does. Without
    that the core alone must be safe, as long as disks keep what was flushed."""
    crash: float = 0.0
    """Probability of a crash before each single effect, and within each flush, of an honest replica."""
    blackouts: int = 0
    """Crashes of every honest replica at once."""
    crash_replica: int | None = None
    crash_effect: int = 0
    """This replica crashes before this effect or within this flush, counted from 1, and at no other."""
    losses: int = 0
    """Times that an honest replica loses its disk, or finds it damaged and gets a new one: when it has just voted at a
    height that nobody else has reached, if there is such a moment. It needs `asks`."""
    roll_backs: int = 0
    """Honest replicas whose disk loses the last thing that it had said was flushed, and nobody knows. With the
    Byzantine ones these and `losses` must be at most f."""
    pauses: int = 0
    """Times that some replica stands still for up to 3 s and then goes on."""
    outage_ms: int = 0
    """How long nothing arrives, from the moment at which somebody casts FINALIZE in the first seconds."""
    skew_ms: int = 500
    """Wall clocks are wrong by up to this."""
    drift_ppm: int = 1_000
    """Clocks run fast or slow by up to this."""
    jumps: int = 0
    """Jumps of a wall clock, up to an hour forward or two back; those of more than f replicas at a time would be
    a fault of more than f."""
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
    real: bool = False
    """Ed25519, the contracts on py-evm and SQLite files in place of symbols."""

    @property
    def everybody(self) -> int:
        """All replicas."""
        return self.replicas + self.spare + self.observers


CALM = Profile(
    name="calm", loss=0.0, slow=0.0, duplication=0.0, partitions=False, slow_execution=0.0, skew_ms=0, drift_ppm=0
)

PROFILES = (
    Profile(name="lossy", loss=0.4),
    Profile(name="chaos", byzantine=("chaos",)),
    Profile(name="splitter", byzantine=("splitter",)),
    Profile(name="twins", byzantine=("twins",)),
    Profile(name="seven", replicas=7, byzantine=("chaos", "splitter"), crash=0.001, txs=8),
    Profile(name="selective", byzantine=("selective",)),
    Profile(name="amnesiac", byzantine=("amnesiac",)),
    Profile(name="silent", byzantine=("silent",), loss=0.3),
    Profile(name="crashes", crash=0.004),
    Profile(name="changes", spare=3, changes=6, byzantine=("chaos",), crash=0.001),
    Profile(name="crashes, asking", crash=0.002, asks=True),
    Profile(name="chaos, crashes", byzantine=("chaos",), crash=0.002),
    Profile(name="splitter, blackouts", byzantine=("splitter",), blackouts=8),
    Profile(name="chaos, blackouts", byzantine=("chaos",), blackouts=8),
    Profile(name="six", replicas=6, byzantine=("splitter",), crash=0.001),
    Profile(name="skewed, chaos", byzantine=("chaos",), skew_ms=4_500, drift_ppm=100_000),
    Profile(name="selective, blackouts", byzantine=("selective",), blackouts=8),
    Profile(name="twins, crashes", byzantine=("twins",), crash=0.002),
    Profile(name="jumps", skew_ms=4_500, drift_ppm=100_000, jumps=6, crash=0.001),
    Profile(name="lost disk", losses=1, asks=True, crash=0.001),
    Profile(name="ten", replicas=10, byzantine=("chaos", "splitter", "twins"), txs=6, settled_ms=6_000),
    Profile(name="observers", observers=2, byzantine=("chaos",), crash=0.001),
    Profile(name="rolled back", roll_backs=1, asks=True, crash=0.001),
    Profile(name="outage", byzantine=("fading",), outage_ms=15_000, settled_ms=20_000, partitions=False, txs=5),
    Profile(name="pest", byzantine=("pest",), loss=0.0, txs=12),
    Profile(name="six twins", replicas=6, byzantine=("twins",)),
    Profile(name="seven twins", replicas=7, byzantine=("twins", "amnesiac"), txs=8),
    Profile(name="changes, seven", replicas=7, spare=3, changes=8, byzantine=("splitter",), crash=0.001, txs=6),
    Profile(name="pauses", byzantine=("silent",), pauses=8),
    Profile(name="lost disks, seven", replicas=7, losses=2, asks=True, crash=0.001, txs=8),
    Profile(name="thirteen", replicas=13, byzantine=("chaos", "twins", "silent", "splitter"), txs=4, settled_ms=5_000),
    Profile(name="blackouts, asking", byzantine=("silent",), blackouts=3, asks=True),
    Profile(name="lost disk, liar", replicas=7, byzantine=("chaos",), losses=1, asks=True, txs=8),
    Profile(name="rolled back, liar", replicas=7, byzantine=("chaos",), roll_backs=1, asks=True, txs=8),
    Profile(name="outage, blackouts", byzantine=("splitter",), outage_ms=12_000, settled_ms=16_000, blackouts=3, txs=5),
    Profile(name="miser", byzantine=("miser",), loss=0.3),
    Profile(name="misers, seven", replicas=7, byzantine=("miser", "miser"), txs=8),
    Profile(name="changes, observers", spare=2, observers=1, changes=8, asks=True, crash=0.001, pauses=2),
    CALM,
)

_REAL = (
    Profile(name="real", real=True, byzantine=("chaos",), crash=0.001, txs=6),
    Profile(name="real, seven", real=True, replicas=7, byzantine=("twins", "splitter"), txs=5, settled_ms=6_000),
    Profile(name="real, lost disk", real=True, losses=1, asks=True, crash=0.001, txs=6),
    Profile(name="real, rolled back", real=True, roll_backs=1, asks=True, crash=0.001, txs=6),
)


def draw(seed: int) -> Profile:
    """Return the profile of a seed: seeds in a row have different ones."""
    if seed % REAL_EVERY == REAL_EVERY - 1:
        return _REAL[seed // REAL_EVERY % len(_REAL)]
    return PROFILES[seed % len(PROFILES)]


def source(seed: int, profile: Profile) -> random.Random:
    """Return the randomness of a run."""
    return random.Random(f"{seed} {profile.name}")
