"""`mpcnode receipt`: check a receipt offline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpcnode.cli.output import Table, json_option, show_json, show_table

if TYPE_CHECKING:
    from mpcnode.config.consortium import Consortium


@click.group()
def receipt() -> None:
    """Check what the ledger proves of a query."""


_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
_consortium = click.option(
    "--consortium",
    "consortium_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="The consortium document; it is all that is trusted.",
)


@receipt.command()
@_file
@_consortium
@json_option
def verify(file: Path, consortium_path: Path, as_json: bool) -> int:
    """Verify a receipt FILE without a network; exit code 0 means that everything in it is proven."""
    from ledger.receipts import verify_receipt  # noqa: PLC0415 - slow to load
    from mpcnode.client.opening import shown_queries  # noqa: PLC0415
    from mpcnode.config.consortium import load_consortium  # noqa: PLC0415
    from mpcnode.errors import RequestError  # noqa: PLC0415
    from mpcnode.sealing.keys import verify as verify_signature  # noqa: PLC0415

    consortium = load_consortium(consortium_path)
    verified = verify_receipt(file.read_bytes(), consortium.genesis(), verify_signature)
    rows = [
        {
            "height": proven.height,
            "time_ms": proven.timestamp_ms,
            "method": proven.transaction.method,
            "sender": _name(consortium, proven.transaction.sender),
            "ok": proven.receipt.ok,
            "tx_id": proven.tx_id.hex(),
            "block": proven.block_hash.hex(),
        }
        for proven in verified.transactions
    ]
    try:
        queries, unread = shown_queries(verified, consortium), None
    except RequestError as error:  # it proves transactions, but no query from its registration on
        queries, unread = [], str(error)
    if as_json:
        proven = {"transactions": rows, "queries": queries, "unread": unread}
        show_json({"valid": True, "chain": consortium.chain.hex(), **proven})
    else:
        cells = [[str(row[name]) for name in ("height", "method", "sender", "ok", "tx_id")] for row in rows]
        show_table(
            Table(columns=("height", "method", "sender", "ok", "transaction"), rows=cells, title="valid receipt")
        )
        newest = max(verified.transactions, key=lambda proven: proven.height)
        click.echo(f"newest block: height {newest.height}, {newest.block_hash.hex()}")
        for query in queries:
            verdict = f"verdict {query['verdict']}" if query["verdict"] else "no verdict"
            scope = "" if query["correlations"] == "dealer" else f" of the outcome only ({query['correlations']})"
            click.echo(f"query {query['query']}: {query['state']}, audit {query['audit']}{scope}, {verdict}")
        if unread is not None:
            click.echo(f"no query is shown: {unread}")
    return 0


@receipt.command()
@_file
@click.option("--known", required=True, help="Hash of one of both blocks, which you know to be final.")
@_consortium
@json_option
def consistency(file: Path, known: str, consortium_path: Path, as_json: bool) -> int:
    """Verify a consistency FILE without a network; exit code 0 means that one block is in the history of the other.

    `mpcnode ledger prove --since` writes it. Whoever keeps the newest head that he has seen can so find out that no
    block up to there was ever replaced, even by validators of the past.
    """
    from ledger.consistency import verify_consistency  # noqa: PLC0415 - slow to load
    from ledger.encoding import block_hash  # noqa: PLC0415
    from ledger.types import BlockHash  # noqa: PLC0415
    from mpcnode.config.consortium import load_consortium  # noqa: PLC0415
    from mpcnode.sealing.keys import verify as verify_signature  # noqa: PLC0415

    try:
        block = BlockHash(bytes.fromhex(known))
    except ValueError as error:
        raise click.BadParameter("expected 64 hexadecimal digits", param_hint="--known") from error
    chain = load_consortium(consortium_path).chain
    verified = verify_consistency(file.read_bytes(), chain, block, verify_signature)
    older, newer = (
        {"height": header.height, "hash": block_hash(header).hex(), "time_ms": header.timestamp_ms}
        for header in (verified.older, verified.newer)
    )
    if as_json:
        show_json({"valid": True, "chain": chain.hex(), "older": older, "newer": newer})
    else:
        click.echo(f"block {older['height']} ({older['hash']})")
        click.echo(f"is in the history of block {newer['height']} ({newer['hash']})")
    return 0


def _name(consortium: "Consortium", key: bytes) -> str:
    member = consortium.member_by_identity(key)
    return member.name if member is not None else key.hex()
