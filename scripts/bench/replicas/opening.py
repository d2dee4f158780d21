"""Open a store in a process of its own and say how much memory it takes: `python -m scripts.bench.replicas.opening`."""

import argparse
from pathlib import Path

from ledger.store import SqliteStore
from scripts.bench.replicas.consortium import Consortium
from scripts.bench.replicas.process import rss_mb
from scripts.bench.replicas.stores import open_engine


def main() -> None:
    """Print the height and the memory, MB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("validators", type=int)
    given = parser.parse_args()
    store = SqliteStore(given.directory)
    engine = open_engine(store, Consortium(given.validators))
    print(engine.head.header.height, rss_mb())
    store.close()


if __name__ == "__main__":
    main()
