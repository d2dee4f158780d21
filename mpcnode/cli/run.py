"""`mpcnode run`: one daemon, until it is told to stop."""

import os
import resource
from pathlib import Path

import click


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True, help="The daemon's node.toml.")
@click.option("--passphrase-fd", type=click.IntRange(min=0), help="Read the keys' passphrase from this descriptor.")
@click.option(
    "--kernels",
    type=click.Choice(("auto", "numpy", "numba")),
    default="auto",
    help="What runs the loops of computations: auto takes numba if it is installed.",
)
def run(path: Path, passphrase_fd: int | None, kernels: str) -> int:
    """Run this machine's daemon until SIGTERM or SIGINT.

    Under systemd the passphrase of the keys is the credential `passphrase`, and READY and STOPPING are notified.
    """
    from mpcnode import logs  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.keystore import load_keystore  # noqa: PLC0415
    from mpcnode.config.node import load_node  # noqa: PLC0415

    # no secret of this process may reach a core file or another user
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    config = load_node(path)
    logs.configure(config.log_level, config.log_format)
    keys = load_keystore(config.keys_dir, config.consortium, config.member, read_passphrase(passphrase_fd))

    # only now: it loads the contract's machine, and mistakes above should not wait for that
    from mpcnode import daemon  # noqa: PLC0415
    from mpcnode.mpc.kernels import Choice  # noqa: PLC0415

    return daemon.run(config, keys, Choice(kernels))


def read_passphrase(descriptor: int | None) -> bytes | None:
    """Read the passphrase from a descriptor or from systemd's credential; never from arguments or the environment."""
    if descriptor is not None:
        with os.fdopen(descriptor, "rb") as source:
            return source.read().rstrip(b"\n")
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / "passphrase"
    return credential.read_bytes().rstrip(b"\n") if credential.exists() else None
