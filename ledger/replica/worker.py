"""One thread for everything that may take long: jobs run one after the other, in the order in which they came."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SWITCH_S = 0.0002
"""How long a running job may keep Python's interpreter lock from the event loop.

The loop gives the lock away at every signature it verifies and every packet it sends; with Python's own 5 ms it would
get it back 5 ms later each time, and ten signatures beside an executing block took 56 ms. With this they take 3.
"""


class Worker:
    """Runs jobs for an event loop."""

    def __init__(self) -> None:
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Queue a job and return its result's future."""
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: job(*args, **kwargs))

    async def close(self, last: Callable[[], None]) -> None:
        """Run one more job after those that are queued, then end."""
        try:
            await self.run(last)
        finally:
            self._thread.shutdown(wait=True)
