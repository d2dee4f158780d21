# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Governance
@notice What more than two thirds of the companies decide (docs/ledger.md, Governance).
@dev A proposal is one call of a contract, which this one makes once it is approved: the functions that ask for this
     sender are what can be decided. Storage keeps the call's hash; whoever votes brings the call again, so nobody
     approves bytes that it has not seen.
"""

interface Members:
    def voice(who: address) -> (uint256, uint256): view

event Proposed:
    id: indexed(uint64)
    company: uint8
    target: uint8
    data: Bytes[2048]
    closes_at: uint64

event Voted:
    id: indexed(uint64)
    company: uint8
    approve: bool

event Decided:
    id: indexed(uint64)
    approved: bool

event CodeScheduled:
    height: uint64
    targets: DynArray[uint256, 8]
    codes: DynArray[bytes32, 8]

event CodeCancelled:
    height: uint64

MEMBERS: constant(address) = 0x0000000000000000000000000000000000000100
# The first contract's address; target n is n further.
FIRST: constant(uint160) = 256
TARGETS: constant(uint256) = 5
OPEN: constant(uint256) = 1
APPROVED: constant(uint256) = 2
REJECTED: constant(uint256) = 3
# 90 days
OPEN_MAX_MS: constant(uint256) = 7_776_000_000
# Blocks between the decision on new code and its first one, at least.
CODE_NOTICE: constant(uint256) = 16
MASK_48: constant(uint256) = 2**48 - 1

struct Proposal:
    # state (8 bits) | company << 8 | target << 16 | closes_at << 32 (48 bits)
    head: uint256
    call: bytes32
    yes: uint256
    no: uint256

proposals: HashMap[uint256, Proposal]
proposal_count: public(uint256)
# The replacement of code that is to come: its height (0 none), keccak256 of the new code by target (0 stays).
upgrade_height: uint256
upgrade_codes: bytes32[8]
# The last one: height << 1 | whether it was made
upgraded: uint256


@external
def propose(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    target: uint256 = 0
    data: Bytes[2048] = b""
    closes_at: uint256 = 0
    target, data, closes_at = abi_decode(args, (uint256, Bytes[2048], uint256))
    company: uint256 = 0
    voices: uint256 = 0
    company, voices = self._voice()
    assert target < TARGETS, "TARGET"
    assert len(data) >= 4, "CALL"
    assert block.timestamp < closes_at and closes_at <= block.timestamp + OPEN_MAX_MS, "CLOSES_AT"
    id: uint256 = self.proposal_count
    self.proposal_count = id + 1
    number: uint256 = self._lowest(company)
    self.proposals[id] = Proposal(
        head=OPEN | number << 8 | target << 16 | closes_at << 32,
        call=keccak256(abi_encode(target, data)),
        yes=company,
        no=0,
    )
    log Proposed(
        id=convert(id, uint64),
        company=convert(number, uint8),
        target=convert(target, uint8),
        data=data,
        closes_at=convert(closes_at, uint64),
    )
    self._decide(id, voices, target, data)


@external
def vote(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    id: uint256 = 0
    approve: bool = False
    target: uint256 = 0
    data: Bytes[2048] = b""
    id, approve, target, data = abi_decode(args, (uint256, bool, uint256, Bytes[2048]))
    company: uint256 = 0
    voices: uint256 = 0
    company, voices = self._voice()
    head: uint256 = self.proposals[id].head
    assert head != 0, "UNKNOWN_PROPOSAL"
    assert head & 255 == OPEN, "PROPOSAL_DECIDED"
    assert block.timestamp <= (head >> 32) & MASK_48, "PROPOSAL_CLOSED"
    assert self.proposals[id].call == keccak256(abi_encode(target, data)), "OTHER_CALL"
    assert (self.proposals[id].yes | self.proposals[id].no) & company == 0, "ALREADY_VOTED"
    if approve:
        self.proposals[id].yes |= company
    else:
        self.proposals[id].no |= company
    log Voted(id=convert(id, uint64), company=convert(self._lowest(company), uint8), approve=approve)
    self._decide(id, voices, target, data)


@internal
@view
def _voice() -> (uint256, uint256):
    """
    @return The company that the sender speaks for, and all that have a voice now, as bits.
    """
    company: uint256 = 0
    voices: uint256 = 0
    company, voices = staticcall Members(MEMBERS).voice(msg.sender, skip_contract_check=True)
    assert company != 0, "DELEGATE_ONLY"
    return company, voices


@internal
def _decide(id: uint256, voices: uint256, target: uint256, data: Bytes[2048]):
    """
    @notice Make the call once enough say yes; close the proposal once too many say no. A call that fails takes the
            vote with it, which can then be given again.
    """
    companies: uint256 = self._count(voices)
    if 3 * self._count(self.proposals[id].yes & voices) > 2 * companies:
        # First the state, then the call: a call cannot bring itself about a second time.
        self.proposals[id].head = self.proposals[id].head ^ OPEN ^ APPROVED
        log Decided(id=convert(id, uint64), approved=True)
        raw_call(convert(FIRST + convert(target, uint160), address), data)
    elif 3 * (companies - self._count(self.proposals[id].no & voices)) <= 2 * companies:
        self.proposals[id].head = self.proposals[id].head ^ OPEN ^ REJECTED
        log Decided(id=convert(id, uint64), approved=False)


@internal
@pure
def _count(companies: uint256) -> uint256:
    rest: uint256 = companies
    found: uint256 = 0
    for i: uint256 in range(128):
        if rest == 0:
            break
        rest &= unsafe_sub(rest, 1)
        found = unsafe_add(found, 1)
    return found


@internal
@pure
def _lowest(company: uint256) -> uint256:
    """
    @return The number of a company from its bit.
    """
    rest: uint256 = company
    for number: uint256 in range(128):
        if rest & 1 != 0:
            return number
        rest = rest >> 1
    raise "COMPANY"


# ---------------------------------------------------------------- new code


@external
def schedule_code(height: uint256, targets: DynArray[uint256, 8], codes: DynArray[bytes32, 8]):
    """
    @notice From that height on, other code at these addresses: by keccak256 of the code, which replicas bring along.
    """
    assert msg.sender == self, "GOVERNED"
    assert self.upgrade_height == 0, "UPGRADE_PENDING"
    assert block.number + CODE_NOTICE <= height and height < 1 << 63, "UPGRADE_HEIGHT"
    assert len(targets) != 0 and len(targets) == len(codes), "CODE"
    for i: uint256 in range(len(targets), bound=8):
        assert targets[i] < TARGETS, "TARGET"
        assert codes[i] != empty(bytes32) and self.upgrade_codes[targets[i]] == empty(bytes32), "CODE"
        self.upgrade_codes[targets[i]] = codes[i]
    self.upgrade_height = height
    log CodeScheduled(height=convert(height, uint64), targets=targets, codes=codes)


@external
def cancel_code():
    """
    @notice Keep the code as it is.
    """
    assert msg.sender == self, "GOVERNED"
    assert self.upgrade_height != 0, "NO_UPGRADE"
    log CodeCancelled(height=convert(self.upgrade_height, uint64))
    self._clear_upgrade()


@external
def finish_upgrade(done: bool):
    """
    @notice The system, at that height, before the first transaction: whether the code was replaced.
    """
    assert msg.sender == empty(address) and block.number == self.upgrade_height, "SYSTEM_ONLY"
    self.upgraded = block.number << 1 | convert(done, uint256)
    self._clear_upgrade()


@internal
def _clear_upgrade():
    self.upgrade_height = 0
    for target: uint256 in range(8):
        self.upgrade_codes[target] = empty(bytes32)


# ---------------------------------------------------------------- for readers


@external
@view
def upgrade() -> (uint256, bytes32[8], uint256, bool):
    """
    @return The height of the replacement to come (0: none), its codes by target; the last one's height, and whether
            it was made.
    """
    return self.upgrade_height, self.upgrade_codes, self.upgraded >> 1, self.upgraded & 1 != 0


@external
@view
def proposal(id: uint256) -> (uint8, uint8, bytes32, uint8, uint256, uint256, uint64):
    """
    @return State (0 none, 1 open, 2 approved, 3 rejected), target, keccak256 of abi.encode(target, data), company
            that proposed, companies that said yes, companies that said no, closing time.
    """
    found: Proposal = self.proposals[id]
    return (
        convert(found.head & 255, uint8),
        convert((found.head >> 16) & 255, uint8),
        found.call,
        convert((found.head >> 8) & 255, uint8),
        found.yes,
        found.no,
        convert((found.head >> 32) & MASK_48, uint64),
    )
