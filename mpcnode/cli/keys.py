"""`mpcnode keys`: a new member's keys, and a validator's next one."""

import sys
from pathlib import Path

import click

from mpcnode.cli.output import json_option, show_json
from mpcnode.types import Role

_ROLES = [str(role.name).lower() for role in Role]


@click.group()
def keys() -> None:
    """Make a member's keys."""


_unprotected = click.option("--unprotected", is_flag=True, help="No passphrase: for development networks only.")


@keys.command()
@click.option("--name", required=True, help="The member's name: lower-case letters, digits, hyphens.")
@click.option("--company", required=True, help="Its company's name in the consortium document.")
@click.option("--role", type=click.Choice(_ROLES), required=True)
@click.option("--validator", is_flag=True, help="Make a vote key: at most one member of each company votes.")
@click.option("--class", "classes", multiple=True, help="Data class that a participant supplies; may be repeated.")
@click.option("--keys-dir", type=click.Path(path_type=Path), required=True, help="Where the private keys go, 0700.")
@click.option("--subject-key", type=click.Path(path_type=Path), help="The consortium's subject key file, if agreed.")
@_unprotected
@json_option
def new(  # noqa: PLR0917 - one argument for each option
    name: str,
    company: str,
    role: str,
    validator: bool,
    classes: tuple[str, ...],
    keys_dir: Path,
    subject_key: Path | None,
    unprotected: bool,
    as_json: bool,
) -> None:
    """Make a member's private keys and print its entry for the consortium document."""
    from mpcnode.adapters.clock import SystemClock  # noqa: PLC0415 - slow to load
    from mpcnode.adapters.key_making import NewMember, make_member_keys  # noqa: PLC0415
    from mpcnode.adapters.keystore import load_key  # noqa: PLC0415
    from mpcnode.devnet.rendering import MemberText, render_member  # noqa: PLC0415
    from mpcnode.sealing.keyfile import KeyKind  # noqa: PLC0415

    passphrase = None if unprotected else _ask_passphrase()
    agreed = None if subject_key is None else load_key(subject_key, KeyKind.SUBJECT, passphrase).secret
    member = NewMember(name=name, roles=Role[role.upper()], validator=validator)
    public = make_member_keys(keys_dir, member, SystemClock().now_ms(), agreed, passphrase)
    entry = render_member(MemberText(name=name, company=company, role=Role[role.upper()], keys=public, classes=classes))
    audit = None if public.audit is None else public.audit.hex()
    if as_json:
        show_json({"keys_dir": str(keys_dir), "member": entry, "audit_key": audit})
        return
    click.echo(entry, nl=False)
    if audit is not None:
        click.echo(f'\n# for [supervisor]\naudit_key = "{audit}"')


@keys.command()
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The key file to write.")
@_unprotected
@json_option
def vote(output: Path, unprotected: bool, as_json: bool) -> None:
    """Make a vote key and print its public half: for a member that is to vote, or to vote with another key.

    Propose the public half to the companies (`mpcnode ledger propose members.set_vote_key`), stop the daemon, put the
    file in the place of vote.key in its keys directory, start it. It observes until the companies have decided; and
    from then on if it still has the old key. A file that exists is not overwritten.
    """
    from mpcnode.adapters.key_making import make_signing_key  # noqa: PLC0415 - slow to load
    from mpcnode.sealing.keyfile import KeyKind  # noqa: PLC0415

    try:
        public = make_signing_key(output, KeyKind.VOTE, None if unprotected else _ask_passphrase())
    except FileExistsError as error:
        raise click.FileError(str(output), "expected no file yet, got one; it was not touched") from error
    if as_json:
        show_json({"file": str(output), "vote_key": public})
    else:
        click.echo(public.hex())


def _ask_passphrase() -> bytes:
    if not sys.stdin.isatty():
        raise click.UsageError("a passphrase is asked for on a terminal; --unprotected makes keys without one")
    answer: str = click.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()
