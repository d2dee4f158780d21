"""Options that the ledger's commands share."""

from pathlib import Path

import click

config_option = click.option("--config", type=click.Path(path_type=Path), required=True, help="The daemon's node.toml.")
"""Every command about one replica takes it."""
