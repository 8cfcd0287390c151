"""All generators by name, and a digest of their options and properties for the plan's fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tailrace_shared.generators.ai import Ai
from tailrace_shared.generators.alphabets import alphabets_digest
from tailrace_shared.generators.base import GeneratorSpec
from tailrace_shared.generators.keys import Key
from tailrace_shared.generators.made import (
    MakeBoolean,
    MakeChoice,
    MakePattern,
    MakeReference,
    MakeSequence,
    MakeWords,
)
from tailrace_shared.generators.made_ranges import MakeDate, MakeNumber
from tailrace_shared.generators.masks import MaskDate, MaskHash, MaskNumber, MaskText
from tailrace_shared.generators.mocks import (
    MockCity,
    MockCompany,
    MockEmail,
    MockFirstName,
    MockFullName,
    MockLastName,
    MockPhone,
    MockPostcode,
    MockStreet,
)
from tailrace_shared.generators.plain import Constant, Duplicate, Null
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.types import Family

CATALOGUE_VERSION = 1
"""Raised whenever a kernel's output changes for the same secret, domain, value and options."""

AnySpec = (
    Duplicate | Null | Constant | Key | MaskText | MaskHash | MaskNumber | MaskDate
    | MockFirstName | MockLastName | MockFullName | MockEmail | MockPhone | MockCompany | MockStreet | MockCity
    | MockPostcode
    | MakeNumber | MakeDate | MakeBoolean | MakeChoice | MakeWords | MakePattern | MakeSequence | MakeReference
    | Ai
)  # fmt: skip

BareName = Literal[
    "duplicate", "null", "key", "mask.text", "mask.hash", "mask.number", "mask.date",
    "mock.first_name", "mock.last_name", "mock.full_name", "mock.email", "mock.phone", "mock.company", "mock.street",
    "mock.city", "mock.postcode",
    "make.number", "make.date", "make.boolean", "make.choice", "make.words", "make.sequence", "make.reference",
    "ai",
]  # fmt: skip
"""Generators that need no option: a job file may give the name alone."""

GENERATORS: Mapping[str, type[GeneratorSpec]] = MappingProxyType(
    {
        spec.model_fields["generator"].default: spec
        for spec in (
            Duplicate, Null, Constant, Key, MaskText, MaskHash, MaskNumber, MaskDate,
            MockFirstName, MockLastName, MockFullName, MockEmail, MockPhone, MockCompany, MockStreet, MockCity,
            MockPostcode,
            MakeNumber, MakeDate, MakeBoolean, MakeChoice, MakeWords, MakePattern, MakeSequence, MakeReference,
            Ai,
        )
    }
)  # fmt: skip


def _expand(value: Any) -> Any:
    """``mock.email`` stands for ``{generator: mock.email}``; YAML's bare ``null`` for the generator `null`."""
    if value is None:
        value = "null"
    if isinstance(value, str):
        value = {"generator": value}
    name = value.get("generator") if isinstance(value, dict) else None
    if isinstance(name, str) and name not in GENERATORS:
        raise ValueError(f"there is no generator {name} — {suggest(name, GENERATORS)}")
    return value


Rule = Annotated[
    Annotated[AnySpec, Field(discriminator="generator")],
    BeforeValidator(_expand, json_schema_input_type=BareName | Annotated[AnySpec, Field(discriminator="generator")]),
]
"""A column's rule in a pydantic model: a generator's name, or a mapping with ``generator`` and its options."""


def default_mask(family: Family) -> GeneratorSpec:
    """What the policy `mask` gives a column without a rule: a mask of its family, NULL where there is none."""
    if family == "text":
        return MaskText()
    if family in ("integer", "number", "float"):
        return MaskNumber()
    if family in ("date", "timestamp", "timestamptz", "time"):
        return MaskDate()
    return Key() if family == "uuid" else Null()


@cache
def catalogue_digest() -> str:
    """SHA-256 (hex) over version, names, options, properties and alphabets: replicas of one run must agree on it.

    Made once: every heartbeat of a generator tells it, and the schemas take 50 ms.
    """
    described = {
        name: {
            "schema": spec.model_json_schema(),
            "deterministic": spec.deterministic,
            "row_local": spec.row_local,
            "families": sorted(spec.families),
            "domain_family": spec.domain_family,
            "from": [spec.from_value, spec.from_ordinal],
            "nulls": spec.nulls,
        }
        for name, spec in GENERATORS.items()
    }
    text = json.dumps([CATALOGUE_VERSION, alphabets_digest(), described], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
