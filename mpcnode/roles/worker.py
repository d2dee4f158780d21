"""The daemon's one thread for numpy and long hashing, so that its event loop goes on serving streams meanwhile.

Jobs are done in the order given. Whoever has much to do gives it chunk by chunk, so that nobody waits long.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """One thread; begun with the first job."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mpcnode-worker")

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in the thread. A job that has begun is finished even if who waits for it is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)


async def at_once(job: Callable[[], T]) -> T:
    """Do a small job in the event loop: handing it over would take longer."""
    return job()
