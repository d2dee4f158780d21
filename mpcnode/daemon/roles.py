"""Which role runs in a daemon, and what it is given."""

import hashlib
from collections.abc import Mapping
from typing import Protocol

from ledger.types import InquirerRecord
from mpcnode.adapters.clock import SystemClock
from mpcnode.adapters.keystore import Keystore
from mpcnode.adapters.randomness import random_bytes
from mpcnode.adapters.records import Range, load_records
from mpcnode.config.models import load_model
from mpcnode.config.node import NodeConfig
from mpcnode.errors import ConfigError, LocalError
from mpcnode.query.committee import address_of
from mpcnode.query.messages import Kind
from mpcnode.roles.auditing import AuditKeyring
from mpcnode.roles.compute import Compute
from mpcnode.roles.context import Context, Timing
from mpcnode.roles.operator import Operator
from mpcnode.roles.participant import Participant
from mpcnode.roles.ports import BlobsPort, Handler, JournalPort, LedgerPort, PeersPort
from mpcnode.roles.programs import supplied_classes
from mpcnode.roles.supervisor import Supervisor
from mpcnode.types import Member, MemberIndex, Role

_JOURNAL_PERSON = b"mpcnode-journal"


class RunningRole(Protocol):
    """A role as the daemon runs it."""

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """What peers may deliver to it."""

    async def run(self) -> None:
        """Do its work until cancelled."""


def build_context(
    config: NodeConfig,
    keys: Keystore,
    *,
    members: Mapping[MemberIndex, Member],
    ledger: LedgerPort,
    peers: PeersPort,
    journal: JournalPort,
    blobs: BlobsPort,
) -> Context:
    """Return what the role is given."""
    consortium = config.consortium
    supervisors = consortium.with_role(Role.SUPERVISOR)
    if not supervisors:
        raise ConfigError(f"{consortium.path}: expected a supervisor, which deals correlations, got none")
    return Context(
        chain=consortium.chain,
        me=config.member,
        members=members,
        classes=consortium.classes,
        inquirers={
            address_of(inquirer.key): InquirerRecord(
                key=inquirer.key, company=inquirer.company, quota_per_day=inquirer.quota_per_day
            )
            for inquirer in consortium.inquirers
        },
        committee_companies_min=consortium.committee_companies_min,
        dealer=supervisors[0].index,
        models={listed.model: load_model(consortium, listed) for listed in consortium.models},
        identity=keys.identity,
        ledger=ledger,
        peers=peers,
        journal=journal,
        blobs=blobs,
        clock=SystemClock(),
        random=random_bytes,
        timing=Timing(preparation=config.limits.preparation_ms, computation=config.limits.computation_ms),
        correlations=consortium.correlations,
        stock_items=config.limits.stock_items,
    )


def build_role(config: NodeConfig, keys: Keystore, context: Context) -> RunningRole:
    """Return the role that the consortium document gives this daemon.

    Raises:
        LocalError: a key that the role needs is missing.
        RecordsError: a participant's records cannot be read.
    """
    match config.member.roles:
        case Role.OPERATOR:
            return Operator(context)
        case Role.MPC:
            return Compute(context)
        case Role.PARTICIPANT:
            return _participant(config, keys, context)
        case Role.SUPERVISOR:
            return _supervisor(keys, context)
        case roles:
            raise ConfigError(f"{config.path}: expected one role, got {roles!r}")


def _participant(config: NodeConfig, keys: Keystore, context: Context) -> Participant:
    if config.records is None or keys.subject_key is None:
        raise LocalError(f"{config.path}: expected records and a subject key for a participant, got none")
    asked = _asked(context)
    return Participant(
        context,
        records=load_records(config.records.file, config.records.id_column, keys.subject_key, asked),
        sealing=keys.sealing,
        subject_epoch=config.consortium.subject_epoch,
        journal_key=hashlib.blake2b(keys.identity.secret(), digest_size=32, person=_JOURNAL_PERSON).digest(),
    )


def _asked(context: Context) -> Mapping[str, Range]:
    """What all models together ask of this participant: its columns, and the values that every model allows."""
    asked: dict[str, Range] = {}
    supplied = supplied_classes(context, context.me)
    for model in context.models.values():
        for place in model.row_layout(supplied):
            attribute = model.attributes[place]
            allowed = Range(attribute.minimum, attribute.maximum)
            asked[attribute.name] = allowed.within(asked.get(attribute.name, allowed))
    return asked


def _supervisor(keys: Keystore, context: Context) -> Supervisor:
    if not keys.audit or keys.dealer_master is None or keys.subject_key is None:
        raise LocalError("expected audit, dealer and subject keys for a supervisor, got fewer")
    private = {key.public: key for key in keys.audit}
    keyring = AuditKeyring(chain=context.chain, audit=private, subject_key=keys.subject_key)
    return Supervisor(context, keyring, keys.dealer_master)
