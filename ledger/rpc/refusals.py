"""Errors that a JSON-RPC caller gets, by their code (JSON-RPC 2.0, section 5.1; EIP-1474)."""

from ledger.errors import InvalidError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
REVERTED = 3
"""As geth has it; the data is what the contract reverted with."""


class RefusedError(InvalidError):
    """A request that gets an error object; its text goes to the caller."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
