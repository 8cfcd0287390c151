"""The contract between trainer and generator: a model of a table as tensors and JSON, and its network in numpy."""

from tailrace_shared.synthesis.artefact import MODEL_BYTES_MAX, Artefact
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

__all__ = [
    "MODEL_BYTES_MAX",
    "Artefact",
    "CategoryColumn",
    "ColumnEncoding",
    "FreshColumn",
    "Header",
    "MomentColumn",
    "Network",
    "Number",
    "NumberColumn",
    "PatternColumn",
    "PlaceColumn",
    "Privacy",
    "Shape",
    "Token",
    "TokenRef",
    "Training",
    "WordsColumn",
]
