"""Hold every target to its seeds and to what was found once: `python -m tests.fuzz.regressions`.

A process of its own, because targets take every signature as good.
"""

import resource
import sys
from pathlib import Path

from tests.fuzz.target import measured
from tests.fuzz.targets import TARGETS, load
from tests.fuzz.worker import ADDRESSES_BYTES

CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    """Check all inputs; what is found is raised."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
    for name in TARGETS:
        target = load(name)
        kept = sorted((CORPUS / name).glob("*"))
        for data in (*target.seeds, *(path.read_bytes() for path in kept)):
            measured(target, data)
        print(f"{name}: {len(target.seeds)} seeds and {len(kept)} regressions hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
