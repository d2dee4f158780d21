"""`mpcnode ledger rejoin`: companies let a validator vote again that lost its log."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.ledger.options import config_option, confirm, duration, time_of, yes_option
from mpcnode.cli.output import Table, json_option, show_json, show_table
from mpcnode.errors import ConfigError

if TYPE_CHECKING:
    from ledger.replica.rejoining import Rejoin
    from mpcnode.adapters.rejoin_files import Tally

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def rejoin() -> None:
    """Let a validator vote again that lost its log.

    Only for when more than f validators lost theirs, and the network stands still. The validator requests, the
    delegates of more than two thirds of the companies sign, the validator applies. A lost log alone needs none of
    this: the validator waits for the next height by itself.
    """


@rejoin.command()
@_file
@click.option(
    "--expires-in", type=duration, default="24h", show_default=True, help="Life of the statement, at most 7d."
)
@config_option
@json_option
def request(file: Path, expires_in: int, config: Path, as_json: bool) -> None:
    """Write what the companies are to sign.

    Into FILE, for this validator. Its daemon runs and has caught up: the height is the one that it, and so the
    network, is stuck at.
    """
    from ledger.replica.rejoining import REJOIN_MS_MAX, Rejoin  # noqa: PLC0415 - slow to load
    from ledger.types import Height, Millis, ReplicaId  # noqa: PLC0415
    from mpcnode.adapters.clock import SystemClock  # noqa: PLC0415
    from mpcnode.adapters.rejoin_files import create_rejoin  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415
    from mpcnode.rpc.governance import fetch_members  # noqa: PLC0415

    node = load_node(config)
    if expires_in > REJOIN_MS_MAX:
        raise click.BadParameter("expected at most 7d", param_hint="--expires-in")
    members = asyncio.run(fetch_members(node.control))
    key = members.members[node.member.index].vote_key
    if key is None:
        raise ConfigError(f"{node.member.name}: expected a validator, got a member without a vote key")
    statement = Rejoin(
        chain=node.consortium.chain,
        replica=ReplicaId(node.member.index),
        vote_key=key,
        sign_from=Height(members.height + 1),
        expires_ms=Millis(SystemClock().now_ms() + expires_in),
    )
    try:
        create_rejoin(file, statement)
    except FileExistsError as error:
        raise click.FileError(str(file), "File exists") from error
    _show(file, node.member.name, statement, None, as_json=as_json)


@rejoin.command()
@_file
@yes_option
@config_option
@json_option
def sign(file: Path, yes: bool, config: Path, as_json: bool) -> None:
    """Sign for this company.

    Adds a signature to FILE; the running daemon of the company's delegate makes it. The daemon refuses if it knows
    a vote of that validator at that height, or another newest block. What no daemon can know, ask the others before
    you sign (docs/operations.md).
    """
    from mpcnode.adapters.rejoin_files import add_signature, count, read_rejoin  # noqa: PLC0415 - slow to load
    from mpcnode.config.node import load_node  # noqa: PLC0415
    from mpcnode.rpc.governance import fetch_members, sign_rejoin  # noqa: PLC0415

    node = load_node(config)
    found = read_rejoin(file)
    members = asyncio.run(fetch_members(node.control))
    name = next((m.name for m in members.members if m.vote_key == found.rejoin.vote_key), "no validator")
    if not as_json:
        _show(file, name, found.rejoin, None, as_json=False)
        company = node.consortium.companies[node.member.company]
        click.echo(f"\n{company} states: this vote key has signed nothing at that height or above.")
    confirm("Sign it?", yes=yes, as_json=as_json)
    key, signature = asyncio.run(sign_rejoin(node.control, found.rejoin))
    tally = count(add_signature(file, found, key, signature), members)
    if as_json:
        _show(file, name, found.rejoin, tally, as_json=True)
    else:
        click.echo(_standing(tally))


@rejoin.command()
@click.argument("files", type=click.Path(path_type=Path, dir_okay=False), nargs=-1, required=True)
@config_option
@json_option
def apply(files: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Vote again by what was signed.

    Into the files of this validator, while its daemon does not run. Several files of one statement, signed apart,
    count together. Done once; the next start asks the others and votes.
    """
    from ledger.types import ReplicaId  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.clock import SystemClock  # noqa: PLC0415
    from mpcnode.adapters.rejoin_files import Ownership, apply_rejoin, read_all  # noqa: PLC0415
    from mpcnode.adapters.replica_files import open_replica  # noqa: PLC0415
    from mpcnode.adapters.replica_standing import read_standing  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    node = load_node(config)
    found = read_all(files)
    own = Ownership(node.consortium.chain, ReplicaId(node.member.index))
    with open_replica(node) as store:
        members = asyncio.run(read_standing(store, node.consortium))
        tally = apply_rejoin(store, found, members, own, SystemClock().now_ms())
    if as_json:
        _show(files[0], node.member.name, found.rejoin, tally, as_json=True)
    else:
        click.echo(f"{node.member.name}: votes from height {found.rejoin.sign_from} on; {_standing(tally)}")


def _standing(tally: "Tally") -> str:
    enough = "enough" if tally.is_carried else "more than two thirds are needed"
    return f"signed by {tally.signed} of {tally.companies} companies: {enough}"


def _show(file: Path, name: str, statement: "Rejoin", tally: "Tally | None", *, as_json: bool) -> None:
    if as_json:
        found = {
            "file": str(file),
            "member": name,
            "chain": statement.chain,
            "replica": statement.replica,
            "vote_key": statement.vote_key,
            "sign_from": statement.sign_from,
            "expires_ms": statement.expires_ms,
            "signed": 0 if tally is None else tally.signed,
            "companies": None if tally is None else tally.companies,
        }
        show_json(found)
        return
    rows = [
        ("validator", f"{name} (member {statement.replica})"),
        ("vote key", statement.vote_key.hex()),
        ("chain", statement.chain.hex()),
        ("votes from", f"height {statement.sign_from}"),
        ("expires", time_of(statement.expires_ms)),
    ]
    show_table(Table(columns=("statement", str(file)), rows=rows))
