"""Running things side by side until one of them ends.

An `asyncio.TaskGroup` is for things that all go on until they are cancelled. It is not for one whose end is the regular
end of the others: before Python 3.13 a group that ends with an error forgets that its own task was cancelled meanwhile,
so whoever takes that error for a regular end may go on for ever (https://github.com/python/cpython/issues/116720).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class AbandonedError(Exception):
    """What was waited for has been cancelled, and not by who waited."""


async def first_of(*work: Coroutine[Any, Any, T]) -> T:
    """Run several things at once until one ends, and end the others before returning.

    Returns:
        What the first one returned; of several that ended together, the one given first.

    Raises:
        AbandonedError: somebody else cancelled the first one.
        Exception: whatever the first one raised.
    """
    tasks = [asyncio.get_running_loop().create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(task for task in tasks if task.done())
        if first.cancelled():
            raise AbandonedError(f"{first.get_name()}: expected it to end by itself, got it cancelled")
        return first.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
