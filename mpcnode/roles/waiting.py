"""Waiting for members, until a time, and who did not come."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TypeVar

from mpcnode.roles.failures import AttemptFailedError
from mpcnode.types import FailReason, MemberIndex

T = TypeVar("T")


def now() -> float:
    """The loop's time, s: waits are measured by it, never by the wall clock."""
    return asyncio.get_running_loop().time()


async def collect(
    what: str, waits: Mapping[MemberIndex, Coroutine[object, object, T]], by: float
) -> dict[MemberIndex, T]:
    """Wait for one thing of each member, until the loop's time `by`.

    Raises:
        AttemptFailedError: some did not send it in time.
    """
    found: dict[MemberIndex, T] = {}

    async def wait(member: MemberIndex, arrival: Coroutine[object, object, T]) -> None:
        found[member] = await arrival

    try:
        async with asyncio.timeout_at(by), asyncio.TaskGroup() as group:
            for member, arrival in waits.items():
                group.create_task(wait(member, arrival))
    except TimeoutError as error:
        missing = [member for member in waits if member not in found]
        why = f"{what}: no word from members {missing} in time"
        raise AttemptFailedError(FailReason.TIMEOUT, why, missing) from error
    return found
