"""How models are shown: what each needs, who approved it, who is asked; loaded by commands, for it is slow."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mpcnode.cli.ledger.ballots import Assembly, Rows
from mpcnode.cli.ledger.options import time_of
from mpcnode.governance.models import Fees, RegisteredModel
from mpcnode.types import MemberIndex, ModelHash

_NOT_STATED = "not stated"


def name_of(model: ModelHash, assembly: Assembly) -> str | None:
    """Return what the consortium document calls a model; None if it does not list it."""
    listed = assembly.consortium.model_by_hash(model)
    return None if listed is None else listed.name


def model_rows(model: RegisteredModel, assembly: Assembly) -> Rows:
    """Return all about one model."""
    name = name_of(model.model, assembly)
    return [
        ("model", model.model.hex() if name is None else f"{name} ({model.model.hex()})"),
        ("  state", _state(model)),
        ("  audit", _audit(model)),
        ("  minimum", f"{model.minimum} (companies other than the inquirer's)"),
        ("  classes", _listed(_classes(model, assembly))),
        ("  purposes", _listed(model.purposes)),
        ("  approved by", _listed(_names(model.approved, assembly), "nobody")),
        ("  not yet", _listed(_names(model.missing, assembly), "nobody")),
        ("  asked now", _listed(_names(model.asked, assembly), "nobody")),
        ("  reach", f"{model.reach} (output classes)" if model.reach else _NOT_STATED),
        ("  share", f"{model.share / 10:g} % of the range of points" if model.share else _NOT_STATED),
        ("  fees", _fees(model.fees)),
    ]


def model_fields(model: RegisteredModel, assembly: Assembly) -> dict[str, Any]:
    """Return all about one model, for programs."""
    return {
        "model": model.model,
        "name": name_of(model.model, assembly),
        "state": _state(model),
        "audit": _audit(model),
        "minimum": model.minimum,
        "classes": _classes(model, assembly),
        "purposes": model.purposes,
        "approved": _names(model.approved, assembly),
        "not_approved": _names(model.missing, assembly),
        "asked": _names(model.asked, assembly),
        "reach": model.reach or None,
        "share_permille": model.share or None,
        "fees": None if model.fees is None else asdict(model.fees),
    }


def _state(model: RegisteredModel) -> str:
    return "retired" if model.retired else "asked"


def _audit(model: RegisteredModel) -> str:
    return model.audit.name.lower().replace("_", "-")


def _classes(model: RegisteredModel, assembly: Assembly) -> list[str]:
    """Name data classes; the ledger may know more of them than the consortium document."""
    names = assembly.consortium.classes
    found = (index for index in range(model.classes.bit_length()) if model.classes >> index & 1)
    return [names[index] if index < len(names) else f"class-{index}" for index in found]


def _names(members: Iterable[MemberIndex], assembly: Assembly) -> list[str]:
    names = {member.index: member.name for member in assembly.members.members}
    return [names.get(index, f"member-{index}") for index in members]


def _listed(names: Iterable[str], nothing: str = "none") -> str:
    return ", ".join(names) or nothing


def _fees(fees: Fees | None) -> str:
    if fees is None:
        return "none"
    since = time_of(fees.since_ms)
    return f"asked {fees.asked}, contributed {fees.contributed}, computed {fees.computed}; since {since}"
