"""The one byte form of a model, and its hash (docs/models.md): comments and layout of the file do not matter."""

from ledger.encoding import Writer, digest
from mpcnode.scorecard.model import Attribute, Model
from mpcnode.types import ModelHash

_DOMAIN = "mpcnode/model/1"
_WORD_MASK = (1 << 64) - 1


def model_hash(model: Model) -> ModelHash:
    """Hash of a model, 32 bytes: what a request names and the ledger registers."""
    return ModelHash(digest(_DOMAIN, encode_model(model)))


def encode_model(model: Model) -> bytes:
    """Encode a model as docs/models.md lays out: integers are 64 bits in two's complement, big-endian.

    An attribute that earns its value has an empty list of bins, which no other has: so all models differ, and those
    that were registered before there were such attributes keep their hashes.
    """
    writer = Writer()
    writer.text(model.name).blob(model.title.encode()).uint(model.version, 4)
    writer.uint(model.minimum_coverage, 2).uint(int(model.audit), 1)
    writer.uint(len(model.purposes), 4)
    for purpose in model.purposes:
        writer.text(purpose)
    writer.uint(len(model.grades), 4)
    for grade in model.grades:
        _optional(writer.text(grade.name), grade.start)
    writer.uint(len(model.coverage_bands), 4)
    for band in model.coverage_bands:
        writer.uint(band, 2)
    writer.uint(len(model.attributes), 4)
    for attribute in model.attributes:
        _attribute(writer, attribute)
    return writer.bytes()


def _attribute(writer: Writer, attribute: Attribute) -> None:
    writer.text(attribute.name).blob(attribute.title.encode()).text(attribute.data_class).blob(attribute.unit.encode())
    writer.uint(attribute.scale, 1)
    for value in (attribute.minimum, attribute.maximum, attribute.weight, attribute.missing):
        _signed(writer, value)
    writer.uint(len(attribute.bins), 4)
    for item in attribute.bins:
        _optional(writer, item.start)
        _signed(writer, item.points)


def _signed(writer: Writer, value: int) -> None:
    writer.uint(value & _WORD_MASK, 8)


def _optional(writer: Writer, value: int | None) -> None:
    writer.uint(int(value is not None), 1)
    if value is not None:
        _signed(writer, value)
