# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Records
@notice What members put on record: evaluations of OPRF keys, marks of correlations, the supervisor's looks into
        queries, disputes (docs/ledger.md, Records).
@dev Details are event data; storage keeps what a later call is checked against.
"""

interface Members:
    def seat(who: address) -> uint256: view

interface Queries:
    def parties(query: bytes32) -> (uint256, uint256, uint256): view

interface Registries:
    def inquirer_at(index: uint256) -> address: view

struct Dispute:
    # state (8 bits) | kind << 8 | member that opened it << 16 | whether an inquirer did << 24
    head: uint256
    query: bytes32

event UsageReported:
    hour: indexed(uint32)
    holder: indexed(uint8)
    participants: DynArray[uint8, 128]
    counts: DynArray[uint64, 128]

event Marked:
    member: indexed(uint8)
    pool: indexed(bytes32)
    upto: uint64

event AccessRecorded:
    number: indexed(uint64)
    member: indexed(uint8)
    purpose: bytes32
    queries: DynArray[bytes32, 24]
    detail: Bytes[1024]

event DisputeOpened:
    id: indexed(uint64)
    query: indexed(bytes32)
    kind: uint8
    member: uint8
    inquirer: address
    claim: bytes32
    detail: Bytes[4096]

event DisputeAnswered:
    id: indexed(uint64)
    member: uint8
    claim: bytes32
    detail: Bytes[4096]

event DisputeClosed:
    id: indexed(uint64)
    outcome: uint8
    member: uint8
    claim: bytes32
    detail: Bytes[4096]

MEMBERS: constant(address) = 0x0000000000000000000000000000000000000100
QUERIES: constant(address) = 0x0000000000000000000000000000000000000101
REGISTRIES: constant(address) = 0x0000000000000000000000000000000000000102
SEAT_OPERATOR: constant(uint256) = 1 << 16
SEAT_MPC: constant(uint256) = 2 << 16
SEAT_SUPERVISOR: constant(uint256) = 8 << 16
SEAT_ACTIVE: constant(uint256) = 1 << 24
HOUR_MS: constant(uint256) = 3_600_000
MASK_64: constant(uint256) = 2**64 - 1

# 1 the answer, 2 an input, 3 a refusal, 4 a fee, 5 purpose or consent
KINDS: constant(uint256) = 5
OPEN: constant(uint256) = 1
UPHELD: constant(uint256) = 2
WITHDRAWN: constant(uint256) = 4
# What an inquirer's statement is for: opening is 16 + kind, about no dispute yet; the others name theirs.
STEP_OPEN: constant(uint256) = 16
STEP_ANSWER: constant(uint256) = 1
STEP_WITHDRAW: constant(uint256) = 2
BY_INQUIRER: constant(uint256) = 1 << 24
DISPUTE_DOMAIN: constant(bytes32) = 0x6d70636e6f64652f646973707574652f31000000000000000000000000000000

genesis_hash: bytes32
# holder -> the newest hour that it reported, plus 1
hours: HashMap[uint256, uint256]
# holder << 5 | participant // 4 -> evaluations of four participants, 64 bits each: so 128 of them fit a transaction
totals: HashMap[uint256, uint256]
# member, pool -> what is below is used up
marks: HashMap[uint256, HashMap[bytes32, uint256]]
access_count: public(uint256)
# query -> how often it was looked into
accesses: public(HashMap[bytes32, uint256])
dispute_count: public(uint256)
disputes: HashMap[uint256, Dispute]
# keccak256 of an inquirer's statement -> it was heard: nobody can say it a second time for it
heard: HashMap[bytes32, bool]


@external
def set_chain(genesis_hash: bytes32):
    """
    @notice Genesis: the hash of the consortium document.
    """
    assert msg.sender == empty(address) and block.number == 0, "SYSTEM_ONLY"
    self.genesis_hash = genesis_hash


@internal
@view
def _seat() -> uint256:
    """
    @return The sender's seat, 0 unless it is active.
    """
    seat: uint256 = staticcall Members(MEMBERS).seat(msg.sender, skip_contract_check=True)
    if seat & SEAT_ACTIVE == 0:
        return 0
    return seat


# ---------------------------------------------------------------- one-time things


@external
def report_usage(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    hour: uint256 = 0
    participants: DynArray[uint256, 128] = []
    counts: DynArray[uint256, 128] = []
    hour, participants, counts = abi_decode(args, (uint256, DynArray[uint256, 128], DynArray[uint256, 128]))
    seat: uint256 = self._seat()
    assert seat & SEAT_MPC != 0, "MPC_ONLY"
    holder: uint256 = seat & 255
    assert hour < 1 << 32 and (hour + 1) * HOUR_MS <= block.timestamp, "TOO_EARLY"
    assert hour >= self.hours[holder], "HOUR_REPORTED"
    assert len(participants) == len(counts), "USAGE_FORM"
    self.hours[holder] = hour + 1
    listed: DynArray[uint8, 128] = []
    counted: DynArray[uint64, 128] = []
    following: uint256 = 0
    for i: uint256 in range(len(participants), bound=128):
        participant: uint256 = participants[i]
        # ascending, so that none counts twice
        assert following <= participant and participant < 128 and counts[i] <= MASK_64, "USAGE_FORM"
        following = participant + 1
        place: uint256 = holder << 5 | participant >> 2
        at: uint256 = (participant & 3) << 6
        word: uint256 = self.totals[place]
        assert ((word >> at) & MASK_64) + counts[i] <= MASK_64, "USAGE_FORM"
        self.totals[place] = word + (counts[i] << at)
        listed.append(convert(participant, uint8))
        counted.append(convert(counts[i], uint64))
    log UsageReported(
        hour=convert(hour, uint32), holder=convert(holder, uint8), participants=listed, counts=counted
    )


@external
def mark(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    pool: bytes32 = empty(bytes32)
    upto: uint256 = 0
    pool, upto = abi_decode(args, (bytes32, uint256))
    seat: uint256 = self._seat()
    assert seat & SEAT_MPC != 0, "MPC_ONLY"
    assert self.marks[seat & 255][pool] < upto and upto <= MASK_64, "MARK_NOT_AHEAD"
    self.marks[seat & 255][pool] = upto
    log Marked(member=convert(seat & 255, uint8), pool=pool, upto=convert(upto, uint64))


# ---------------------------------------------------------------- the supervisor's looks


@external
def record_access(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    purpose: bytes32 = empty(bytes32)
    queries: DynArray[bytes32, 24] = []
    detail: Bytes[1024] = b""
    purpose, queries, detail = abi_decode(args, (bytes32, DynArray[bytes32, 24], Bytes[1024]))
    seat: uint256 = self._seat()
    assert seat & SEAT_SUPERVISOR != 0, "SUPERVISOR_ONLY"
    assert purpose != empty(bytes32), "PURPOSE"
    assert len(queries) != 0, "UNKNOWN_QUERY"
    for query: bytes32 in queries:
        state: uint256 = 0
        members: uint256 = 0
        inquirer: uint256 = 0
        state, members, inquirer = staticcall Queries(QUERIES).parties(query, skip_contract_check=True)
        assert state != 0, "UNKNOWN_QUERY"
        self.accesses[query] += 1
    number: uint256 = self.access_count
    self.access_count = number + 1
    log AccessRecorded(
        number=convert(number, uint64),
        member=convert(seat & 255, uint8),
        purpose=purpose,
        queries=queries,
        detail=detail,
    )


# ---------------------------------------------------------------- disputes


@external
def open_dispute(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    kind: uint256 = 0
    claim: bytes32 = empty(bytes32)
    detail: Bytes[4096] = b""
    query, kind, claim, detail = abi_decode(args, (bytes32, uint256, bytes32, Bytes[4096]))
    assert 0 < kind and kind <= KINDS, "DISPUTE_KIND"
    id: uint256 = self.dispute_count
    inquirer: address = empty(address)
    seat: uint256 = 0
    seat, inquirer = self._party(query, 0, STEP_OPEN + kind, claim, sha256(detail), signers, statements)
    head: uint256 = OPEN | kind << 8 | (seat & 255) << 16
    if inquirer != empty(address):
        head |= BY_INQUIRER
    self.dispute_count = id + 1
    self.disputes[id] = Dispute(head=head, query=query)
    log DisputeOpened(
        id=convert(id, uint64),
        query=query,
        kind=convert(kind, uint8),
        member=convert(seat & 255, uint8),
        inquirer=inquirer,
        claim=claim,
        detail=detail,
    )


@external
def answer_dispute(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    id: uint256 = 0
    claim: bytes32 = empty(bytes32)
    detail: Bytes[4096] = b""
    id, claim, detail = abi_decode(args, (uint256, bytes32, Bytes[4096]))
    self._open(id)
    seat: uint256 = 0
    inquirer: address = empty(address)
    seat, inquirer = self._party(self.disputes[id].query, id, STEP_ANSWER, claim, sha256(detail), signers, statements)
    log DisputeAnswered(id=convert(id, uint64), member=convert(seat & 255, uint8), claim=claim, detail=detail)


@external
def close_dispute(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    id: uint256 = 0
    outcome: uint256 = 0
    claim: bytes32 = empty(bytes32)
    detail: Bytes[4096] = b""
    id, outcome, claim, detail = abi_decode(args, (uint256, uint256, bytes32, Bytes[4096]))
    head: uint256 = self._open(id)
    assert UPHELD <= outcome and outcome <= WITHDRAWN, "OUTCOME"
    seat: uint256 = self._seat()
    if outcome != WITHDRAWN:
        assert seat & SEAT_SUPERVISOR != 0, "SUPERVISOR_ONLY"
    elif head & BY_INQUIRER != 0:
        inquirer: address = empty(address)
        seat, inquirer = self._party(
            self.disputes[id].query, id, STEP_WITHDRAW, claim, sha256(detail), signers, statements
        )
        assert inquirer != empty(address), "CLAIMANT_ONLY"
    else:
        # also if it is no party any more: another attempt has another committee
        assert seat != 0, "MEMBER_ONLY"
        assert len(signers) == 0 and seat & 255 == (head >> 16) & 255, "CLAIMANT_ONLY"
    self.disputes[id].head = (head >> 8) << 8 | outcome
    log DisputeClosed(
        id=convert(id, uint64),
        outcome=convert(outcome, uint8),
        member=convert(seat & 255, uint8),
        claim=claim,
        detail=detail,
    )


@internal
@view
def _open(id: uint256) -> uint256:
    head: uint256 = self.disputes[id].head
    assert head != 0, "UNKNOWN_DISPUTE"
    assert head & 255 == OPEN, "DISPUTE_CLOSED"
    return head


@internal
def _party(
    query: bytes32,
    id: uint256,
    step: uint256,
    claim: bytes32,
    detail: bytes32,
    signers: DynArray[address, 8],
    statements: Bytes[4608],
) -> (uint256, address):
    """
    @notice Who speaks: a member that the query concerns, or its inquirer, whose statement any active member submits.
            It names all that is said, so whoever sees it on its way cannot submit it with something else.
    @return The sender's seat, and the inquirer if it is the one who speaks.
    """
    seat: uint256 = self._seat()
    assert seat != 0, "MEMBER_ONLY"
    state: uint256 = 0
    members: uint256 = 0
    inquirer: uint256 = 0
    state, members, inquirer = staticcall Queries(QUERIES).parties(query, skip_contract_check=True)
    assert state != 0, "UNKNOWN_QUERY"
    if len(signers) == 0:
        assert (
            members & (1 << (seat & 255)) != 0
            or (seat >> 8) & 255 == inquirer >> 32
            or seat & (SEAT_OPERATOR | SEAT_SUPERVISOR) != 0
        ), "NOT_A_PARTY"
        return seat, empty(address)
    who: address = staticcall Registries(REGISTRIES).inquirer_at(inquirer & (1 << 32) - 1, skip_contract_check=True)
    assert len(signers) == 1 and signers[0] == who, "NOT_A_PARTY"
    assert len(statements) == 224, "DISPUTE_FORM"
    said: bytes32[7] = abi_decode(statements, bytes32[7])
    assert (
        said[0] == DISPUTE_DOMAIN
        and said[1] == self.genesis_hash
        and said[2] == query
        and said[3] == convert(id, bytes32)
        and said[4] == convert(step, bytes32)
        and said[5] == claim
        and said[6] == detail
    ), "DISPUTE_FORM"
    said_hash: bytes32 = keccak256(statements)
    assert not self.heard[said_hash], "STATEMENT_USED"
    self.heard[said_hash] = True
    return seat, who


# ---------------------------------------------------------------- for readers


@external
@view
def usage(holder: uint8, participant: uint8) -> (uint256, uint256):
    """
    @return Evaluations of a participant's key that a holder reported, and the first hour that it has not reported.
    """
    index: uint256 = convert(holder, uint256)
    place: uint256 = convert(participant, uint256)
    if place >= 128:
        return 0, self.hours[index]
    return (self.totals[index << 5 | place >> 2] >> ((place & 3) << 6)) & MASK_64, self.hours[index]


@external
@view
def marked(member: uint8, pool: bytes32) -> uint256:
    """
    @return What is below this is used up in a member's pool.
    """
    return self.marks[convert(member, uint256)][pool]


@external
@view
def dispute(id: uint256) -> (uint8, uint8, uint8, bool, bytes32):
    """
    @return State (0 none, 1 open, 2 upheld, 3 rejected, 4 withdrawn), kind, member that submitted it, whether an
            inquirer opened it, query.
    """
    found: Dispute = self.disputes[id]
    return (
        convert(found.head & 255, uint8),
        convert((found.head >> 8) & 255, uint8),
        convert((found.head >> 16) & 255, uint8),
        found.head & BY_INQUIRER != 0,
        found.query,
    )
