"""`mpcnode ledger members`: who belongs to the consortium now."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.ledger.options import ask_or_read, config_option
from mpcnode.cli.output import Table, json_option, short_hex, show_json, show_table

if TYPE_CHECKING:
    from mpcnode.governance.standing import Standing


@click.command()
@config_option
@json_option
def members(config: Path, as_json: bool) -> None:
    """Show where every member stands.

    As of the newest block: asks the running daemon, or reads its files if none runs. A company's delegate proposes
    and votes for it: its validator, else its active member of the lowest index.
    """
    from mpcnode.adapters.replica_standing import read_standing  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415
    from mpcnode.rpc.governance import fetch_members  # noqa: PLC0415

    node = load_node(config)
    found = ask_or_read(node, fetch_members, lambda store: read_standing(store, node.consortium))
    if as_json:
        show_json({"height": found.height, "members": [_fields(member) for member in found.members]})
        return
    columns = ("#", "member", "company", "role", "state", "delegate", "identity", "vote key")
    show_table(Table(columns=columns, rows=[_cells(member) for member in found.members]))
    click.echo(f"as of height {found.height}")


def _fields(member: "Standing") -> dict[str, object]:
    return {
        "index": member.index,
        "name": member.name,
        "company": member.company_name,
        "company_index": member.company,
        "roles": _roles(member),
        "state": _state(member),
        "delegate": member.is_delegate,
        "address": member.address,
        "vote_key": member.vote_key,
    }


def _cells(member: "Standing") -> list[str]:
    return [
        str(member.index),
        member.name,
        member.company_name,
        " ".join(_roles(member)),
        _state(member),
        "yes" if member.is_delegate else "",
        short_hex(member.address),
        "" if member.vote_key is None else short_hex(member.vote_key),
    ]


def _roles(member: "Standing") -> list[str]:
    return [(role.name or "").lower() for role in member.roles]


def _state(member: "Standing") -> str:
    return "active" if member.active else "suspended"
