"""One party of MPyC: Shamir shares among three, an honest majority, no dealer.

    python -m scripts.bench.peers.mpyc_party WORK SUBJECTS RUNS -M3 -I RANK

MPyC reads its own options from the command line when it is loaded; those of this script come first. A run is all:
sharing the inputs, randomness, comparisons, opening the grades. Comparisons of all thresholds go in one batch.
"""

import sys
import time

import numpy as np

from scripts.bench.peers.timing import loopback_bytes, report, sent_since
from scripts.bench.peers.work import OWNERS, STEPS, WEIGHTS, Integers, expected, thresholds, values

WORK, SUBJECTS, RUNS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]

from mpyc.runtime import mpc  # noqa: E402 - it reads what is left of the command line

BITS = 32
WARM_UP = 100
"""Subjects of a run before those that count."""


async def run(known: Integers) -> Integers:
    """Grade all subjects jointly."""
    secure = mpc.SecInt(BITS)
    of_owner = [known[owner].T if WORK == "score" else known[owner, 0] for owner in range(OWNERS)]
    shared = [mpc.input(secure.array(of_owner[owner].astype(object)), senders=owner) for owner in range(OWNERS)]
    if WORK == "score":
        parts = [part @ np.array(weights, object) for part, weights in zip(shared, WEIGHTS, strict=True)]
        result = parts[0] + parts[1] + parts[2]
    else:
        result = mpc.np_maximum(mpc.np_maximum(shared[0], shared[1]), shared[2])
    count = known.shape[-1]
    differences = mpc.np_reshape(result, (count, 1)) - np.array(thresholds(WORK), object)[None]
    below = mpc.np_sum(mpc.np_sgn(differences, LT=True), axis=1)
    return np.array([int(grade) for grade in await mpc.output(STEPS - below)])


async def main() -> None:
    """Run, check and report."""
    await mpc.start()
    known = values(SUBJECTS)
    wanted = expected(WORK, known)
    await run(known[..., :WARM_UP])
    seconds = []
    sent = None
    for _ in range(RUNS):
        await mpc.barrier("run")
        before, started = loopback_bytes(), time.perf_counter()
        grades = await run(known)
        seconds.append(time.perf_counter() - started)
        sent = sent_since(before)
        if not np.array_equal(grades, wanted):
            raise SystemExit(f"{WORK}: expected the grades of the clear evaluation, got others")
    if mpc.pid == 0:
        report(WORK, SUBJECTS, seconds, sent)
    await mpc.shutdown()


mpc.run(main())
