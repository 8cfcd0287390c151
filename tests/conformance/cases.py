"""The whole conformance table, and what of it a server has."""

from __future__ import annotations

from typing import Final

from conformance.base_types import JSON, NUMBERS, OTHERS, SYSTEM, TEXT, TIMES
from conformance.case import array_of
from conformance.made_types import EXTENSIONS, MADE, RANGES

SCALARS: Final = (*NUMBERS, *TEXT, *JSON, *TIMES, *OTHERS, *SYSTEM, *RANGES, *MADE, *EXTENSIONS)
WITHOUT_ARRAYS: Final = frozenset({"text_c"})
"""A collation belongs to the column, not to an element."""
CASES: Final = (*SCALARS, *(array_of(case) for case in SCALARS if case.name not in WITHOUT_ARRAYS))

NO_INPUT: Final = {
    "gtsvector": "internal to GiST indexes",
    "pg_brin_bloom_summary": "internal to BRIN indexes",
    "pg_brin_minmax_multi_summary": "internal to BRIN indexes",
    "pg_dependencies": "extended statistics",
    "pg_mcv_list": "extended statistics",
    "pg_ndistinct": "extended statistics",
    "pg_node_tree": "parsed expressions of the catalogue",
}
"""Base types that accept no value from outside: no table of a user can hold one that could be written anywhere."""
