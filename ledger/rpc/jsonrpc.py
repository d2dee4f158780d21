"""Ethereum's JSON-RPC, read only, as a function from a request's body to an answer's (docs/ledger.md).

It knows no HTTP and opens nothing: whoever mounts it sends the bodies and decides who may ask. Specification: JSON-RPC
2.0, ethereum/execution-apis. A fault of the caller is an error object; only `StorageError` is raised, for that is this
machine's.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from ledger.rpc.allowance import Limits
from ledger.rpc.methods import Methods
from ledger.rpc.reading import ChainReader, Contracts
from ledger.rpc.refusals import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RefusedError,
)

_NO_ID = None
_READ_ONLY = frozenset({"eth_sendRawTransaction", "eth_sendTransaction", "eth_sign", "eth_signTransaction"})


class JsonRpc:
    """A read-only endpoint of one replica."""

    def __init__(
        self, reader: ChainReader, contracts: Contracts, *, client: str = "ledger", limits: Limits | None = None
    ) -> None:
        """Answer from `reader` and `contracts`, under the name `client`."""
        self._reader = reader
        self._contracts = contracts
        self._client = client
        self._limits = limits or Limits()

    def answer(self, body: bytes) -> bytes:
        """Answer a request or a batch; empty if nothing in it wants an answer.

        Raises:
            StorageError: the disk failed, or a node of the state is missing.
        """
        limits = self._limits
        if len(body) > limits.body_bytes:
            return _encode(_error(_NO_ID, LIMIT_EXCEEDED, f"expected a body of at most {limits.body_bytes} bytes"))
        try:
            parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
        except RefusedError as error:
            return _encode(_error(_NO_ID, error.code, error.message))
        except (ValueError, RecursionError):
            return _encode(_error(_NO_ID, PARSE_ERROR, "expected JSON in UTF-8"))
        methods = Methods(self._reader, self._contracts, client=self._client, limits=limits)
        if isinstance(parsed, list):
            return self._answer_batch(parsed, methods)
        answered = _answer_one(parsed, methods)
        return b"" if answered is None else _encode(answered)

    def _answer_batch(self, batch: Sequence[object], methods: Methods) -> bytes:
        limits = self._limits
        if not batch:
            return _encode(_error(_NO_ID, INVALID_REQUEST, "expected a batch of at least one request, got none"))
        if len(batch) > limits.batch:
            refusal = f"expected a batch of at most {limits.batch}, got {len(batch)}"
            return _encode(_error(_NO_ID, LIMIT_EXCEEDED, refusal))
        answers: list[bytes] = []
        size = 0
        for request in batch:
            answered = _answer_one(request, methods if size <= limits.answer_bytes else None)
            if answered is not None:
                answers.append(_encode(answered))
                size += len(answers[-1])
        return b"[" + b",".join(answers) + b"]" if answers else b""


def _answer_one(request: object, methods: Methods | None) -> Mapping[str, object] | None:
    """Answer one request, or refuse it without `methods`; None for a notification."""
    if not isinstance(request, dict):
        return _error(_NO_ID, INVALID_REQUEST, "expected an object")
    given = request.get("id")
    if not (given is None or (isinstance(given, str | int) and not isinstance(given, bool))):
        return _error(_NO_ID, INVALID_REQUEST, "id: expected a text, an integer or null")
    method, params = request.get("method"), request.get("params", [])
    if request.get("jsonrpc") != "2.0" or not isinstance(method, str):
        return _error(given, INVALID_REQUEST, 'expected jsonrpc "2.0" and a method')
    if "id" not in request:
        return None
    try:
        return {"jsonrpc": "2.0", "id": given, "result": _call(method, params, methods)}
    except RefusedError as error:
        return _error(given, error.code, error.message, error.data)


def _call(name: str, params: object, methods: Methods | None) -> object:
    if methods is None:
        raise RefusedError(LIMIT_EXCEEDED, "expected a batch with a shorter answer: ask for less at a time")
    found = _TABLE.get(name)
    if name in _READ_ONLY:
        raise RefusedError(METHOD_NOT_FOUND, f"{name}: this endpoint is read-only; transactions come from members")
    if found is None:
        raise RefusedError(METHOD_NOT_FOUND, f"the method {name[:64]} does not exist")
    method, least, most = found
    if not isinstance(params, list) or not least <= len(params) <= most:
        raise RefusedError(INVALID_PARAMS, f"{name}: expected a list of {least} to {most} parameters")
    return method(methods, *params)


def _error(given: object, code: int, message: str, data: str | None = None) -> Mapping[str, object]:
    error: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": given, "error": error}


def _encode(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode("ascii")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Whoever let a body pass may have read the first of two."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError(INVALID_REQUEST, "expected every key once, got one twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(name)


_TABLE: Mapping[str, tuple[Callable[..., object], int, int]] = {
    "web3_clientVersion": (Methods.client_version, 0, 0),
    "net_version": (Methods.network, 0, 0),
    "eth_chainId": (Methods.chain_id, 0, 0),
    "eth_blockNumber": (Methods.block_number, 0, 0),
    "eth_getBlockByNumber": (Methods.block_by_number, 1, 2),
    "eth_getBlockByHash": (Methods.block_by_hash, 1, 2),
    "eth_getTransactionByHash": (Methods.transaction, 1, 1),
    "eth_getTransactionReceipt": (Methods.receipt, 1, 1),
    "eth_getLogs": (Methods.logs, 1, 1),
    "eth_call": (Methods.call, 1, 2),
    "eth_getCode": (Methods.code, 1, 2),
    "eth_getBalance": (Methods.nothing_of, 1, 2),
    "eth_getTransactionCount": (Methods.nothing_of, 1, 2),
}
