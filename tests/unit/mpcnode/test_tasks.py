"""The first one ends the others, and a cancellation at the same moment is not forgotten."""

import asyncio
import contextlib

import pytest

from mpcnode.tasks import AbandonedError, first_of


class EndedError(Exception):
    pass


async def never(ended: list[str]) -> str:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("never")
    return "never"


async def after(event: asyncio.Event, what: str) -> str:
    await event.wait()
    if what == "error":
        raise EndedError
    if what == "cancelled":
        raise asyncio.CancelledError
    return what


def test_the_first_result_ends_the_others() -> None:
    async def run() -> tuple[str, list[str]]:
        event, ended = asyncio.Event(), list[str]()
        event.set()
        return await first_of(never(ended), after(event, "first")), ended

    assert asyncio.run(run()) == ("first", ["never"])


def test_the_first_error_ends_the_others() -> None:
    ended: list[str] = []

    async def run() -> str:
        event = asyncio.Event()
        event.set()
        return await first_of(after(event, "error"), never(ended))

    with pytest.raises(EndedError):
        asyncio.run(run())
    assert ended == ["never"]


def test_of_two_that_end_together_the_one_given_first_counts() -> None:
    async def run() -> str:
        event = asyncio.Event()
        event.set()
        return await first_of(after(event, "first"), after(event, "error"))

    assert asyncio.run(run()) == "first"


def test_somebody_elses_cancellation_is_an_error_and_not_ours() -> None:
    async def run() -> str:
        event = asyncio.Event()
        event.set()
        return await first_of(after(event, "cancelled"), never([]))

    with pytest.raises(AbandonedError):
        asyncio.run(run())


@pytest.mark.parametrize("what", ["first", "error"])
@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_cancellation_that_meets_the_end_is_heeded(what: str, cancel_first: bool) -> None:
    async def redial(event: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(EndedError):
                await first_of(after(event, what), never([]))
            event.clear()

    async def run() -> bool:
        event = asyncio.Event()
        task = asyncio.create_task(redial(event))
        await asyncio.sleep(0.01)
        for step in (task.cancel, event.set) if cancel_first else (event.set, task.cancel):
            step()
        done, _ = await asyncio.wait([task], timeout=0.5)
        return bool(done) and task.cancelled()

    assert asyncio.run(run())
