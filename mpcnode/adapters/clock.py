"""The only wall clock: everything else is told the time."""

import time

from ledger.types import Millis


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> Millis:
        """Return the time in milliseconds since the Unix epoch."""
        return Millis(time.time_ns() // 1_000_000)  # noqa: TID251 - the one place that reads the wall clock
