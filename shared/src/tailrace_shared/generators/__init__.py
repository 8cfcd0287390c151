"""What generators are, without numpy: specs, their options and properties, the columns they fill.

The kernels behind them live in ``tailrace_generator.kernels``, under the same names.
"""

from tailrace_shared.generators.ai import Ai
from tailrace_shared.generators.base import GeneratorSpec, Injectivity, Making, Nulls
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.generators.keys import INTEGER_KEYS, Key, key_limit, text_key_chars
from tailrace_shared.generators.made import (
    Made,
    MakeBoolean,
    MakeChoice,
    MakePattern,
    MakeReference,
    MakeSequence,
    MakeWords,
)
from tailrace_shared.generators.made_ranges import MakeDate, MakeNumber, seconds_of
from tailrace_shared.generators.masks import MaskDate, MaskHash, MaskNumber, MaskText
from tailrace_shared.generators.mocks import (
    LOCALES,
    Mock,
    MockCity,
    MockCompany,
    MockEmail,
    MockFirstName,
    MockFullName,
    MockLastName,
    MockPhone,
    MockPostcode,
    MockStreet,
    UniqueMock,
)
from tailrace_shared.generators.plain import Constant, Duplicate, Null
from tailrace_shared.generators.registry import (
    CATALOGUE_VERSION,
    GENERATORS,
    Rule,
    catalogue_digest,
    default_mask,
)
from tailrace_shared.generators.rule import parse_rule
from tailrace_shared.generators.shapes import is_immutable, shape_of, shape_size

__all__ = [
    "CATALOGUE_VERSION",
    "GENERATORS",
    "INTEGER_KEYS",
    "LOCALES",
    "Ai",
    "Constant",
    "Duplicate",
    "GeneratorSpec",
    "Injectivity",
    "Key",
    "Made",
    "MakeBoolean",
    "MakeChoice",
    "MakeDate",
    "MakeNumber",
    "MakePattern",
    "MakeReference",
    "MakeSequence",
    "MakeWords",
    "Making",
    "MaskColumn",
    "MaskDate",
    "MaskHash",
    "MaskNumber",
    "MaskText",
    "Mock",
    "MockCity",
    "MockCompany",
    "MockEmail",
    "MockFirstName",
    "MockFullName",
    "MockLastName",
    "MockPhone",
    "MockPostcode",
    "MockStreet",
    "Null",
    "Nulls",
    "Refusal",
    "Rule",
    "UniqueMock",
    "catalogue_digest",
    "char_limit",
    "default_mask",
    "is_immutable",
    "key_limit",
    "parse_rule",
    "seconds_of",
    "shape_of",
    "shape_size",
    "text_key_chars",
]
