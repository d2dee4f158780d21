"""What the supervisor knows of a query while it serves it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mpcnode.query.audit import AuditedInput
from mpcnode.roles.auditing import InputsRejectedError, Recomputed
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.stopwatch import Stopwatch
from mpcnode.types import MemberIndex, SessionId


@dataclass(slots=True)
class Case:
    """What is known of a query while it is served."""

    tasks: asyncio.TaskGroup
    """For what outlasts an attempt's computation."""
    subjects: asyncio.Task[InputsRejectedError | None]
    """What is wrong with the inquirer's copy, which is the same for every attempt."""
    session: SessionId | None = None
    """Of the latest attempt that was dealt to."""
    recomputing: asyncio.Task[Recomputed] | None = None
    """What that attempt must lead to."""

    async def accept_subjects(self) -> None:
        """Wait until the inquirer's copy has been checked.

        Raises:
            InputsRejectedError: it is wrong.
        """
        wrong = await asyncio.shield(self.subjects)
        if wrong is not None:
            raise InputsRejectedError(wrong.participant, wrong.error)

    def drop(self) -> None:
        """Recompute nothing any more."""
        if self.recomputing is not None:
            self.recomputing.cancel()
        self.session = self.recomputing = None


@dataclass(frozen=True, slots=True)
class Deal:
    """What an attempt is dealt, and on which inputs."""

    inputs: Mapping[MemberIndex, AuditedInput]
    dealt: Dealt
    watch: Stopwatch
