"""What a benchmark is, and which there are."""

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "build" / "bench"
"""Where figures are written, NAME.json for each benchmark."""

Parameter = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: what was measured, in which unit, of what size."""

    name: str
    value: float
    unit: str
    params: Mapping[str, Parameter] = field(default_factory=dict)


Benchmark = Callable[[], list[Measurement]]
_REGISTERED: dict[str, Benchmark] = {}


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register a benchmark: it takes nothing and returns its figures."""

    def register(function: Benchmark) -> Benchmark:
        if name in _REGISTERED:
            raise ValueError(f"expected a benchmark name of its own, got {name} again")
        _REGISTERED[name] = function
        return function

    return register


def load() -> Mapping[str, Benchmark]:
    """Import every module of this package and return the benchmarks by name."""
    package = importlib.import_module("scripts.bench")
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("__"):
            importlib.import_module(f"scripts.bench.{found.name}")
    return dict(sorted(_REGISTERED.items()))


def seconds_per_call(work: Callable[[], object], *, rounds: int = 5, round_s: float = 0.1) -> float:
    """Time of one call: the median over rounds, each of as many calls as fit `round_s`, after one call to warm up."""
    started = time.perf_counter()
    work()
    calls = max(1, int(round_s / max(time.perf_counter() - started, 1e-7)))
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)
