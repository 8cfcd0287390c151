"""How a column is looked at, decided from its type and its rule before a value is seen, and once more from the source's values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tailrace.quality.columns import Column, Kind, codes
from tailrace.quality.model import Compared
from tailrace_shared.types import Family

KINDS: Final[dict[Family, Kind]] = {
    "integer": "number",
    "number": "number",
    "float": "number",
    "boolean": "name",
    "enum": "name",
    "text": "name",
    "date": "moment",
    "timestamp": "moment",
    "timestamptz": "moment",
    "time": "moment",
    "interval": "moment",
}
"""Families that are not named are opaque."""
KEPT: Final = frozenset({"duplicate", "mask.number", "mask.date", "ai"})
"""Generators after which a column's values mean what they meant; what is made from nothing (``make.…``) is judged so, too."""
COUNTED: Final = frozenset({"key", "null", "constant"})
DISTINCT_SHARE: Final = 0.5
"""A name of which more values than this are different stands for itself alone."""
DISTINCT_MIN: Final = 50


@dataclass(frozen=True)
class Treatment:
    """A column's name, rule, and how it is compared."""

    name: str
    type: str
    generator: str
    masked: bool
    kind: Kind
    compared: Compared
    looks_like: str = ""
    key: bool = False
    """It identifies a row, or refers to one."""

    @staticmethod
    def of(
        name: str, type_name: str, family: Family, generator: str, *, masked: bool, key: bool, looks_like: str = ""
    ) -> Treatment:
        """For a column of a job. ``key``: it identifies or refers to a row, so its values mean nothing."""
        kind: Kind = "opaque" if key else KINDS.get(family, "opaque")
        if kind == "opaque" or generator in COUNTED:
            compared: Compared = "counts"
        elif generator in KEPT or generator.startswith("make."):
            compared = "values"
        else:
            compared, kind = "profile", "name"
        return Treatment(name, type_name, generator, masked, kind, compared, looks_like, key)

    def seen(self, source: Column) -> Treatment:
        """The same, once the source's values are known: names that hardly repeat are compared by counts."""
        if self.kind != "name":
            return self
        present = int((~source.missing).sum())
        distinct = len(np.unique(codes(source)[0][~source.missing]))
        if distinct > max(DISTINCT_MIN, DISTINCT_SHARE * present):
            return replace(self, kind="opaque", compared="counts")
        return self
