"""The program `mpcnode`: its commands by name, and the one place where errors become a line and an exit code.

To add a command, write its module and add a line to `COMMANDS`. Modules are loaded when their command runs; what is
slow to load is imported inside the commands.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import click

from mpcnode.errors import CATALOGUE, Exit, code_of

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("mpcnode.cli.run", "Run this machine's daemon."),
        "status": ("mpcnode.cli.node", "Tell how a running daemon is."),
        "health": ("mpcnode.cli.node", "Tell whether a running daemon does its work."),
        "query": ("mpcnode.cli.query", "Ask, and show answers."),
        "model": ("mpcnode.cli.model", "What a model costs and says."),
        "receipt": ("mpcnode.cli.receipt", "Check a receipt offline."),
        "keys": ("mpcnode.cli.keys", "Make a member's keys."),
        "ledger": ("mpcnode.cli.ledger", "A replica's files, and what the companies decide."),
        "devnet": ("mpcnode.cli.devnet", "Run a whole consortium on this machine."),
    }
)
"""Module and short help of every command; the module has the command under the command's name."""

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


class Commands(click.Group):
    """A group that loads a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(name="mpcnode", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="mpcnode")
def mpcnode(debug: bool) -> None:
    """A joint credit query network: secure computation among companies, audited on a ledger of their own.

    Exit codes: 0 done; 1 an error inside; 2 wrong usage; 10-19 queries; 20-29 ledger and receipts; 30-39 this machine
    and its configuration; 40-49 network. docs/errors.md lists them.
    """


def main() -> None:
    """Run the program and end it with its exit code."""
    # the C core writes lines of its own to standard error; what matters reaches the caller as a status
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    debug = "--debug" in sys.argv[1:2]
    try:
        result = mpcnode.main(prog_name="mpcnode", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("mpcnode: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the edge: whatever went wrong becomes a line and a code
        if debug:
            traceback.print_exc()
        sys.exit(explain(error))
    sys.exit(result if isinstance(result, int) else Exit.OK)


def explain(error: Exception) -> int:
    """Tell on standard error what went wrong; return the exit code."""
    cause = next(_leaves(error))
    code = code_of(cause)
    entry = CATALOGUE[code]
    if entry.exit is Exit.INTERNAL:
        click.echo(f"mpcnode: {code}: {type(cause).__name__}: {cause} (mpcnode --debug … shows where)", err=True)
    else:
        click.echo(f"mpcnode: {code}: {cause}", err=True)
    return int(entry.exit)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
