"""A party of a system that computes nothing: it reports at once, or behaves badly."""

import sys
import time

from scripts.bench.peers.timing import report

DEAF, HASTY = "deaf", "hasty"
"""Others than rank 0 never end; rank 0 ends before it has reported."""

if __name__ == "__main__":
    work, subjects, runs, rank, behaviour = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[6:]
    if DEAF in behaviour and rank != 0:
        time.sleep(600)
    if HASTY in behaviour:
        sys.exit("no such luck")
    if rank == 0:
        report(work, subjects, [0.25] * runs, None)
