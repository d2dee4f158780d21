"""What the stages of a computation take, for the log."""

import asyncio


class Stopwatch:
    """Measures one stage after another, by the loop's time, to the ms."""

    def __init__(self) -> None:
        """Begin the first stage."""
        self._begun = self._at = asyncio.get_running_loop().time()
        self.stages: dict[str, float] = {}
        """Seconds, by stage."""

    def lap(self, stage: str) -> None:
        """End a stage and begin the next one."""
        before, self._at = self._at, asyncio.get_running_loop().time()
        self.stages[stage] = round(self._at - before, 3)

    @property
    def seconds(self) -> float:
        """From the beginning to the last stage's end."""
        return round(self._at - self._begun, 3)
