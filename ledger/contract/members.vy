# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Members
@notice Companies, daemons, roles, data classes, anchors, validators; panel and committee rules (docs/protocol.md 6.1, 6.2).
@dev Sets of members are bitmaps. Maps over sets are keyed by the bit itself, so that a loop over a set needs no
     logarithm: `set & (~set + 1)` is its lowest bit, and the key.
"""

MEMBERS_MAX: constant(uint256) = 128
COMMITTEE_MAX: constant(uint256) = 8
COMMITTEE_COMPANIES: constant(uint256) = 3
ROLES_ALL: constant(uint256) = 15
ROLE_MPC: constant(uint256) = 2
ROLE_PARTICIPANT: constant(uint256) = 4
ACTIVE: constant(uint256) = 1 << 24
NOBODY: constant(uint256) = 255

# Status of a committee, in the top byte of its word.
ORDER_WRONG: constant(uint256) = 1 << 248
TOO_SMALL: constant(uint256) = 2 << 248

struct Validator:
    key: bytes32
    index: uint8

company_count: uint256
companies_min: uint256
member_count: uint256
# address -> index (8 bits) | company << 8 | roles << 16 | ACTIVE
words: HashMap[address, uint256]
addresses: HashMap[uint256, address]
# 32 members in a word, one byte each
companies: uint256[4]
# role bit -> active members
by_role: HashMap[uint256, uint256]
# class bit -> members that supply it
by_class: HashMap[uint256, uint256]
# participants with an anchor list; member bit -> its anchors
anchored: uint256
anchors: HashMap[uint256, uint256]
validating: uint256
validating_companies: uint256
vote_keys: HashMap[uint256, bytes32]
# Changes with every change of the set, and differs between any two histories of it: hosts cache the set under it.
validators_digest: bytes32


@internal
@view
def _system_only():
    assert msg.sender == empty(address) and block.number == 0, "SYSTEM_ONLY"


@external
def set_up(company_count: uint256, companies_min: uint256):
    """
    @notice Genesis, first of all: how many companies there are, and how many a committee must span.
    """
    self._system_only()
    assert 0 < company_count and company_count <= MEMBERS_MAX, "COMPANY_COUNT"
    assert companies_min == 2 or companies_min == COMMITTEE_COMPANIES, "COMPANIES_MIN"
    self.company_count = company_count
    self.companies_min = companies_min


@external
def add(who: address, company: uint256, roles: uint256, classes: uint256, anchors: uint256, vote_key: bytes32):
    """
    @notice Genesis: add the next member. Classes and anchors count for participants only.
    """
    self._system_only()
    index: uint256 = self.member_count
    bit: uint256 = 1 << index
    assert index < MEMBERS_MAX, "MEMBERS_FULL"
    assert who != empty(address) and self.words[who] == 0, "MEMBER_EXISTS"
    assert company < self.company_count, "UNKNOWN_COMPANY"
    assert 0 < roles and roles <= ROLES_ALL, "ROLES"
    self.member_count = index + 1
    self.words[who] = index | company << 8 | roles << 16 | ACTIVE
    self.addresses[index] = who
    self.companies[index >> 5] |= company << ((index & 31) << 3)
    for at: uint256 in range(4):
        if roles & (1 << at) != 0:
            self.by_role[1 << at] |= bit
    if roles & ROLE_PARTICIPANT != 0:
        rest: uint256 = classes
        for i: uint256 in range(256):
            if rest == 0:
                break
            kind: uint256 = rest & unsafe_add(~rest, 1)
            self.by_class[kind] |= bit
            rest ^= kind
        if anchors != 0:
            self.anchored |= bit
            self.anchors[bit] = anchors
    if vote_key != empty(bytes32):
        assert self.validating_companies & (1 << company) == 0, "ONE_VALIDATOR_PER_COMPANY"
        self.validating_companies |= 1 << company
        self.validating |= bit
        self.vote_keys[index] = vote_key
        self.validators_digest = keccak256(abi_encode(self.validators_digest, vote_key, index))


# ---------------------------------------------------------------- for the other contracts


@external
@view
def seat(who: address) -> uint256:
    """
    @return index | company << 8 | roles << 16 | ACTIVE; 0 if nobody.
    """
    return self.words[who]


@external
@view
def seats(sender: address, signers: DynArray[address, COMMITTEE_MAX]) -> uint256:
    """
    @return The sender's index in byte 0, the signers' in bytes 1, 2 …; NOBODY for who is no active MPC member.
    """
    packed: uint256 = self._mpc_index(sender)
    at: uint256 = 8
    for signer: address in signers:
        packed |= self._mpc_index(signer) << at
        at = unsafe_add(at, 8)
    return packed


@internal
@view
def _mpc_index(who: address) -> uint256:
    word: uint256 = self.words[who]
    if word & (ACTIVE | ROLE_MPC << 16) != ACTIVE | ROLE_MPC << 16:
        return NOBODY
    return word & 255


@external
@view
def plan(
    sender: address, classes: uint256, query: bytes32, order: DynArray[uint256, MEMBERS_MAX]
) -> (uint256, uint256, uint256):
    """
    @notice What a registration needs.
    @return The sender's seat, the panel, the committee of attempt 1 (see `_committee`).
    """
    panel: uint256 = self._suppliers(classes)
    return self.words[sender], panel, self._committee(query, 1, self.by_role[ROLE_MPC], panel, order)


@external
@view
def next_committee(
    query: bytes32, attempt: uint256, panel: uint256, excluded: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> (uint256, uint256):
    """
    @notice What a further attempt needs.
    @return The committee (see `_committee`), and the exclusions that remain: all or none.
    """
    everyone: uint256 = self.by_role[ROLE_MPC]
    pool: uint256 = everyone & ~excluded
    if pool == everyone or self._sufficient(pool, panel):
        return self._committee(query, attempt, pool, panel, order), excluded
    return self._committee(query, attempt, everyone, panel, order), 0


@internal
@view
def _suppliers(classes: uint256) -> uint256:
    found: uint256 = 0
    rest: uint256 = classes
    for i: uint256 in range(256):
        if rest == 0:
            break
        kind: uint256 = rest & unsafe_add(~rest, 1)
        found |= self.by_class[kind]
        rest ^= kind
    return found & self.by_role[ROLE_PARTICIPANT]


@internal
@view
def _sufficient(pool: uint256, panel: uint256) -> bool:
    """
    @return Whether a pool spans enough companies and holds an anchor of every panel member that has a list.
    """
    missing: uint256 = self.companies_min
    seen: uint256 = 0
    rest: uint256 = pool
    for index: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        if rest & 1 != 0:
            company: uint256 = 1 << ((self.companies[index >> 5] >> ((index & 31) << 3)) & 255)
            if seen & company == 0:
                seen |= company
                if missing > 0:
                    missing = unsafe_sub(missing, 1)
        rest = rest >> 1
    if missing > 0:
        return False
    rest = panel & self.anchored
    for i: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        participant: uint256 = rest & unsafe_add(~rest, 1)
        if self.anchors[participant] & pool == 0:
            return False
        rest ^= participant
    return True


@internal
@view
def _committee(
    query: bytes32, attempt: uint256, pool: uint256, panel: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> uint256:
    """
    @notice Verify the order of the pool and take the committee from it.
    @return Members' indices by rank in bytes 0 to 7, their number in byte 8; or ORDER_WRONG, or TOO_SMALL.
    """
    packed: uint256 = 0
    count: uint256 = 0
    chosen: uint256 = 0
    companies: uint256 = 0
    page: uint256 = self.companies[0]
    rest: uint256 = pool
    last: uint256 = 0
    for index: uint256 in order:
        bit: uint256 = 1 << index
        rank: uint256 = convert(keccak256(abi_encode(query, attempt, index)), uint256)
        if rest & bit == 0 or rank <= last:
            return ORDER_WRONG
        rest ^= bit
        last = rank
        if count < COMMITTEE_COMPANIES:
            company: uint256 = 0
            if index < 32:
                company = 1 << ((page >> (index << 3)) & 255)
            else:
                company = 1 << ((self.companies[index >> 5] >> ((index & 31) << 3)) & 255)
            if companies & company == 0:
                companies |= company
                chosen |= bit
                packed |= index << (count << 3)
                count = unsafe_add(count, 1)
    if rest != 0:
        return ORDER_WRONG
    if count < COMMITTEE_COMPANIES and count < self.companies_min:
        return TOO_SMALL
    wanting: uint256 = panel & self.anchored
    if wanting == 0:
        return packed | count << 64
    return self._with_anchors(chosen, count, wanting, order)


@internal
@view
def _with_anchors(
    first: uint256, first_count: uint256, wanting: uint256, order: DynArray[uint256, MEMBERS_MAX]
) -> uint256:
    chosen: uint256 = first
    count: uint256 = first_count
    rest: uint256 = wanting
    for i: uint256 in range(MEMBERS_MAX):
        if rest == 0:
            break
        participant: uint256 = rest & unsafe_add(~rest, 1)
        rest ^= participant
        wanted: uint256 = self.anchors[participant]
        if wanted & chosen == 0:
            found: uint256 = 0
            for index: uint256 in order:
                found = wanted & (1 << index)
                if found != 0:
                    break
            if found == 0 or count == COMMITTEE_MAX:
                return TOO_SMALL
            chosen |= found
            count = unsafe_add(count, 1)
    packed: uint256 = 0
    at: uint256 = 0
    for index: uint256 in order:
        if chosen & (1 << index) != 0:
            packed |= index << at
            at = unsafe_add(at, 8)
    return packed | count << 64


# ---------------------------------------------------------------- for readers


@external
@view
def member(who: address) -> (uint8, uint8, uint256, bool):
    """
    @return Index, company, roles, active; all zero if nobody.
    """
    word: uint256 = self.words[who]
    return (
        convert(word & 255, uint8),
        convert((word >> 8) & 255, uint8),
        (word >> 16) & 255,
        word & ACTIVE != 0,
    )


@external
@view
def by_index(index: uint8) -> address:
    return self.addresses[convert(index, uint256)]


@external
@view
def role(role: uint256) -> uint256:
    """
    @return Active members with that role (1 operator, 2 mpc, 4 participant, 8 supervisor).
    """
    return self.by_role[role]


@external
@view
def suppliers(classes: uint256) -> uint256:
    """
    @return The panel of a model that needs these classes.
    """
    return self._suppliers(classes)


@external
@view
def anchors_of(index: uint8) -> uint256:
    return self.anchors[1 << convert(index, uint256)]


@external
@view
def committee_companies_min() -> uint256:
    return self.companies_min


@external
@view
def validators() -> DynArray[Validator, MEMBERS_MAX]:
    found: DynArray[Validator, MEMBERS_MAX] = []
    bits: uint256 = self.validating
    for index: uint256 in range(MEMBERS_MAX):
        if bits & (1 << index) != 0:
            found.append(Validator(key=self.vote_keys[index], index=convert(index, uint8)))
    return found
