"""What the supervisor knows of a query while it serves it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mpcnode.query.audit import AuditedInput
from mpcnode.query.view import QueryView
from mpcnode.roles.auditing import AuditKeys, InputsRejectedError, Recomputed
from mpcnode.roles.context import Context
from mpcnode.roles.dealing import Dealt
from mpcnode.roles.inputs import AttemptInputs
from mpcnode.roles.stopwatch import Stopwatch
from mpcnode.types import MemberIndex, SessionId


@dataclass(slots=True)
class Case:
    """What is known of a query while it is served."""

    tasks: asyncio.TaskGroup
    """For what outlasts an attempt's computation."""
    subjects: asyncio.Task[InputsRejectedError | None]
    """What is wrong with the inquirer's copy, which is the same for every attempt."""
    inputs: AttemptInputs | None = None
    """Of the latest attempt that anything was committed to."""
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

    def lacks_inputs(self, view: QueryView) -> bool:
        """Whether something is committed to the present attempt that was not begun to be opened."""
        return bool(view.commitments) and (self.inputs is None or self.inputs.lacks(view))

    def open_inputs(self, context: Context, keys: AuditKeys, view: QueryView) -> AttemptInputs:
        """Begin to open and check what is committed to the present attempt; drop that of an earlier one."""
        if self.inputs is None or self.inputs.attempt != view.attempt:
            self._drop_inputs()
            self.inputs = AttemptInputs(context, keys, self.tasks, view)
        self.inputs.open(view)
        return self.inputs

    def drop_result(self) -> None:
        """Recompute nothing any more."""
        if self.recomputing is not None:
            self.recomputing.cancel()
        self.session = self.recomputing = None

    def close(self) -> None:
        """Do nothing any more."""
        self.drop_result()
        self._drop_inputs()
        self.subjects.cancel()

    def _drop_inputs(self) -> None:
        if self.inputs is not None:
            self.inputs.drop()


@dataclass(frozen=True, slots=True)
class Deal:
    """What an attempt is dealt, and on which inputs."""

    inputs: Mapping[MemberIndex, AuditedInput]
    dealt: Dealt
    watch: Stopwatch
