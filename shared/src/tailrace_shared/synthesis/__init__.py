"""The contract between trainer and generator: a model of a table as tensors and JSON, and its network in numpy."""

from tailrace_shared.synthesis.artefact import MODEL_BYTES_MAX, Artefact
from tailrace_shared.synthesis.conditions import Among, Between, Condition, Ordered, Rule, Weighted
from tailrace_shared.synthesis.encodings import (
    AboveColumn,
    CategoryColumn,
    ColumnEncoding,
    FreshColumn,
    ListColumn,
    MomentColumn,
    Number,
    NumberColumn,
    PatternColumn,
    PlaceColumn,
    TogetherColumn,
    Token,
    WordsColumn,
)
from tailrace_shared.synthesis.header import Account, Header, Privacy, Shape, TokenRef, Training
from tailrace_shared.synthesis.network import Network
from tailrace_shared.synthesis.sequence import SequenceArtefact, SequenceHeader, Timeline, load_model

__all__ = [
    "MODEL_BYTES_MAX",
    "AboveColumn",
    "Account",
    "Among",
    "Artefact",
    "Between",
    "CategoryColumn",
    "ColumnEncoding",
    "Condition",
    "FreshColumn",
    "Header",
    "ListColumn",
    "MomentColumn",
    "Network",
    "Number",
    "NumberColumn",
    "Ordered",
    "PatternColumn",
    "PlaceColumn",
    "Privacy",
    "Rule",
    "SequenceArtefact",
    "SequenceHeader",
    "Shape",
    "Timeline",
    "TogetherColumn",
    "Token",
    "TokenRef",
    "Training",
    "Weighted",
    "WordsColumn",
    "load_model",
]
