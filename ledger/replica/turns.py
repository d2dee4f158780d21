"""Taking turns on the event loop: work that consists of many small steps gives the loop away between them."""

import asyncio
import time

TURN_S = 0.002
"""How long one task keeps the loop for itself."""


class Turn:
    """One task's turn; it begins when the task comes to run."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def share(self) -> None:
        """Let everybody else run once if this turn has lasted long enough."""
        if time.perf_counter() - self._began >= TURN_S:
            await asyncio.sleep(0)
            self._began = time.perf_counter()
