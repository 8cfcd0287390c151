"""What generators are, without numpy: specs, their options and properties, the columns they fill.

The kernels behind them live in ``tailrace_generator.kernels``, under the same names.
"""

from tailrace_shared.generators.base import GeneratorSpec, Injectivity, Nulls
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.generators.keys import Key, key_limit
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
    "LOCALES",
    "Constant",
    "Duplicate",
    "GeneratorSpec",
    "Injectivity",
    "Key",
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
    "shape_of",
    "shape_size",
]
