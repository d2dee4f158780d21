"""Members, proposals and models of the ledger, read from the files of a daemon that does not run."""

from ledger.contract import ContractHost
from ledger.errors import StorageError
from ledger.ports import FoundLog, Store
from ledger.types import Address, Header, Height, Millis
from mpcnode.config.consortium import Consortium
from mpcnode.governance.models import RegisteredModel, read_models
from mpcnode.governance.proposals import Proposal, read_proposals
from mpcnode.governance.standing import Members, Names, View, read_members


async def read_standing(store: Store, consortium: Consortium) -> Members:
    """Read the state of the newest block.

    Raises:
        StorageError: there is no block yet.
    """
    header = _newest(store)
    members = await read_members(_view(store, consortium, header), names_of(consortium))
    return Members(height=header.height, members=members)


async def read_stored_proposals(
    store: Store, consortium: Consortium, now: Millis, only: int | None = None
) -> tuple[Proposal, ...]:
    """Read what companies proposed until the newest block; with an id that one, if there is one.

    Raises:
        StorageError: there is no block yet.
    """
    header = _newest(store)
    view = _view(store, consortium, header)

    async def find_logs(first: Height, last: Height, address: Address, topic: bytes) -> tuple[FoundLog, ...]:
        return store.find_logs(first, last, address, topic)

    return tuple([proposal async for proposal in read_proposals(view, find_logs, header.height, now, only)])


async def read_stored_models(store: Store, consortium: Consortium, now: Millis) -> tuple[RegisteredModel, ...]:
    """Read every model; `now` is for the fees.

    Raises:
        StorageError: there is no block yet.
    """
    view = _view(store, consortium, _newest(store))
    return tuple([model async for model in read_models(view, now)])


def names_of(consortium: Consortium) -> Names:
    """Return what the consortium document calls members and companies."""
    return Names([member.name for member in consortium.members], consortium.companies)


def _newest(store: Store) -> Header:
    height = store.height()
    header = None if height is None else store.header(height)
    if header is None:
        raise StorageError("expected at least the genesis block, got none; start the daemon once")
    return header


def _view(store: Store, consortium: Consortium, header: Header) -> View:
    host = ContractHost(consortium.chain, store.read_node)

    async def view(method: str, *args: object) -> tuple[object, ...]:
        next_height, at = Height(header.height + 1), Millis(header.timestamp_ms + 1)
        return host.view(header.state_root, next_height, at, method, *args)

    return view
