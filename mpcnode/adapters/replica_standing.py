"""Where every member stands, read from the files of a daemon that does not run."""

from ledger.contract import ContractHost
from ledger.errors import StorageError
from ledger.ports import Store
from ledger.types import Height, Millis
from mpcnode.config.consortium import Consortium
from mpcnode.governance.standing import Members, Names, read_members


async def read_standing(store: Store, consortium: Consortium) -> Members:
    """Read the state of the newest block.

    Raises:
        StorageError: there is no block yet.
    """
    height = store.height()
    header = None if height is None else store.header(height)
    if header is None:
        raise StorageError("expected at least the genesis block, got none; start the daemon once")
    host = ContractHost(consortium.chain, store.read_node)

    async def view(method: str, *args: object) -> tuple[object, ...]:
        next_height, at = Height(header.height + 1), Millis(header.timestamp_ms + 1)
        return host.view(header.state_root, next_height, at, method, *args)

    return Members(height=header.height, members=await read_members(view, names_of(consortium)))


def names_of(consortium: Consortium) -> Names:
    """Return what the consortium document calls members and companies."""
    return Names([member.name for member in consortium.members], consortium.companies)
