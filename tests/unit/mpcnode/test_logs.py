"""What reaches the log, and what never does."""

import io
import json
import logging
import warnings
from enum import IntEnum
from pathlib import Path

import pytest
import structlog

from mpcnode import logs
from mpcnode.sealing.keys import SigningKey
from mpcnode.types import QueryId

QUERY = QueryId(bytes(range(32)))
SECRET = bytes(range(100, 132))


class Color(IntEnum):
    RED = 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log():
    """The log's lines after its context, as text."""
    stream = io.StringIO()
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    logs.configure("info", "json", stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def only_line(stream):
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_lines_are_json_with_level_and_time(log):
    structlog.get_logger("x").info("order.kept", attempt=2, at=Path("/x"), state=Color.RED, ok=True, none=None)
    line = only_line(log)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "order.kept",
        "level": "info",
        "attempt": 2,
        "at": "/x",
        "state": "RED",
        "ok": True,
        "none": None,
    }


def test_lines_below_the_level_are_dropped(log):
    structlog.get_logger().debug("x")
    assert log.getvalue() == ""


def test_the_query_is_in_every_line_of_its_context(log):
    with logs.about_query(QUERY):
        structlog.get_logger().info("x")
    structlog.get_logger().info("y")
    first, second = (json.loads(line) for line in log.getvalue().splitlines())
    assert first["query"] == QUERY.hex()
    assert "query" not in second


def forms(secret):
    return secret.hex(), repr(secret)[2:-1], str(list(secret))[1:-1]


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        bytearray(SECRET),
        memoryview(SECRET),
        [SECRET],
        {"inner": (SECRET,)},
        SigningKey(SECRET),
        [[[[[[SECRET]]]]]],
        type("Share", (), {"__repr__": lambda _self: SECRET.hex()})(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_byte_strings_and_unknown_types_are_not_printed(log, value):
    structlog.get_logger().info("x", field=value)
    text = log.getvalue()
    assert "field" in text
    assert not any(form in text for form in forms(SECRET))


def test_only_names_that_everybody_may_know_print_as_hex(log):
    structlog.get_logger().info("x", block=SECRET, share=SECRET, session=SECRET + b"1")
    line = only_line(log)
    assert line["block"] == SECRET.hex()
    assert line["share"] == "<32 bytes>"
    assert line["session"] == "<33 bytes>"


def test_tracebacks_show_no_values(log):
    def failing(share):
        raise ValueError("expected 3 nodes, got 2")

    try:
        failing(SECRET)
    except ValueError:
        structlog.get_logger().exception("call.failed")
    line = only_line(log)
    assert "expected 3 nodes, got 2" in line["exception"]
    assert not any(form in line["exception"] for form in forms(SECRET))


def test_libraries_log_through_the_same_pipeline(log):
    with logs.about_query(QUERY):
        logging.getLogger("grpc._server").warning("lost %d", 3)
    logging.getLogger("grpc._server").info("chatter")
    line = only_line(log)
    assert (line["event"], line["logger"], line["level"], line["query"]) == (
        "lost 3",
        "grpc._server",
        "warning",
        QUERY.hex(),
    )


def test_warnings_are_logged(log):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", "json", log)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "old" in only_line(log)["event"]


def test_people_on_a_terminal_get_no_json(log):
    terminal = Terminal()
    logs.configure("info", "auto", terminal)
    structlog.get_logger().info("order.kept", share=SECRET)
    assert "order.kept" in terminal.getvalue()
    assert "{" not in terminal.getvalue()
    assert "32 bytes" in terminal.getvalue()


def test_files_get_json(log):
    logs.configure("info", "auto", log)
    structlog.get_logger().info("x")
    assert only_line(log)["event"] == "x"
