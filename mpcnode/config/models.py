"""The model documents that the consortium lists: read, and compared with what the ledger knows of them."""

from pathlib import Path

from mpcnode.config.consortium import Consortium, ListedModel
from mpcnode.config.reading import read_bytes
from mpcnode.errors import ConfigError, ModelError
from mpcnode.scorecard import Model, model_hash, parse


def read_model(path: Path) -> Model:
    """Read a model document.

    Raises:
        ConfigError: it cannot be read.
        ModelError: it breaks a rule of model documents; the message names file and place.
    """
    try:
        return parse(read_bytes(path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}", error.code) from error


def load_model(consortium: Consortium, listed: ListedModel) -> Model:
    """Read a listed model's document.

    Raises:
        ConfigError: it cannot be read, or is not the model that the consortium document lists.
        ModelError: it breaks a rule of model documents; the message names file and place.
    """
    model = read_model(listed.file)
    classes = [name for index, name in enumerate(consortium.classes) if listed.classes >> index & 1]
    for what, expected, got in (
        ("classes", ", ".join(sorted(classes)), ", ".join(sorted(model.classes))),
        ("audit", listed.audit.name, model.audit.name),
        ("purposes", ", ".join(sorted(listed.purposes)), ", ".join(sorted(model.purposes))),
        ("hash", listed.model.hex(), model_hash(model).hex()),
    ):
        if expected != got:
            raise ConfigError(f"{listed.file}: {what}: expected {expected} as in {consortium.path}, got {got}")
    return model
