# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Queries
@notice The life cycle of every query (docs/protocol.md 5 and 6). Each id is accepted once, and ends once.
@dev Boxes, envelopes and statements are event data; storage holds five words a query. Times are milliseconds.
     A query's committee, model and inquirer are stored as indices, sets of members as bitmaps.
"""

interface Members:
    def seat(who: address) -> uint256: view
    def seats(sender: address, signers: DynArray[address, 8]) -> uint256: view
    def plan(
        sender: address, classes: uint256, approved: uint256, query: bytes32, order: DynArray[uint256, 128]
    ) -> (uint256, uint256, uint256): view
    def next_committee(
        query: bytes32, attempt: uint256, panel: uint256, excluded: uint256, order: DynArray[uint256, 128]
    ) -> (uint256, uint256): view

interface Registries:
    def admit(who: address, model: bytes32, purpose: bytes32) -> (uint256, uint256, uint256, uint256): view
    def model_at(index: uint256) -> bytes32: view
    def inquirer_at(index: uint256) -> address: view

event Registered:
    query: indexed(bytes32)
    model: indexed(bytes32)
    inquirer: indexed(address)
    request: Bytes[4608]
    supervisor_copy: Bytes[1024]
    committee: DynArray[uint8, 8]

event InputCommitted:
    query: indexed(bytes32)
    attempt: indexed(uint8)
    participant: indexed(uint8)
    commitments: DynArray[bytes32, 8]
    envelope: Bytes[12288]

event ContributionRefused:
    query: indexed(bytes32)
    attempt: uint8
    participant: uint8
    code: uint8
    detail: Bytes[12288]

event Computing:
    query: indexed(bytes32)
    attempt: indexed(uint8)
    committed: uint256

event ResultPosted:
    query: indexed(bytes32)
    attempt: indexed(uint8)
    poster: uint8
    statements: Bytes[4608]
    inquirer_boxes: Bytes[7168]
    supervisor_boxes: Bytes[12288]

event Attested:
    query: indexed(bytes32)
    attempt: uint8
    verdict: uint8
    member: uint8
    stage: uint8
    round: uint16
    release: Bytes[12288]

event AttemptFailed:
    query: indexed(bytes32)
    attempt: uint8
    by: uint8
    reason: uint8
    waited: uint256
    committee: DynArray[uint8, 8]
    contribute_by: uint256

event InputRejected:
    query: indexed(bytes32)
    attempt: uint8
    participant: uint8

event Ended:
    query: indexed(bytes32)
    state: uint8
    reason: uint8
    waited: uint256

MEMBERS: constant(address) = 0x0000000000000000000000000000000000000100
REGISTRIES: constant(address) = 0x0000000000000000000000000000000000000102

REGISTERED: constant(uint256) = 1
COMPUTING: constant(uint256) = 2
ANSWERED: constant(uint256) = 3
RELEASED: constant(uint256) = 4
REFUSED: constant(uint256) = 5
ABORTED: constant(uint256) = 6
EXPIRED: constant(uint256) = 7

BEFORE_RELEASE: constant(uint256) = 1
AFTER_RELEASE: constant(uint256) = 2

MATCH: constant(uint256) = 1
MISMATCH: constant(uint256) = 2
INCOMPLETE: constant(uint256) = 3
# Beside a verdict: it replaced an earlier one.
REPLACED: constant(uint256) = 4

END_NONE: constant(uint256) = 0
END_INSUFFICIENT: constant(uint256) = 1
END_ATTEMPTS: constant(uint256) = 2
END_COMMITTEE: constant(uint256) = 3
END_TIME: constant(uint256) = 4
END_MISMATCH: constant(uint256) = 5
END_DEADLINE: constant(uint256) = 6

REASON_ABORT: constant(uint256) = 3
REASON_INPUT_REJECTED: constant(uint256) = 4
REASON_TRANSCRIPTS: constant(uint256) = 5

ATTEMPTS_MAX: constant(uint256) = 3
SUBJECTS_MAX: constant(uint256) = 1_000_000
LIFETIME_MAX_MS: constant(uint256) = 3_600_000
TURN_MS: constant(uint256) = 3_000
DAY_MS: constant(uint256) = 86_400_000

ROLE_OPERATOR: constant(uint256) = 1 << 16
ROLE_PARTICIPANT: constant(uint256) = 4 << 16
ROLE_SUPERVISOR: constant(uint256) = 8 << 16
ACTIVE: constant(uint256) = 1 << 24
MODEL_RETIRED: constant(uint256) = 1 << 225

MASK_128: constant(uint256) = 2**128 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_48: constant(uint256) = 2**48 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_24: constant(uint256) = 2**24 - 1

# Head: state 8 bits | attempt << 8 | mode << 16 | verdict << 24 | minimum << 32 | committee size << 40
# | inquirer's company << 48 | contribute_by << 56 (48 bits) | deadline << 104 (48) | computing_at << 152 (48)
# | window << 200 (24) | epoch << 224 (32).
CONTRIBUTE_BY: constant(uint256) = 56
DEADLINE: constant(uint256) = 104
COMPUTING_AT: constant(uint256) = 152
WINDOW: constant(uint256) = 200
EPOCH: constant(uint256) = 224
# What a further attempt keeps of the head: mode, verdict, minimum, company, deadline, window, epoch.
HEAD_KEPT: constant(uint256) = (
    (255 << 16) | (255 << 24) | (255 << 32) | (255 << 48) | (MASK_48 << DEADLINE) | (MASK_24 << WINDOW)
    | (MASK_32 << EPOCH)
)

REQUEST_DOMAIN: constant(bytes32) = 0x6d70636e6f64652f726571756573742f31000000000000000000000000000000
END_DOMAIN: constant(bytes32) = 0x6d70636e6f64652f656e642f3100000000000000000000000000000000000000

struct Query:
    head: uint256
    # members that have neither committed nor refused | other companies than the inquirer's that committed << 128
    open: uint256
    # panel | refused << 128
    panel: uint256
    # indices by rank, 8 bytes | excluded << 64 | model << 192 (16 bits) | inquirer << 208 (32 bits)
    committee: uint256
    request: bytes32

genesis_hash: bytes32
queries: HashMap[bytes32, Query]
# inquirer's index -> day << 32 | subjects asked about on that day: another key is no other quota
used: HashMap[uint256, uint256]


@external
def set_chain(genesis_hash: bytes32):
    """
    @notice Genesis: the hash of the consortium document.
    """
    assert msg.sender == empty(address) and block.number == 0, "SYSTEM_ONLY"
    self.genesis_hash = genesis_hash


# ---------------------------------------------------------------- ask


@external
def register(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    assert len(signers) == 1, "ONE_INQUIRER"
    assert len(statements) == 576, "REQUEST_FORM"
    request: bytes32[18] = abi_decode(statements, bytes32[18])
    subjects: uint256 = convert(request[15], uint256)
    assert (
        request[0] == REQUEST_DOMAIN
        and request[1] == self.genesis_hash
        and request[9] != empty(bytes32)
        and request[10] != empty(bytes32)
        and 0 < subjects
        and subjects <= SUBJECTS_MAX
        and (subjects == 1) == (request[16] == empty(bytes32))
        and (subjects == 1) == (request[17] == empty(bytes32))
    ), "REQUEST_FORM"
    inquirer: uint256 = 0
    model: uint256 = 0
    epoch: uint256 = 0
    approved: uint256 = 0
    inquirer, model, epoch, approved = staticcall Registries(REGISTRIES).admit(
        signers[0], request[3], request[5], skip_contract_check=True
    )
    supervisor_copy: Bytes[1024] = b""
    order: DynArray[uint256, 128] = []
    supervisor_copy, order = abi_decode(args, (Bytes[1024], DynArray[uint256, 128]))
    query: bytes32 = request[2]
    seat: uint256 = 0
    panel: uint256 = 0
    committee: uint256 = 0
    seat, panel, committee = staticcall Members(MEMBERS).plan(
        msg.sender, model & MASK_128, approved, query, order, skip_contract_check=True
    )
    assert seat & ROLE_OPERATOR != 0 and seat & ACTIVE != 0, "OPERATOR_ONLY"
    assert inquirer & 1 != 0, "UNKNOWN_INQUIRER"
    assert model != 0, "UNKNOWN_MODEL"
    assert model & MODEL_RETIRED == 0, "MODEL_RETIRED"
    assert epoch & 1 != 0, "PURPOSE_NOT_ALLOWED"
    assert self.queries[query].head == 0, "QUERY_EXISTS"
    contribute_by: uint256 = convert(request[7], uint256)
    deadline: uint256 = convert(request[8], uint256)
    assert (
        block.timestamp < contribute_by
        and contribute_by < deadline
        and deadline <= unsafe_add(block.timestamp, LIFETIME_MAX_MS)
    ), "WINDOW"
    assert convert(request[4], uint256) == panel, "PANEL_STALE"
    assert panel != 0, "SUPPLIERS_TOO_FEW"
    assert convert(request[14], uint256) == epoch >> 1, "EPOCH_STALE"
    assert sha256(supervisor_copy) == request[12], "COPY_MISMATCH"
    day: uint256 = unsafe_mul(block.timestamp // DAY_MS, 1 << 32)
    asking: uint256 = (inquirer >> 48) & MASK_32
    used: uint256 = max(self.used[asking], day)
    used = unsafe_add(used, subjects)
    assert unsafe_sub(used, day) <= (inquirer >> 16) & MASK_32, "QUOTA_EXCEEDED"
    self.used[asking] = used
    self._check_committee(committee)
    self.queries[query] = Query(
        head=REGISTERED
        | 1 << 8
        | ((model >> 136) & 255) << 16
        | ((model >> 128) & 255) << 32
        | (committee >> 64) << 40
        | ((inquirer >> 8) & 255) << 48
        | contribute_by << CONTRIBUTE_BY
        | deadline << DEADLINE
        | unsafe_sub(contribute_by, block.timestamp) << WINDOW
        | (epoch >> 1) << EPOCH,
        open=panel,
        panel=panel,
        committee=(committee & MASK_64) | ((model >> 144) & 65535) << 192 | asking << 208,
        request=sha256(statements),
    )
    log Registered(
        query=query,
        model=request[3],
        inquirer=signers[0],
        request=statements,
        supervisor_copy=supervisor_copy,
        committee=self._unpack(committee, committee >> 64),
    )


# ---------------------------------------------------------------- contribute


@external
def commit_input(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    commitments: DynArray[bytes32, 8] = []
    envelope: Bytes[12288] = b""
    query, attempt, commitments, envelope = abi_decode(
        args, (bytes32, uint256, DynArray[bytes32, 8], Bytes[12288])
    )
    head: uint256 = self._live(query, attempt, REGISTERED)
    open: uint256 = self.queries[query].open
    seat: uint256 = self._contributor(query, head, open)
    assert len(commitments) == (head >> 40) & 255, "COMMITMENTS"
    for commitment: bytes32 in commitments:
        assert commitment != empty(bytes32), "COMMITMENTS"
    company: uint256 = (seat >> 8) & 255
    if company != (head >> 48) & 255:
        open |= (1 << 128) << company
    open ^= 1 << (seat & 255)
    log InputCommitted(
        query=query,
        attempt=convert(attempt, uint8),
        participant=convert(seat & 255, uint8),
        commitments=commitments,
        envelope=envelope,
    )
    self._answered(query, head, open)


@external
def refuse(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    code: uint8 = 0
    detail: Bytes[12288] = b""
    query, attempt, code, detail = abi_decode(args, (bytes32, uint256, uint8, Bytes[12288]))
    head: uint256 = self._live(query, attempt, REGISTERED)
    open: uint256 = self.queries[query].open
    seat: uint256 = self._contributor(query, head, open)
    assert code == 1 or code == 2, "REASON"
    self.queries[query].panel |= (1 << 128) << (seat & 255)
    log ContributionRefused(
        query=query,
        attempt=convert(attempt, uint8),
        participant=convert(seat & 255, uint8),
        code=code,
        detail=detail,
    )
    self._answered(query, head, open ^ (1 << (seat & 255)))


@external
def close_inputs(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    query, attempt = abi_decode(args, (bytes32, uint256))
    self._member()
    head: uint256 = self._live(query, attempt, REGISTERED)
    assert block.timestamp > (head >> CONTRIBUTE_BY) & MASK_48, "TOO_EARLY"
    self._compute(query, head, self.queries[query].open)


@internal
@view
def _contributor(query: bytes32, head: uint256, open: uint256) -> uint256:
    """
    @return The sender's seat, if it may still commit or refuse.
    """
    seat: uint256 = staticcall Members(MEMBERS).seat(msg.sender, skip_contract_check=True)
    bit: uint256 = 1 << (seat & 255)
    if open & bit == 0 or seat & ROLE_PARTICIPANT == 0 or seat & ACTIVE == 0:
        assert (
            self.queries[query].panel & bit != 0 and seat & ROLE_PARTICIPANT != 0 and seat & ACTIVE != 0
        ), "NOT_IN_PANEL"
        raise "ALREADY_CONTRIBUTED"
    assert block.timestamp <= (head >> CONTRIBUTE_BY) & MASK_48, "TOO_LATE"
    return seat


@internal
def _answered(query: bytes32, head: uint256, open: uint256):
    """
    @notice Store one more commit or refusal; the last one moves the query on.
    """
    self.queries[query].open = open
    if open & MASK_128 == 0:
        self._compute(query, head, open)


@internal
def _compute(query: bytes32, head: uint256, open: uint256):
    """
    @notice REGISTERED to COMPUTING, or to REFUSED if fewer than `minimum` other companies committed.
    """
    companies: uint256 = open >> 128
    for i: uint256 in range(unsafe_sub((head >> 32) & 255, 1), bound=256):
        companies &= unsafe_sub(companies, 1)
        if companies == 0:
            break
    if companies == 0:
        self._end(query, head, REFUSED, END_INSUFFICIENT, 0)
        return
    self.queries[query].head = unsafe_add(head, 1) | block.timestamp << COMPUTING_AT
    panel: uint256 = self.queries[query].panel
    log Computing(
        query=query,
        attempt=convert((head >> 8) & 255, uint8),
        committed=panel & MASK_128 & ~(open | panel >> 128),
    )


# ---------------------------------------------------------------- answer and audit


@external
def post_result(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[20480]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    inquirer_boxes: Bytes[7168] = b""
    supervisor_boxes: Bytes[12288] = b""
    query, attempt, inquirer_boxes, supervisor_boxes = abi_decode(
        args, (bytes32, uint256, Bytes[7168], Bytes[12288])
    )
    head: uint256 = self._live(query, attempt, COMPUTING)
    seats: uint256 = staticcall Members(MEMBERS).seats(msg.sender, signers, skip_contract_check=True)
    committee: uint256 = self.queries[query].committee & MASK_64
    size: uint256 = (head >> 40) & 255
    rank: uint256 = self._rank(committee, size, seats & 255)
    assert rank < size, "NOT_IN_COMMITTEE"
    assert block.timestamp >= unsafe_add((head >> COMPUTING_AT) & MASK_48, unsafe_mul(TURN_MS, rank)), "NOT_YOUR_TURN"
    assert len(signers) == size and seats >> 8 == committee, "COMMITTEE_SIGNATURES"
    assert len(statements) == unsafe_mul(size, 320), "END_FORM"
    self._check_ends(query, attempt, size, statements)
    self._check_boxes(statements, 256, size, inquirer_boxes)
    self._check_boxes(statements, 288, size, supervisor_boxes)
    self.queries[query].head = unsafe_add(head, 1)
    log ResultPosted(
        query=query,
        attempt=convert(attempt, uint8),
        poster=convert(seats & 255, uint8),
        statements=statements,
        inquirer_boxes=inquirer_boxes,
        supervisor_boxes=supervisor_boxes,
    )
    if (head >> 16) & 255 != BEFORE_RELEASE:
        log Ended(query=query, state=convert(ANSWERED, uint8), reason=convert(END_NONE, uint8), waited=0)


@internal
@view
def _check_ends(query: bytes32, attempt: uint256, size: uint256, statements: Bytes[4608]):
    """
    @notice Every end has the form, and all say the same up to and with the transcript hash (7 words of 10).
    """
    genesis_hash: bytes32 = self.genesis_hash
    assert extract32(statements, 0) == END_DOMAIN and extract32(statements, 32) == genesis_hash, "END_FORM"
    said: bytes32 = keccak256(slice(statements, 0, 224))
    at: uint256 = 320
    for i: uint256 in range(size, bound=8):
        if at == len(statements):
            break
        if keccak256(slice(statements, at, 224)) != said:
            assert (
                extract32(statements, at) == END_DOMAIN
                and extract32(statements, unsafe_add(at, 32)) == genesis_hash
            ), "END_FORM"
            raise "END_MISMATCH"
        at = unsafe_add(at, 320)
    assert (
        extract32(statements, 64) == query and convert(extract32(statements, 96), uint256) == attempt
    ), "END_MISMATCH"


@internal
@view
def _check_boxes(statements: Bytes[4608], at: uint256, size: uint256, boxes: Bytes[12288]):
    """
    @notice The boxes are those that the ends name, in the same order.
    """
    width: uint256 = len(boxes) // size
    assert width != 0 and unsafe_mul(width, size) == len(boxes), "BOX_MISMATCH"
    for i: uint256 in range(size, bound=8):
        assert (
            sha256(slice(boxes, unsafe_mul(width, i), width)) == extract32(statements, unsafe_add(at, unsafe_mul(320, i)))
        ), "BOX_MISMATCH"


@external
def attest(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    verdict: uint8 = 0
    member: uint8 = 0
    stage: uint8 = 0
    round: uint16 = 0
    release: Bytes[12288] = b""
    query, attempt, verdict, member, stage, round, release = abi_decode(
        args, (bytes32, uint256, uint8, uint8, uint8, uint16, Bytes[12288])
    )
    assert self._member() & ROLE_SUPERVISOR != 0, "SUPERVISOR_ONLY"
    head: uint256 = self._live(query, attempt, ANSWERED)
    mode: uint256 = (head >> 16) & 255
    assert mode == BEFORE_RELEASE or mode == AFTER_RELEASE, "WRONG_STATE"
    said: uint256 = convert(verdict, uint256)
    assert MATCH <= said and said <= INCOMPLETE, "VERDICT"
    before: uint256 = (head >> 24) & 255
    assert before == 0 or before == INCOMPLETE, "ALREADY_ATTESTED"
    if before == INCOMPLETE:
        said |= REPLACED
    log Attested(
        query=query,
        attempt=convert(attempt, uint8),
        verdict=verdict,
        member=member,
        stage=stage,
        round=round,
        release=release,
    )
    head = head & ~convert(255 << 24, uint256) | said << 24
    if mode == AFTER_RELEASE or verdict == 3:
        self.queries[query].head = head
    elif verdict == 1:
        self._end(query, head, RELEASED, END_NONE, 0)
    else:
        self._end(query, head, ABORTED, END_MISMATCH, 0)


# ---------------------------------------------------------------- fail, end


@external
def fail_attempt(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    reason: uint256 = 0
    waited: uint256 = 0
    order: DynArray[uint256, 128] = []
    query, attempt, reason, waited, order = abi_decode(
        args, (bytes32, uint256, uint256, uint256, DynArray[uint256, 128])
    )
    head: uint256 = self._live(query, attempt, COMPUTING)
    seat: uint256 = self._member()
    committee: uint256 = self.queries[query].committee
    size: uint256 = (head >> 40) & 255
    assert (
        seat & ROLE_SUPERVISOR != 0 or self._rank(committee, size, seat & 255) < size
    ), "NOT_IN_COMMITTEE"
    assert 0 < reason and (reason <= REASON_ABORT or reason == REASON_TRANSCRIPTS), "REASON"
    self._fail(query, head, seat, reason, waited, order)


@external
def reject_input(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    attempt: uint256 = 0
    participant: uint8 = 0
    order: DynArray[uint256, 128] = []
    query, attempt, participant, order = abi_decode(args, (bytes32, uint256, uint8, DynArray[uint256, 128]))
    seat: uint256 = self._member()
    assert seat & ROLE_SUPERVISOR != 0, "SUPERVISOR_ONLY"
    head: uint256 = self._live(query, attempt, COMPUTING)
    panel: uint256 = self.queries[query].panel
    committed: uint256 = panel & MASK_128 & ~(self.queries[query].open | panel >> 128)
    bit: uint256 = 1 << convert(participant, uint256)
    assert committed & bit != 0, "NO_CONTRIBUTION"
    self.queries[query].panel = panel | bit << 128
    log InputRejected(query=query, attempt=convert(attempt, uint8), participant=participant)
    self._fail(query, head, seat, REASON_INPUT_REJECTED, 0, order)


@internal
def _fail(
    query: bytes32, head: uint256, seat: uint256, reason: uint256, waited: uint256, order: DynArray[uint256, 128]
):
    """
    @notice End an attempt; the next one begins if there may be one.
    """
    attempt: uint256 = (head >> 8) & 255
    contribute_by: uint256 = unsafe_add(block.timestamp, (head >> WINDOW) & MASK_24)
    end: uint256 = END_NONE
    committee: uint256 = 0
    if attempt == ATTEMPTS_MAX:
        end = END_ATTEMPTS
    elif contribute_by >= (head >> DEADLINE) & MASK_48:
        end = END_TIME
    else:
        committee = self._next_committee(query, unsafe_add(attempt, 1), (head >> 40) & 255, waited, order)
        if committee == 0:
            end = END_COMMITTEE
    if end != END_NONE:
        contribute_by = 0
    log AttemptFailed(
        query=query,
        attempt=convert(attempt, uint8),
        by=convert(seat & 255, uint8),
        reason=convert(reason, uint8),
        waited=waited,
        committee=self._unpack(committee, committee >> 64),
        contribute_by=contribute_by,
    )
    if end != END_NONE:
        self._end(query, head, ABORTED, end, waited)
        return
    panel: uint256 = self.queries[query].panel
    self.queries[query].open = panel & MASK_128 & ~(panel >> 128)
    self.queries[query].head = (
        head & HEAD_KEPT
        | REGISTERED
        | unsafe_add(attempt, 1) << 8
        | (committee >> 64) << 40
        | contribute_by << CONTRIBUTE_BY
    )


@internal
def _next_committee(
    query: bytes32, attempt: uint256, size: uint256, waited: uint256, order: DynArray[uint256, 128]
) -> uint256:
    """
    @notice Store the committee of a further attempt and what it excludes.
    @return Indices in bytes 0 to 7, their number in byte 8; 0 if no committee meets the rule.
    """
    stored: uint256 = self.queries[query].committee
    excluded: uint256 = (stored >> 64) & MASK_128
    for i: uint256 in range(size, bound=8):
        excluded |= waited & (1 << ((stored >> (i << 3)) & 255))
    committee: uint256 = 0
    committee, excluded = staticcall Members(MEMBERS).next_committee(
        query, attempt, self.queries[query].panel & MASK_128, excluded, order, skip_contract_check=True
    )
    assert committee >> 248 != 1, "COMMITTEE_ORDER"
    if committee >> 248 != 0:
        return 0
    self.queries[query].committee = (stored >> 192) << 192 | excluded << 64 | committee & MASK_64
    return committee


@external
def expire(signers: DynArray[address, 8], statements: Bytes[4608], args: Bytes[14336]):
    query: bytes32 = empty(bytes32)
    waited: uint256 = 0
    query, waited = abi_decode(args, (bytes32, uint256))
    self._member()
    head: uint256 = self.queries[query].head
    assert head != 0, "UNKNOWN_QUERY"
    state: uint256 = head & 255
    assert (
        state == REGISTERED
        or state == COMPUTING
        or (state == ANSWERED and (head >> 16) & 255 == BEFORE_RELEASE)
    ), "WRONG_STATE"
    assert block.timestamp > (head >> DEADLINE) & MASK_48, "TOO_EARLY"
    self._end(query, head, EXPIRED, END_DEADLINE, waited)


@internal
def _end(query: bytes32, head: uint256, state: uint256, reason: uint256, waited: uint256):
    self.queries[query].head = (head >> 8) << 8 | state
    log Ended(query=query, state=convert(state, uint8), reason=convert(reason, uint8), waited=waited)


# ---------------------------------------------------------------- shared


@internal
@view
def _live(query: bytes32, attempt: uint256, state: uint256) -> uint256:
    """
    @return The head of a query that must be in that state and attempt.
    """
    head: uint256 = self.queries[query].head
    assert head != 0, "UNKNOWN_QUERY"
    assert head & 255 == state, "WRONG_STATE"
    assert (head >> 8) & 255 == attempt, "WRONG_ATTEMPT"
    return head


@internal
@view
def _member() -> uint256:
    """
    @return The sender's seat.
    """
    seat: uint256 = staticcall Members(MEMBERS).seat(msg.sender, skip_contract_check=True)
    assert seat & ACTIVE != 0, "MEMBER_ONLY"
    return seat


@internal
@pure
def _check_committee(committee: uint256):
    assert committee >> 248 != 1, "COMMITTEE_ORDER"
    assert committee >> 248 != 2, "COMMITTEE_TOO_SMALL"


@internal
@pure
def _rank(committee: uint256, size: uint256, index: uint256) -> uint256:
    """
    @return The rank of a member in a committee; its size if it is not in it.
    """
    rest: uint256 = committee
    for rank: uint256 in range(size, bound=8):
        if rest & 255 == index:
            return rank
        rest = rest >> 8
    return size


@internal
@pure
def _unpack(committee: uint256, size: uint256) -> DynArray[uint8, 8]:
    found: DynArray[uint8, 8] = []
    rest: uint256 = committee
    for i: uint256 in range(size, bound=8):
        found.append(convert(rest & 255, uint8))
        rest = rest >> 8
    return found


# ---------------------------------------------------------------- for the other contracts


@external
@view
def parties(query: bytes32) -> (uint256, uint256, uint256):
    """
    @return State (0: unknown), the members of panel and present committee, inquirer's index | its company << 32.
    """
    head: uint256 = self.queries[query].head
    stored: uint256 = self.queries[query].committee
    members: uint256 = self.queries[query].panel & MASK_128
    rest: uint256 = stored
    for i: uint256 in range((head >> 40) & 255, bound=8):
        members |= 1 << (rest & 255)
        rest = rest >> 8
    return head & 255, members, ((stored >> 208) & MASK_32) | ((head >> 48) & 255) << 32


# ---------------------------------------------------------------- for readers


@external
@view
def get(
    query: bytes32,
) -> (
    uint8, uint8, uint8, uint8, uint8, uint256, uint256, uint256, uint256, uint256, uint256, uint256, uint256,
    DynArray[uint8, 8], bytes32, bytes32, address
):
    """
    @return State, attempt, mode, verdict, minimum, epoch, contribute_by, deadline, computing_at, panel, committed,
            refused, excluded, committee, model, request hash, inquirer; all zero for an unknown query.
    """
    q: Query = self.queries[query]
    model: bytes32 = empty(bytes32)
    inquirer: address = empty(address)
    if q.head != 0:
        model = staticcall Registries(REGISTRIES).model_at((q.committee >> 192) & 65535)
        inquirer = staticcall Registries(REGISTRIES).inquirer_at((q.committee >> 208) & MASK_32)
    return (
        convert(q.head & 255, uint8),
        convert((q.head >> 8) & 255, uint8),
        convert((q.head >> 16) & 255, uint8),
        convert((q.head >> 24) & 3, uint8),
        convert((q.head >> 32) & 255, uint8),
        q.head >> EPOCH,
        (q.head >> CONTRIBUTE_BY) & MASK_48,
        (q.head >> DEADLINE) & MASK_48,
        (q.head >> COMPUTING_AT) & MASK_48,
        q.panel & MASK_128,
        q.panel & MASK_128 & ~(q.open | q.panel >> 128),
        q.panel >> 128,
        (q.committee >> 64) & MASK_128,
        self._unpack(q.committee, (q.head >> 40) & 255),
        model,
        q.request,
        inquirer,
    )
