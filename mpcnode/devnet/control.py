"""Bringing a development network up and down, and asking how it is.

`bring_up` makes every daemon ready or leaves none of its own running: a daemon that dies, a deadline or an interrupt
ends all that it started.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcnode.config.node import load_node
from mpcnode.devnet import processes
from mpcnode.devnet.plan import Layout
from mpcnode.devnet.ports import is_free, owner_of
from mpcnode.errors import ConfigError, ErrorCode, LocalError, TimedOutError, UnavailableError
from mpcnode.rpc.control import NodeState, NodeStatus, fetch_status

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
"""From SIGTERM to SIGKILL; longer than a daemon's own drain_ms and what it needs to close."""

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.2
_ASK_TIMEOUT_S = 2.0
_LOG_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonReport:
    """How one daemon is."""

    name: str
    process: processes.Process | None
    """None if it does not run."""
    status: NodeStatus | None
    """None if it does not answer."""

    @property
    def ready(self) -> bool:
        """Whether it does its work."""
        return self.status is not None and self.status.state is NodeState.READY


class InterruptedStartError(LocalError):
    """Somebody stopped `devnet up`; what it had started was ended."""

    default = ErrorCode.UNAVAILABLE


def open_layout(root: Path) -> Layout:
    """Return the layout of a network that was set up.

    Raises:
        ConfigError: there is none.
    """
    layout = Layout(root.absolute())
    if not layout.consortium.exists() or not layout.daemons():
        raise ConfigError(f"{root}: expected a development network, got none; make one with: mpcnode devnet new {root}")
    return layout


async def report(layout: Layout) -> tuple[DaemonReport, ...]:
    """Ask every daemon how it is."""
    return tuple(await asyncio.gather(*(_report(layout, name) for name in layout.daemons())))


async def bring_up(layout: Layout, tell: Callable[[str], None]) -> tuple[DaemonReport, ...]:
    """Start every daemon that does not run, and wait until all are ready.

    Args:
        layout: the network.
        tell: is told, in words, what happens.

    Raises:
        LocalError: a port is taken, or a daemon ended; the message has its last log lines.
        TimedOutError: a daemon was not ready after 60 s.
        InterruptedStartError: SIGINT, SIGTERM or SIGHUP came.
    """
    missing = [name for name in layout.daemons() if processes.running(layout.node(name)) is None]
    _check_ports(layout, missing)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _INTERRUPTS:
        loop.add_signal_handler(number, stop.set)
    children: dict[str, processes.Child] = {}
    try:
        for name in missing:
            children[name] = processes.spawn(layout.node(name))
        tell(f"started {len(children)} daemons, {len(layout.daemons()) - len(missing)} were running")
        return await _wait_until_ready(layout, children, stop)
    except BaseException:
        await take_down(layout, list(children), children)
        raise
    finally:
        for number in _INTERRUPTS:
            loop.remove_signal_handler(number)


async def take_down(
    layout: Layout, names: Sequence[str] | None = None, children: dict[str, processes.Child] | None = None
) -> dict[str, str]:
    """End daemons: SIGTERM, then SIGKILL for those that still run after 25 s.

    Args:
        layout: the network.
        names: which; all if None.
        children: those that this process started, so that it also takes note of their end.

    Returns:
        For each daemon what happened: `stopped`, `killed`, or `was not running`.
    """
    places = {name: layout.node(name) for name in (layout.daemons() if names is None else names)}
    found = {name: processes.running(place) for name, place in places.items()}
    outcome = {name: "stopped" if process else "was not running" for name, process in found.items()}
    waiting = {name: process for name, process in found.items() if process is not None}
    for process in waiting.values():
        processes.send(process, signal.SIGTERM)
    await _until_gone(waiting, children or {}, STOP_TIMEOUT_S)
    for name, process in waiting.items():
        outcome[name] = "killed"
        processes.send(process, signal.SIGKILL)
    await _until_gone(waiting, children or {}, STOP_TIMEOUT_S)
    for place in places.values():
        processes.forget(place)
    return outcome


async def _until_gone(
    waiting: dict[str, processes.Process], children: dict[str, processes.Child], timeout_s: float
) -> None:
    """Remove from `waiting` what has ended, until nothing is left or the time is over."""
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s
    while waiting and clock() < end:
        for child in children.values():
            child.poll()
        for name in [name for name, process in waiting.items() if processes.find(process.pid) != process]:
            del waiting[name]
        if waiting:
            await asyncio.sleep(_POLL_S / 4)


async def _wait_until_ready(
    layout: Layout, children: dict[str, processes.Child], stop: asyncio.Event
) -> tuple[DaemonReport, ...]:
    clock = asyncio.get_running_loop().time
    end = clock() + READY_TIMEOUT_S
    late = list(layout.daemons())
    while True:
        _check_alive(layout, children)
        reports = await asyncio.gather(*(_report(layout, name) for name in late))
        late = [daemon.name for daemon in reports if not daemon.ready]
        if not late:
            return await report(layout)
        if stop.is_set():
            raise InterruptedStartError(f"expected {', '.join(late)} to become ready, got an interrupt; all were ended")
        if clock() > end:
            lines = "\n".join(_log_of(layout, name) for name in late)
            raise TimedOutError(f"expected {', '.join(late)} to be ready after {READY_TIMEOUT_S:.0f} s\n{lines}")
        await _sleep_unless(stop.wait, _POLL_S)


async def _sleep_unless(event: Callable[[], Awaitable[object]], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event()
    except TimeoutError:
        return


def _check_alive(layout: Layout, children: Mapping[str, processes.Child]) -> None:
    for name in layout.daemons():
        code = children[name].poll() if name in children else None
        if code is not None or processes.running(layout.node(name)) is None:
            how = "its end" if code is None else f"its end with code {code}"
            message = f"{name}: expected it to become ready, got {how}\n{_log_of(layout, name)}"
            raise LocalError(message, ErrorCode.UNAVAILABLE)


def _log_of(layout: Layout, name: str) -> str:
    place = layout.node(name)
    lines = processes.last_log_lines(place, _LOG_LINES) or ["(empty)"]
    return "\n".join([f"--- {place.log}", *lines])


def _check_ports(layout: Layout, names: Sequence[str]) -> None:
    for name in names:
        config = load_node(layout.node(name).config)
        for address in (config.listen_peers, config.listen_inquiry):
            if address is not None and not is_free(address.port):
                owner = owner_of(address.port)
                message = f"{name}: expected port {address.port} of {config.path} to be free, got it taken by {owner}"
                raise LocalError(message, ErrorCode.CONFIG)


async def _report(layout: Layout, name: str) -> DaemonReport:
    place = layout.node(name)
    process = processes.running(place)
    status = None
    if process is not None:
        try:
            status = await fetch_status(place.control, _ASK_TIMEOUT_S)
        except UnavailableError:
            # it opens its socket a moment after its start
            status = None
    return DaemonReport(name=name, process=process, status=status)
