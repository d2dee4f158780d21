"""Run the simulator: `python -m tests.sim SEED` replays one seed; without one, seeds are drawn until it is stopped."""

import argparse
import itertools
import sys
import time
from collections import Counter

from tests.sim.cluster import Cluster, Violation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this seed")
    parser.add_argument("--first", type=int, default=0, help="first of the seeds drawn")
    parser.add_argument("--count", type=int, help="stop after so many seeds")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    return search(options.first, options.count)


def replay(seed: int) -> int:
    """Run one seed and say what came of it."""
    cluster = Cluster(seed)
    try:
        cluster.run()
    except Violation as violation:
        print(f"seed {seed} ({cluster.profile.name}): VIOLATION {violation}")
        return 1
    checker = cluster.checker
    print(
        f"seed {seed} ({cluster.profile.name}): holds; {len(checker.decided)} heights, highest view "
        f"{checker.view_max}, {cluster.messages} messages, trace {cluster.trace.hexdigest()}"
    )
    return 0


def search(first: int, count: int | None) -> int:
    """Run seed after seed; stop at the first violation."""
    began, tally = time.monotonic(), Counter[str]()
    seeds = itertools.count(first) if count is None else range(first, first + count)
    try:
        for seed in seeds:
            cluster = Cluster(seed)
            try:
                cluster.run()
            except Violation as violation:
                print(f"seed {seed} ({cluster.profile.name}): VIOLATION {violation}")
                print(f"replay it with: python -m tests.sim {seed}")
                return 1
            tally.update(runs=1, heights=len(cluster.checker.decided), messages=cluster.messages)
            if tally["runs"] % 100 == 0:
                print(f"{dict(tally)} in {time.monotonic() - began:.0f} s, all hold", flush=True)
    except KeyboardInterrupt:
        pass
    print(f"{dict(tally)} in {time.monotonic() - began:.0f} s, all hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
