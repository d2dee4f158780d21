"""How far a long command is, on standard error: a bar on a terminal, a line for each step elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None]]:
    """Show the steps of some work; yield what is told a step, how much of it is done, and of how much (0: unknown)."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        shown: dict[str, TaskID] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in shown:
                _finish(bars, shown)
                shown[step] = bars.add_task(step, total=total or None)
                if not console.is_terminal:
                    console.print(step)
            bars.update(shown[step], completed=done, total=total or None)

        yield tell
        _finish(bars, shown)


def _finish(bars: Progress, shown: dict[str, TaskID]) -> None:
    """Whatever came before is done when the next step begins."""
    for task in shown.values():
        bars.update(task, total=1, completed=1)
