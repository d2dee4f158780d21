"""One target: `python -m tests.fuzz.worker TARGET` fuzzes it under atheris, `--measure` checks inputs without."""

import argparse
import contextlib
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.target import Mutate, Target, measured
from tests.fuzz.targets import TARGETS, load

ADDRESSES_BYTES = 3 << 30
"""Address space of a worker: whoever believes in a length of 4 GiB runs out of it."""

INSTRUMENTED = ["ledger", "mpcnode", "scripts", "eth_abi", "tests.fuzz.planted"]
ONE_INPUT_S = 10
LENGTHS = tuple(length.to_bytes(4, "big") for length in (0x7FFFFFFF, 0xFFFFFFFF, 0x00FFFFFF))


def fuzz(name: str, plant: str | None, corpus: Path, seconds: int) -> None:
    """Fuzz a target until the time is over or something is found; never returns."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - in an environment of its own

    with atheris.instrument_imports(include=INSTRUMENTED):
        target = _load(name, plant)
    dictionary = corpus.with_suffix(".dict")
    _prepare(target, corpus, dictionary)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={ONE_INPUT_S}",
        f"-max_len={target.size_max}",
        f"-dict={dictionary}",
        f"-artifact_prefix={corpus}-",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    ]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))

    def ordinary(data: bytes, size_max: int) -> bytes:
        changed: bytes = atheris.Mutate(data, size_max)  # looked up late: atheris exchanges it when it starts
        return changed

    atheris.Setup([name, *options], target.check, **_mutator(target, ordinary))
    atheris.Fuzz()


def _mutator(target: Target, ordinary: Mutate) -> dict[str, Callable[[bytes, int, int], bytes]]:
    mutate = target.mutate
    if mutate is None:
        return {}
    return {"custom_mutator": lambda data, size_max, seed: mutate(data, size_max, seed, ordinary)}


def measure(name: str, plant: str | None, inputs: list[Path]) -> bool:
    """Check inputs by the target's law and bounds; print what is found. Folders stand for the files in them."""
    target = _load(name, plant)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
    for seed in target.seeds[:1]:
        # what is loaded on first use is no cost of an input; what this raises is found below
        with contextlib.suppress(Exception):
            target.check(seed)
    good = True
    for path in (file for each in inputs for file in (sorted(each.iterdir()) if each.is_dir() else [each])):
        try:
            measured(target, path.read_bytes())
        except Exception:  # noqa: BLE001 - whatever is raised is what is looked for
            print(f"finding: {path}")
            traceback.print_exc(file=sys.stdout)
            good = False
    return good


def _load(name: str, plant: str | None) -> Target:
    """Make a target, perhaps over a broken decoder. Nothing of the product is imported before: it would not be seen."""
    target = load(name)
    if plant is not None:
        from tests.fuzz.planted import PLANTED  # noqa: PLC0415 - see above

        PLANTED[plant].plant()
    return target


def _prepare(target: Target, corpus: Path, dictionary: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in (*target.words, *LENGTHS))
    dictionary.write_text("".join(f'"{word}"\n' for word in words))


def main() -> int:
    """Fuzz, or check inputs; exit code 0: nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--plant", help="break a decoder first, to see that it is noticed")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--measure", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.measure:
        return 0 if measure(asked.target, asked.plant, asked.measure) else 1
    fuzz(asked.target, asked.plant, asked.corpus, asked.seconds)
    return 1  # atheris ends the process


if __name__ == "__main__":
    sys.exit(main())
