"""The model documents that the consortium lists: read, and compared with what the ledger knows of them."""

from mpcnode.config.consortium import Consortium, ListedModel
from mpcnode.config.reading import read_bytes
from mpcnode.errors import ConfigError, ModelError
from mpcnode.scorecard import Model, model_hash, parse


def load_model(consortium: Consortium, listed: ListedModel) -> Model:
    """Read a listed model's document.

    Raises:
        ConfigError: it cannot be read, or is not the model that the consortium document lists.
        ModelError: it breaks a rule of model documents; the message names file and place.
    """
    try:
        model = parse(read_bytes(listed.file))
    except ModelError as error:
        raise ModelError(f"{listed.file}: {error}", error.code) from error
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
