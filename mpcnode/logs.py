"""The daemon's log: structured lines, JSON off a terminal, and nothing secret in them.

What may be printed is listed by type, not what may not: text, numbers, enumerations, paths, and byte strings of at
most 32 bytes in the fields of `PUBLIC_BYTES`. Everything else leaves only its type and size. Other libraries' logs go
through the same pipeline, warnings and worse.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from mpcnode.types import QueryId

PUBLIC_BYTES = frozenset({"query", "session", "block", "tx", "model", "chain", "state", "member_key", "validator"})
"""Fields whose byte strings are names that everybody may know; they are printed as hex."""

PUBLIC_BYTES_MAX = 32

_DEPTH_MAX = 4


def configure(
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["auto", "json", "console"],
    stream: TextIO | None = None,
) -> None:
    """Set up the whole process's log on `stream` (standard error if None)."""
    target = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and target.isatty())
    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        redact,
    ]
    if not console:
        shared.append(structlog.processors.format_exc_info)
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    _route_library_logs(target, shared, render, max(threshold, logging.WARNING))


def about_query(query: QueryId) -> AbstractContextManager[None]:
    """Name the query in every line logged inside the context."""
    return structlog.contextvars.bound_contextvars(query=query)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
    """Replace every value that is not of a listed type by its type and size."""
    for name, value in event.items():
        if name not in {"exc_info", "_record"}:
            event[name] = _public(name, value, _DEPTH_MAX)
    return event


def _public(name: str, value: object, depth: int) -> object:
    match value:
        case Enum():
            shown: object = value.name
        case None | bool() | int() | float() | str():
            shown = value
        case bytes() if name in PUBLIC_BYTES and len(value) <= PUBLIC_BYTES_MAX:
            shown = value.hex()
        case bytes() | bytearray() | memoryview():
            shown = f"<{len(value)} bytes>"
        case Path():
            shown = str(value)
        case BaseException():
            shown = f"{type(value).__name__}: {value}"
        case Mapping() if depth:
            shown = {str(key): _public(str(key), item, depth - 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            shown = [_public(name, item, depth - 1) for item in value]
        case _:
            shown = f"<{type(value).__name__}>"
    return shown


def _route_library_logs(target: TextIO, shared: list[Processor], render: Processor, threshold: int) -> None:
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()  # noqa: TID251 - the place that routes what libraries log
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    logging.captureWarnings(capture=True)
