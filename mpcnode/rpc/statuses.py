"""Errors at the edge: the catalogue's code and public text go out, the message goes to the log, and back again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from mpcnode.errors import CATALOGUE, CallerError, ErrorCode, NodeError, UnavailableError, code_of

_log = structlog.get_logger(__name__)

CODE_KEY = "mpcnode-code"
"""Trailing metadata that carries the error code."""

_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}

_FINAL = {ErrorCode.PAST_DEADLINE, ErrorCode.EXPIRED, ErrorCode.QUOTA_EXCEEDED}
"""Codes that the other side will say again, though callers usually retry after their status."""


@asynccontextmanager
async def translated(context: grpc.aio.ServicerContext[Any, Any], *, in_full: bool = False) -> AsyncIterator[None]:
    """Run a handler's body; whatever it raises ends the call with its code, its status and its public text.

    With `in_full` the message itself goes out: to the daemon's own administrators only.
    """
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge: nothing but a status may leave it
        code = report(error)
        entry = CATALOGUE[code]
        status = grpc.StatusCode[entry.grpc]
        await context.abort(status, str(error) if in_full else f"{code}: {entry.public}", ((CODE_KEY, str(code)),))


def report(error: Exception) -> ErrorCode:
    """Log what a handler raised; return the code that goes out for it."""
    code = code_of(error)
    if code is ErrorCode.INTERNAL:
        _log.error("call.failed", code=code, exc_info=error)
    else:
        _log.info("call.refused", code=code, reason=str(error))
    return code


_CODES = {str(code): code for code in ErrorCode}


def error_of(failure: grpc.aio.AioRpcError, *, in_full: bool = False) -> NodeError:
    """Return the error that a failed call stands for: the other side's code, or `UNAVAILABLE` if it never answered.

    Its message is the code's public text, or, with `in_full`, what the other side said.
    """
    code = _code_sent(failure)
    if code is None:
        return UnavailableError(f"no answer from the other side ({failure.code().name.lower()}: {failure.details()})")
    kind = UnavailableError if is_passing(failure) else CallerError
    return kind(failure.details() or "" if in_full else CATALOGUE[code].public, code)


def refusal(said: str) -> NodeError:
    """Return the error for a code by which the other side refused something; `INTERNAL` if the code is unknown."""
    code = _CODES.get(said, ErrorCode.INTERNAL)
    entry = CATALOGUE[code]
    passes = grpc.StatusCode[entry.grpc] in _PASSING and code not in _FINAL
    return (UnavailableError if passes else CallerError)(entry.public, code)


def is_answer(failure: grpc.aio.AioRpcError) -> bool:
    """Tell whether the other side itself refused the call; else nobody knows whether it did anything."""
    return _code_sent(failure) is not None


def is_passing(failure: grpc.aio.AioRpcError) -> bool:
    """Tell whether the same call may succeed later."""
    return failure.code() in _PASSING and _code_sent(failure) not in _FINAL


def _code_sent(failure: grpc.aio.AioRpcError) -> ErrorCode | None:
    sent: dict[str, Any] = dict(failure.trailing_metadata() or ())  # type: ignore[arg-type]  # stubs: not iterable
    return _CODES.get(sent.get(CODE_KEY, ""))
