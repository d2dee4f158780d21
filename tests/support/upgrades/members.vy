# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Members as they had better not be
@notice For tests of new code: a migration that writes, and then fails.
"""

company_count: uint256


@external
def migrate():
    self.company_count = 99
    raise "CHANGED_MY_MIND"
