"""What daemons' logs say about a query: when its committee began and had output shares, what its audit took."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mpcnode.devnet.plan import Layout

BEGAN, FORMED = "session.began", "session.outputs_formed"
AUDITED = ("audit.recomputed", "audit.judged")


class MissingLinesError(Exception):
    """Daemons did not log what was expected of a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One query's joint computation, by the machine's clock."""

    seconds: float
    """From when the first node of the committee saw all inputs committed until every one of it had its output share."""
    stages: Mapping[str, float]
    """Seconds that the slowest node spent in each of them."""
    chunks: int
    rounds: int
    audit_s: float
    """The auditor's recomputation, replay and judgement, without its waits for others; 0 if there was none."""


def timeline(layout: Layout, query: str, nodes: int) -> Timeline:
    """Read a query's lines in all logs.

    Args:
        layout: the network.
        query: the query's id, hex.
        nodes: of a committee.

    Raises:
        MissingLinesError: a node has not logged its part, or the query was tried more than once.
    """
    lines = [line for name in layout.daemons() for line in _lines_about(layout, name, query)]
    return read_timeline(lines, nodes)


def read_timeline(lines: Iterable[Mapping[str, Any]], nodes: int) -> Timeline:
    """Make a timeline of a query's lines, as JSON has them; arguments and errors are those of `timeline`."""
    named: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        named.setdefault(line["event"], []).append(line)
    began, formed = named.get(BEGAN, []), named.get(FORMED, [])
    if (len(began), len(formed)) != (nodes, nodes):
        raise MissingLinesError(f"expected {nodes} lines {BEGAN} and {FORMED}, got {len(began)} and {len(formed)}")
    stages = {key for line in formed for key in line if key.endswith("_s")}
    return Timeline(
        seconds=max(map(_time, formed)) - min(map(_time, began)),
        stages={stage: max(line.get(stage, 0.0) for line in formed) for stage in sorted(stages)},
        chunks=formed[0]["chunks"],
        rounds=formed[0]["rounds"],
        audit_s=sum(line["seconds"] for event in AUDITED for line in named.get(event, [])),
    )


def _lines_about(layout: Layout, name: str, query: str) -> list[Mapping[str, Any]]:
    with layout.node(name).log.open(encoding="utf-8") as log:
        lines = [json.loads(line) for line in log if query in line]
    return [line for line in lines if line.get("query") == query]


def _time(line: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()
