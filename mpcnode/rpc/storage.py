"""Care of a daemon's files on its control socket, for the administrators of its machine (`mpcnode.rpc.control`)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc

from ledger.ports import Compaction
from ledger.types import Height
from mpcnode.errors import UnavailableError
from mpcnode.rpc.control import open_control
from mpcnode.rpc.statuses import error_of, translated
from mpcnode.v1 import store_pb2, store_pb2_grpc


class StoreServicer(store_pb2_grpc.StoreServiceServicer):
    """Takes administrators' calls."""

    def __init__(self, compact: Callable[[], AsyncGenerator[Compaction, None]]) -> None:
        """Take what removes old state and tells how far it is."""
        self._compact = compact

    async def Compact(  # noqa: N802 - gRPC's name
        self, _request: store_pb2.CompactRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[store_pb2.CompactResponse]:
        """Remove old state."""
        async with translated(context, in_full=True), aclosing(self._compact()) as steps:
            async for step in steps:
                yield store_pb2.CompactResponse(
                    kept=step.kept, removed=step.removed, states_from=step.states_from, done=step.done
                )


def add_store_service(server: grpc.aio.Server, servicer: StoreServicer) -> None:
    """Let a control socket take care of files."""
    store_pb2_grpc.add_StoreServiceServicer_to_server(servicer, server)


async def compact_daemon(path: Path, progress: Callable[[Compaction], None]) -> Compaction:
    """Have the daemon behind a control socket remove old state, and wait until that is done.

    Args:
        path: the socket.
        progress: told how far it is.

    Raises:
        UnavailableError: nobody answers there, or it ended before it was done.
    """
    async with open_control(path) as channel:
        answers = store_pb2_grpc.StoreServiceStub(channel).Compact(store_pb2.CompactRequest())
        try:
            async for answer in answers:
                step = Compaction(
                    kept=answer.kept,
                    removed=answer.removed,
                    states_from=Height(answer.states_from),
                    done=answer.done,
                )
                if step.done:
                    return step
                progress(step)
        except grpc.aio.AioRpcError as failure:
            raise UnavailableError(f"{path}: {error_of(failure, in_full=True)}") from failure
    raise UnavailableError(f"{path}: expected the daemon to go on until it is done, got its end")
