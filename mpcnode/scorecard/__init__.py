"""Scorecard models: read, checked, evaluated in clear, and compiled for the joint computation (docs/models.md)."""

from mpcnode.scorecard.body import ScorecardBody
from mpcnode.scorecard.canonical import encode_model, model_hash
from mpcnode.scorecard.clear import INSUFFICIENT, Columns, Outcome, Outcomes, evaluate, evaluate_many
from mpcnode.scorecard.compile import compile_batch, compile_model, row_shapes
from mpcnode.scorecard.document import parse
from mpcnode.scorecard.explanation import Contributed, Correlated, Explanation, explain_model
from mpcnode.scorecard.model import Attribute, Bin, Grade, Model
from mpcnode.scorecard.output import decode_output, decode_outputs, encode_outcomes, encode_output, output_size
from mpcnode.scorecard.panel import Contribution, Layout, PanelMember, Source, lay_out
from mpcnode.scorecard.ranges import Ranges, analyse

__all__ = [
    "INSUFFICIENT",
    "Attribute",
    "Bin",
    "Columns",
    "Contributed",
    "Contribution",
    "Correlated",
    "Explanation",
    "Grade",
    "Layout",
    "Model",
    "Outcome",
    "Outcomes",
    "PanelMember",
    "Ranges",
    "ScorecardBody",
    "Source",
    "analyse",
    "compile_batch",
    "compile_model",
    "decode_output",
    "decode_outputs",
    "encode_model",
    "encode_outcomes",
    "encode_output",
    "evaluate",
    "evaluate_many",
    "explain_model",
    "lay_out",
    "model_hash",
    "output_size",
    "parse",
    "row_shapes",
]
