"""`mpcnode model`: what a model costs and says, before anything runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpcnode.cli.output import Table, json_option, show_json, show_rows, show_table
from mpcnode.types import COMMITTEE_MAX

if TYPE_CHECKING:
    from mpcnode.scorecard import Explanation, Layout


@click.group()
def model() -> None:
    """Look at a model before it is used."""


@model.command()
@click.argument("model_name", metavar="MODEL")
@click.option("--nodes", type=click.IntRange(2, COMMITTEE_MAX), default=3, show_default=True, help="Of the committee.")
@click.option("--subjects", type=click.IntRange(min=1), default=1, show_default=True, help="How many are asked for.")
@click.option(
    "--consortium",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The consortium document: MODEL is a name in it, the panel its participants.",
)
@json_option
def explain(model_name: str, *, nodes: int, subjects: int, consortium: Path | None, as_json: bool) -> None:
    """Show rounds, bytes, one-time randomness, rings, the coverage rule and the outputs of a model.

    MODEL is a model document; each of its data classes then has one supplier, a member of its own. Everything follows
    from the model, the panel and the numbers: nothing is asked, and no run will differ.
    """
    from mpcnode.mpc.kernels import Choice, would_choose  # noqa: PLC0415 - slow to load
    from mpcnode.scorecard import explain_model  # noqa: PLC0415

    layout = _from_file(Path(model_name)) if consortium is None else _from_consortium(model_name, consortium)
    explained = explain_model(layout, nodes, subjects)
    kernels = would_choose(Choice.AUTO).value
    if as_json:
        show_json(_fields(layout, explained, kernels))
    else:
        _show(layout, explained, kernels)


def _from_file(path: Path) -> "Layout":
    """A document's model, and a panel of one member for each class."""
    from mpcnode.config.models import read_model  # noqa: PLC0415 - slow to load
    from mpcnode.scorecard import PanelMember, lay_out  # noqa: PLC0415
    from mpcnode.types import MemberIndex  # noqa: PLC0415

    document = read_model(path)
    seats = (
        PanelMember(member=MemberIndex(seat), classes=frozenset((name,))) for seat, name in enumerate(document.classes)
    )
    return lay_out(document, seats)


def _from_consortium(name: str, path: Path) -> "Layout":
    """A listed model, and a panel of all participants that supply one of its classes."""
    from mpcnode.config.consortium import load_consortium  # noqa: PLC0415 - slow to load
    from mpcnode.config.models import load_model  # noqa: PLC0415
    from mpcnode.scorecard import PanelMember, lay_out  # noqa: PLC0415
    from mpcnode.types import Role  # noqa: PLC0415

    consortium = load_consortium(path)
    listed = consortium.model(name)
    document = load_model(consortium, listed)
    seats = (
        PanelMember(
            member=member.index,
            classes=frozenset(name for bit, name in enumerate(consortium.classes) if member.classes >> bit & 1),
        )
        for member in consortium.with_role(Role.PARTICIPANT)
        if member.classes & listed.classes
    )
    return lay_out(document, seats)


def _fields(layout: "Layout", explained: "Explanation", kernels: str) -> dict[str, Any]:
    """Return everything, for programs."""
    from mpcnode.scorecard import model_hash  # noqa: PLC0415 - slow to load

    document = layout.model
    return {
        "model": document.name,
        "hash": model_hash(document),
        **asdict(explained),
        "ranges": {**asdict(explained.ranges), "ring_bits": explained.ranges.ring_bits},
        "bytes_to_each_node": explained.bytes_to_each_node,
        "bytes_to_last_node": explained.bytes_to_last_node,
        "minimum_coverage": document.minimum_coverage,
        "coverage_bands": document.coverage_bands,
        "grades": [grade.name for grade in document.grades],
        "audit": _audit(layout),
        "kernels": kernels,
    }


def _show(layout: "Layout", explained: "Explanation", kernels: str) -> None:
    """Print everything, for people."""
    document, ranges = layout.model, explained.ranges
    counted = sum(seated.counted for seated in explained.panel)
    rows = [
        ("model", f"{document.name}, version {document.version}"),
        ("subjects", f"{explained.subjects:,}; chunks: {explained.chunks:,}"),
        ("nodes", f"{explained.nodes}"),
        ("panel", f"participants: {len(explained.panel)}; values: {_values(layout)}"),
        (
            "rows",
            f"{sum(item.row_bytes for item in explained.panel):,} bytes to each node, from all participants",
        ),
        ("  values", f"{ranges.row_bits} bits each"),
        ("not supplied", ", ".join(explained.unsupplied) or "nothing"),
        ("coverage", f"at least {document.minimum_coverage} of {counted} know the subject, else no grade"),
        ("bands", ", ".join(map(str, document.coverage_bands)) or "none"),
        ("answer", f"insufficient, or one of {', '.join(grade.name for grade in document.grades)}"),
        ("  different", f"{explained.outcomes}; bytes for a subject: {explained.output_bytes}"),
        ("  audit", _audit(layout)),
        ("score", f"{ranges.score_min:,} to {ranges.score_max:,}, never opened"),
        (
            "rings",
            f"{_compared(ranges.value_bits)}score {ranges.score_bits} bits, coverage {ranges.coverage_bits} bits",
        ),
        ("  points", f"mod 2^{ranges.ring_bits}"),
        ("kernels here", kernels),
    ]
    show_rows(rows)
    click.echo()
    totals = [(str(place), f"{size:,}") for place, size in enumerate(explained.round_bytes, 1)]
    totals.append(("all", f"{explained.bytes_to_each_node:,}"))
    show_table(Table(columns=("round", "bytes to each other node"), rows=totals))
    click.echo()
    dealt = [(item.label, f"{item.free_bytes:,}", f"{item.corrected_bytes:,}") for item in explained.correlations]
    dealt.append(
        (
            "all",
            f"{sum(item.free_bytes for item in explained.correlations):,}",
            f"{sum(item.corrected_bytes for item in explained.correlations):,}",
        )
    )
    show_table(Table(columns=("correlation", "bytes of masks", "bytes to the last node"), rows=dealt))


def _values(layout: "Layout") -> str:
    """How many values the panel supplies, and what becomes of them."""
    supplied = [layout.model.attributes[place] for row in layout.rows for place in row]
    earned = sum(attribute.earns_value for attribute in supplied)
    return f"{len(supplied)}" + (f", {earned} of them earned as they are" if earned else "")


def _compared(value_bits: int) -> str:
    return f"values {value_bits} bits, " if value_bits else "no value is compared; "


def _audit(layout: "Layout") -> str:
    return layout.model.audit.name.lower().replace("_", " ")
