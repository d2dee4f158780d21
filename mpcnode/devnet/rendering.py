"""The files of a consortium as text: its document, one annotated file for each daemon, an inquirer's profile.

What is written here is read back through `mpcnode.config`, which knows the rules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mpcnode.adapters.key_making import PublicKeys
from mpcnode.types import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberText:
    """A member as the consortium document lists it."""

    name: str
    company: str
    role: Role
    keys: PublicKeys
    classes: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeText:
    """What a daemon's own file says."""

    name: str
    role: Role
    consortium: str
    """Path of the consortium document, from the file."""
    listen_port: int
    inquiry_port: int | None
    peers: Mapping[str, int]
    """Port of every other member, all on 127.0.0.1."""
    records: str | None
    """Path of a participant's records, from the file."""


def role_name(role: Role) -> str:
    """Return a role as documents write it."""
    return (role.name or "").lower()


def text_list(values: Iterable[str]) -> str:
    """Return a TOML array of texts that need no escapes."""
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def render_member(member: MemberText) -> str:
    """Return the [[member]] table that a new member hands to the consortium."""
    keys = member.keys
    lines = [
        "[[member]]",
        f'name = "{member.name}"',
        f'company = "{member.company}"',
        f'role = "{role_name(member.role)}"',
        f'identity = "{keys.identity.hex()}"',
        f'sealing = "{keys.sealing.hex()}"',
    ]
    if keys.vote is not None:
        lines.append(f'vote = "{keys.vote.hex()}"')
    if member.classes:
        lines.append(f"classes = {text_list(member.classes)}")
    if member.anchors:
        lines.append(f"anchors = {text_list(member.anchors)}")
    lines += [f'tls_signature = "{keys.certificate_signature.hex()}"', f'tls = """\n{keys.certificate}"""']
    return "\n".join(lines) + "\n"


def render_node(node: NodeText) -> str:
    """Return a daemon's node.toml."""
    inquiry = "" if node.inquiry_port is None else f'\n# Inquirers ask here.\ninquiry = "127.0.0.1:{node.inquiry_port}"'
    peers = "\n".join(f'{name} = "127.0.0.1:{port}"' for name, port in node.peers.items())
    records = "" if node.records is None else _RECORDS.format(file=node.records)
    return _NODE.format(
        name=node.name,
        role=role_name(node.role),
        consortium=node.consortium,
        port=node.listen_port,
        inquiry=inquiry,
        peers=peers,
        records=records,
    )


_NODE = """\
# One daemon of the consortium; start it with: mpcnode run --config THIS_FILE
# Relative paths begin at this file's directory. No secret belongs in here: keys lie in keys_dir, one file each, 0600.

[node]
# As the consortium document lists it; role must be the same there.
name = "{name}"
role = "{role}"
consortium = "{consortium}"
# Ledger replica and journal. One daemon at a time; never restore it from a backup while the daemon's peers run on.
data_dir = "data"
keys_dir = "keys"

[listen]
# Other members connect here: mutual TLS, certificates pinned by the consortium document.
peers = "127.0.0.1:{port}"{inquiry}
# `mpcnode status` and `mpcnode health` ask here; at most 107 bytes, in a directory of mode 0700.
control = "run/control.sock"

# Where every other member listens.
[peers]
{peers}
{records}
[log]
# debug, info, warning, error
level = "info"
# auto: for people on a terminal, JSON elsewhere
format = "auto"

[limits]
# From SIGTERM until what still runs is given up.
drain_ms = 15000
# Calls under way at once at each listener, streams included.
calls_max = 1024
# Longest wait of an MPC node for all shares, the deal, and everybody's accept, each, before it fails an attempt.
preparation_ms = 5000
# Longest wait of an MPC node for all rounds of a session, and for everybody's end, each.
computation_ms = 5000
# Bodies of queries about many subjects on this daemon's disk, in MiB; of those, at an operator, what it keeps of one
# inquirer that has not asked about it yet (a query about 1,000,000 subjects is 92).
blobs_mib = 8192
offers_mib = 256
# Sessions that an MPC node makes correlations for in advance, for each committee and program, where nobody deals.
stock_items = 16
"""

_RECORDS = """
# The company's own records: CSV with a header; a column for each attribute, integers, empty where unknown.
[records]
file = "{file}"
id_column = "subject"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileText:
    """What an inquirer's file says."""

    name: str
    consortium: str
    operator_port: int
    operator_certificate: str
    purpose: str


def render_profile(profile: ProfileText) -> str:
    """Return an inquirer's profile.toml."""
    return _PROFILE.format(
        name=profile.name,
        consortium=profile.consortium,
        port=profile.operator_port,
        tls=profile.operator_certificate,
        purpose=profile.purpose,
    )


_PROFILE = """\
# Whom this inquirer asks, and as whom. Relative paths begin at this file's directory. No secret belongs in here.

[inquirer]
name = "{name}"
consortium = "{consortium}"
key_file = "inquirer.key"
# Turns identifiers into pseudonyms. Whoever holds it can try identifiers out: guard it like the records.
subject_key_file = "subject.key"
# Opened answers, one 0600 file each.
answers_dir = "answers"

[defaults]
purpose = "{purpose}"
# From now until companies must have contributed, and until the query expires.
contribute_by_ms = 5000
deadline_ms = 30000

[operator]
address = "127.0.0.1:{port}"
# The one certificate that this channel trusts.
tls = \"\"\"
{tls}\"\"\"
"""
