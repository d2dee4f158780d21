"""Run the simulator: `python -m tests.sim SEED` replays one seed; without one, seeds are run until it is stopped.

Exit code 0: every seed holds; 1: one does not, and the last lines say which and how to replay it.
"""

import argparse
import secrets
import sys

from tests.sim.campaign import be_quiet, search
from tests.sim.cluster import Cluster, Violation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this seed")
    parser.add_argument("--first", type=int, help="first seed; 0 with --count, else drawn")
    parser.add_argument("--count", type=int, help="stop after so many seeds")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    first = options.first
    if first is None:
        first = 0 if options.count is not None else secrets.randbelow(1_000_000_000)
    print(f"from seed {first} on", flush=True)
    return search(first, options.count, options.workers)


def replay(seed: int) -> int:
    """Run one seed and say what came of it."""
    be_quiet()
    cluster = Cluster(seed)
    try:
        cluster.run()
    except Violation as violation:
        print(f"seed {seed} ({cluster.profile.name}): VIOLATION of {violation}; trace {cluster.trace.hexdigest()}")
        return 1
    checker = cluster.checker
    print(
        f"seed {seed} ({cluster.profile.name}): holds; {len(checker.decided)} blocks, highest view "
        f"{checker.view_max}, {cluster.messages} messages, trace {cluster.trace.hexdigest()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
