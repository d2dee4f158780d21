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


@receipt.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--consortium",
    "consortium_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="The consortium document; it is all that is trusted.",
)
@json_option
def verify(file: Path, consortium_path: Path, as_json: bool) -> int:
    """Verify a receipt FILE without a network; exit code 0 means that everything in it is proven."""
    from ledger.receipts import verify_receipt  # noqa: PLC0415 - slow to load
    from mpcnode.config.consortium import load_consortium  # noqa: PLC0415
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
        }
        for proven in verified.transactions
    ]
    if as_json:
        show_json({"valid": True, "chain": consortium.chain.hex(), "transactions": rows})
    else:
        cells = [[str(row[name]) for name in ("height", "method", "sender", "ok", "tx_id")] for row in rows]
        show_table(
            Table(columns=("height", "method", "sender", "ok", "transaction"), rows=cells, title="valid receipt")
        )
    return 0


def _name(consortium: "Consortium", key: bytes) -> str:
    member = consortium.member_by_identity(key)
    return member.name if member is not None else key.hex()
