"""The contract: Vyper programs, their codec, and the py-evm host that executes them.

Importing this package is cheap; py-evm is imported when a `ContractHost` is made.
"""

from ledger.contract.abi import DecodedLog, address_of, decode_log, encode_args
from ledger.contract.evm import ContractHost, Execution
from ledger.contract.hashing import hash_fast
from ledger.contract.unused import leave_out_unused

__all__ = ["ContractHost", "DecodedLog", "Execution", "address_of", "decode_log", "encode_args"]

hash_fast()
leave_out_unused()
