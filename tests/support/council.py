"""Companies that decide: a world whose members propose and vote, and a small one to try thresholds in."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.contract import encode_args
from ledger.contract.abi import encode_call, find_function
from ledger.contract.artefacts import ADDRESSES
from ledger.contract.machine import Machine
from ledger.contract.proposals import encode_proposal
from ledger.contract.storage import Nodes
from ledger.encoding import TX_GAS_MAX
from ledger.types import Genesis, Height, Millis, Receipt
from tests.support.contracts import MPC, OPERATOR, PARTICIPANT, SUPERVISOR, World, consortium, member

DAY_MS = 86_400_000
DELEGATES = (0, 1, 2, 3, 4, 5, 7, 8, 9)
"""One member for each of the nine companies of `standard`."""
STATES = ("none", "open", "approved", "rejected")


def assembly(companies: int, *, validators: int | None = None) -> Genesis:
    """One daemon a company: an operator, a supervisor, a participant, then MPC nodes; the first ones validate."""
    roles = (OPERATOR, SUPERVISOR, PARTICIPANT, *(MPC for _ in range(companies)))
    voting = companies if validators is None else validators
    return consortium(
        [member(i, i, roles[i], classes=0b011 if i == 2 else 0, votes=i < voting) for i in range(companies)]
    )


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the contract says of a proposal."""

    state: str
    company: int
    yes: int
    no: int


class Council:
    """Proposes and votes in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._calls: list[tuple[int, bytes]] = []

    def propose(self, sender: int, method: str, *values: object, closes_in: int = DAY_MS) -> Receipt:
        target, data = encode_proposal(method, *values)
        return self.propose_call(sender, target, data, closes_in=closes_in)

    def propose_call(self, sender: int, target: int, data: bytes, *, closes_in: int = DAY_MS) -> Receipt:
        args = encode_args("governance.propose", target, data, self.world.now + closes_in)
        receipt = self.world.run(self.world.tx(sender, "governance.propose", args))
        if receipt.ok:
            self._calls.append((target, data))
        return receipt

    def vote(self, sender: int, number: int, approve: bool = True, *, call: tuple[int, bytes] | None = None) -> Receipt:
        target, data = (self._calls[number] if number < len(self._calls) else (0, b"call")) if call is None else call
        args = encode_args("governance.vote", number, approve, target, data)
        return self.world.run(self.world.tx(sender, "governance.vote", args))

    def proposal(self, number: int) -> Proposal:
        state, _, _, company, yes, no, _ = self.world.view("governance.proposal", number)
        return Proposal(state=STATES[state], company=company, yes=yes, no=no)

    def decide(self, voters: Sequence[int], method: str, *values: object) -> Receipt:
        """Propose, and have voters agree until it is decided; return the last receipt."""
        receipt = self.propose(voters[0], method, *values)
        number = len(self._calls) - 1
        for voter in voters[1:]:
            if not receipt.ok or self.proposal(number).state != "open":
                break
            receipt = self.vote(voter, number)
        return receipt


def at_once(world: World, method: str, *values: object) -> str:
    """Do what an approved proposal does, without its votes; return why it was refused, or nothing."""
    function = find_function(method)
    assert function is not None
    world.height += 1
    machine = Machine(
        world.nodes.get,
        world.root,
        nodes=Nodes(),
        chain_id=world.host.evm_chain_id,
        height=Height(world.height),
        timestamp_ms=Millis(world.now),
    )
    done = machine.call(
        ADDRESSES["governance"], ADDRESSES[function.contract], encode_call(function, *values), TX_GAS_MAX
    )
    world.root, new = machine.finish()
    world.nodes.update(new)
    return done.reason
