"""The contract between trainer and generator: a model of a table as tensors and JSON, and its network in numpy."""

from tailrace_shared.synthesis.artefact import MODEL_BYTES_MAX, Artefact
from tailrace_shared.synthesis.conditions import Between, Condition, Weighted
from tailrace_shared.synthesis.encodings import (
    CategoryColumn,
    ColumnEncoding,
    FreshColumn,
    MomentColumn,
    Number,
    NumberColumn,
    PatternColumn,
    PlaceColumn,
    Token,
    WordsColumn,
)
from tailrace_shared.synthesis.header import Header, Privacy, Shape, TokenRef, Training
from tailrace_shared.synthesis.network import Network
from tailrace_shared.synthesis.sequence import SequenceArtefact, SequenceHeader, Timeline, load_model

__all__ = [
    "MODEL_BYTES_MAX",
    "Artefact",
    "Between",
    "CategoryColumn",
    "ColumnEncoding",
    "Condition",
    "FreshColumn",
    "Header",
    "MomentColumn",
    "Network",
    "Number",
    "NumberColumn",
    "PatternColumn",
    "PlaceColumn",
    "Privacy",
    "SequenceArtefact",
    "SequenceHeader",
    "Shape",
    "Timeline",
    "Token",
    "TokenRef",
    "Training",
    "Weighted",
    "WordsColumn",
    "load_model",
]
