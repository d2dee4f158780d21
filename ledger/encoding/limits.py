"""Every size limit of the ledger in one table; tests/unit/ledger/encoding asserts the relations between them.

A transaction fits a block, a block a sync batch, a batch a message; so a value that one limit admits never fails
at the next.
"""

ARGS_BYTES_MAX = 14 * 1024
"""Arguments of a transaction; the widest hold an audit envelope or the boxes of a result (12 KiB)."""

TX_BYTES_MAX = 16 * 1024
"""An encoded transaction."""

COSIGNERS_MAX = 8
"""Cosigners of a transaction: the largest committee."""

STATEMENT_BYTES_MAX = 18 * 32
"""A cosigner's statement; the widest is a request for a query."""

BLOCK_BYTES_MAX = 512 * 1024
"""An encoded block."""

BATCH_BYTES_MAX = 1024 * 1024
"""A batch of final blocks sent to a replica that is behind."""

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""A gRPC message between replicas."""

TX_GAS_MAX = 1_000_000
"""Gas of one transaction; about 0.17 s of py-evm at worst."""

BLOCK_GAS_MAX = 3_000_000
"""Gas of one block; about 0.5 s of py-evm at worst."""

EXPIRY_AHEAD_MS_MAX = 3_600_000
"""How far a transaction's expiry may lie ahead of the block that includes it, ms."""

VALIDATORS_MAX = 128
"""Validators of one height."""

VIEWS_AHEAD_MAX = 64
"""Votes for a view further ahead than this are dropped."""

LOGS_MAX = 64
"""Events of one transaction."""

REASON_BYTES_MAX = 255
"""A revert reason; longer ones are cut."""
