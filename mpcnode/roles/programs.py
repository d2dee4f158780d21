"""What every MPC node and the dealer derive alike from the ledger: an attempt's session id, layout, batch and pool."""

from dataclasses import dataclass
from functools import lru_cache

from ledger.types import ChainId
from mpcnode.errors import ErrorCode, LocalError, RequestError
from mpcnode.mpc import Batch, Program
from mpcnode.mpc.pools import PoolId, pool_id
from mpcnode.query.view import QueryView
from mpcnode.roles.context import Context
from mpcnode.scorecard import Layout, Model, PanelMember, compile_batch, lay_out
from mpcnode.types import AuditMode, CorrelationSource, Member, MemberIndex, SessionId, members_of

_PROGRAMS_KEPT = 64


def session_of(view: QueryView) -> SessionId:
    """Name of the session of a query's current attempt.

    Raises:
        LocalError: the query is not being computed.
    """
    if view.session is None:
        raise LocalError(f"query {view.query.hex()}: expected it to be computed, it is {view.state.name}")
    return view.session


def model_of(context: Context, view: QueryView) -> Model:
    """The model that a query asks.

    Raises:
        RequestError: this daemon has no document of that hash.
    """
    model = context.models.get(view.model)
    if model is None:
        raise RequestError(f"model {view.model.hex()}: expected its document here", ErrorCode.UNKNOWN_MODEL)
    return model


def layout_of(context: Context, view: QueryView) -> Layout:
    """The model and the panel of a query; the inquirer's own company does not count for coverage."""
    company = context.inquirers[view.inquirer].company
    return lay_out(
        model_of(context, view),
        [panel_member(context, context.members[member], company) for member in members_of(view.panel)],
    )


def panel_member(context: Context, member: Member, inquirer_company: int) -> PanelMember:
    """A panel member as a model sees it."""
    classes = frozenset(supplied_classes(context, member))
    return PanelMember(member=member.index, classes=classes, counted=member.company != inquirer_company)


def supplied_classes(context: Context, member: Member) -> tuple[str, ...]:
    """Names of the data classes that a member supplies."""
    return tuple(name for bit, name in enumerate(context.classes) if member.classes >> bit & 1)


def batch_of(context: Context, view: QueryView) -> Batch:
    """What runs in a query's current attempt: one chunk for one subject, as many as it takes for more."""
    return _compiled(layout_of(context, view), len(view.committee), view.terms.subjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Correlations that can be made before a query comes."""

    name: PoolId
    committee: tuple[MemberIndex, ...]
    """Ascending."""
    program: Program
    """One that uses them; all that do have equal correlations."""


def pool_of(context: Context, view: QueryView) -> Pool | None:
    """The pool that a query's attempt may draw from; None if it is not about one subject, or is dealt to.

    Raises:
        RequestError: this daemon has no document of its model.
    """
    if view.terms.subjects > 1 or view.mode is AuditMode.BEFORE_RELEASE or not context.correlations.is_joint:
        return None
    return _pool(context.chain, context.correlations, tuple(sorted(view.committee)), layout_of(context, view))


@lru_cache(maxsize=_PROGRAMS_KEPT)
def _pool(chain: ChainId, source: CorrelationSource, committee: tuple[MemberIndex, ...], layout: Layout) -> Pool:
    program = _compiled(layout, len(committee), 1).program(0)
    return Pool(name=pool_id(chain, source, committee, program), committee=committee, program=program)


@lru_cache(maxsize=_PROGRAMS_KEPT)
def _compiled(layout: Layout, parties: int, subjects: int) -> Batch:
    return compile_batch(layout, parties, subjects)
