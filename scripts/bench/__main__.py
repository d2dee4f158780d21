"""Run benchmarks, print their figures, write build/bench/NAME.json."""

import argparse
import json
import sys
import time
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from scripts.bench.registry import OUT, Measurement, load


def main() -> int:
    """Run all benchmarks, or one."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="name of one benchmark")
    only = parser.parse_args().only
    benchmarks = load()
    if only and only not in benchmarks:
        print(f"expected one of {', '.join(benchmarks)}, got {only}", file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name, run in benchmarks.items():
        if only in {"", name}:
            started = time.perf_counter()
            figures = run()
            (OUT / f"{name}.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
            console.print(_table(name, figures, time.perf_counter() - started))
    return 0


def _table(name: str, figures: list[Measurement], seconds: float) -> Table:
    table = Table(title=f"{name} ({seconds:.1f} s, build/bench/{name}.json)", title_justify="left")
    for column in ("figure", "value", "unit", "of"):
        table.add_column(column, justify="right" if column == "value" else "left", no_wrap=column != "of")
    for figure in figures:
        of = ", ".join(f"{key} {value}" for key, value in figure.params.items())
        table.add_row(
            figure.name, f"{figure.value:,.4g}" if figure.value < 1000 else f"{figure.value:,.0f}", figure.unit, of
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
