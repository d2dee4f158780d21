"""A machine's two clocks, as the real driver reads them.

The core's `now` is monotone: it runs a little fast or slow, begins anywhere after a crash, and never goes back. The
wall clock, for the times of blocks and expiries, is off by an offset and may jump either way.
"""

from collections.abc import Callable

from ledger.types import Millis

PPM = 1_000_000


class MachineClock:
    """Both clocks of one machine; `now` tells simulated time, in ms."""

    def __init__(self, now: Callable[[], int], *, rate_ppm: int, offset_ms: int) -> None:
        self._now = now
        self.rate_ppm = rate_ppm
        """Ticks in a million simulated ms."""
        self.offset_ms = offset_ms
        self._born = self._origin = now()

    def start(self, origin: int) -> None:
        """Begin the monotone clock anew, at `origin`: the machine was off."""
        self._born, self._origin = self._now(), origin

    def monotone(self) -> Millis:
        """Milliseconds for the core."""
        return Millis(self._origin + (self._now() - self._born) * self.rate_ppm // PPM)

    def delay_until(self, at: Millis) -> int:
        """Simulated ms until the monotone clock shows `at`."""
        return max(0, (at - self.monotone()) * PPM // self.rate_ppm + 1)

    def now_ms(self) -> Millis:
        """Wall clock (`ledger.ports.Clock`)."""
        return Millis(self._now() + self.offset_ms)
