"""Whether what a generator makes of a source type fits the destination's type."""

from __future__ import annotations

import re
from typing import Final

from tailrace_shared.generators import Constant, GeneratorSpec, MaskColumn, Null
from tailrace_shared.types import ColumnType

INTEGER_DIGITS: Final = {"int2": 5, "int4": 10, "int8": 19}
INTEGER_ORDER: Final = ("int2", "int4", "int8")
EXACT_FLOAT: Final = {"float4": ("int2",), "float8": ("int2", "int4")}
"""Integers that a float holds exactly."""
WIDENED: Final = frozenset(
    {("float4", "float8"), ("date", "timestamp"), ("json", "jsonb"), ("jsonb", "json"), ("xml", "text")}
)


def misfit(source: ColumnType, destination: ColumnType, spec: GeneratorSpec, column: MaskColumn) -> str | None:
    """Why the destination's type cannot take the output; None where it can."""
    if isinstance(spec, Null | Constant):
        return None  # a constant is checked against the destination's type by its own spec
    if source.family == "text" and destination.family == "text":
        return _shorter(source, destination, spec, column)
    if source.family == "enum" and destination.family == "enum":
        return _labels(source, destination)
    if source.element and destination.element and not spec.masks:
        inner = misfit(source.element, destination.element, spec, column)
        return f"of the elements, {inner}" if inner else None
    if source.base == destination.base:
        return _narrower(source, destination)
    if (source.base, destination.base) in WIDENED or (destination.family == "text" and destination.length is None):
        return None
    if source.family == "integer":
        return _integer(source, destination)
    return f"{source.name} does not become {destination.name}"


def _shorter(source: ColumnType, destination: ColumnType, spec: GeneratorSpec, column: MaskColumn) -> str | None:
    if destination.length is None:
        return None
    keeps_length = not spec.masks or spec.generator in ("key", "mask.text")
    longest = source.length if keeps_length else spec.max_output_chars(column)
    if longest is not None and longest <= destination.length:
        return None
    return f"{destination.name} is shorter than {source.name}"


def _labels(source: ColumnType, destination: ColumnType) -> str | None:
    missing = [label for label in source.enum if label not in destination.enum]
    return f"{destination.name} lacks the labels {', '.join(missing)}" if missing else None


def _narrower(source: ColumnType, destination: ColumnType) -> str | None:
    if source.parts != destination.parts:
        return f"{destination.name} is ({', '.join(destination.parts)}) there, and ({', '.join(source.parts)}) in the source"
    if source.base in ("bit", "varbit") and destination.length is not None:
        same = source.length == destination.length
        longer = source.base == "varbit" and source.length is not None and source.length <= destination.length
        return None if same or longer else f"{destination.name} holds other numbers of bits than {source.name}"
    if source.base == "interval" and _fields(destination) not in ("", _fields(source)):
        return f"{destination.name} keeps fewer fields than {source.name}"
    if source.base == "numeric" and destination.precision is not None:
        if source.precision is None:
            return f"{destination.name} is narrower than {source.name}"
        whole, theirs = source.precision - (source.scale or 0), destination.precision - (destination.scale or 0)
        if whole > theirs or (source.scale or 0) > (destination.scale or 0):
            return f"{destination.name} is narrower than {source.name}"
    elif (
        destination.scale is not None
        and source.base != "numeric"
        and (source.scale is None or source.scale > destination.scale)
    ):
        return f"{destination.name} keeps fewer fractional digits than {source.name}"
    if source.family == "other" and destination.scale is None and _modifier(destination) not in ("", _modifier(source)):
        return f"{destination.name} is not {source.name}"
    return None


def _modifier(kind: ColumnType) -> str:
    """The size of an extension's type, such as ``vector(3)``."""
    known = kind.base in ("bit", "varbit") or kind.element is not None
    size = None if known else re.search(r"\(\d+\)$", kind.name)
    return size[0] if size else ""


def _fields(interval: ColumnType) -> str:
    """``year to month`` of an interval that is kept to it."""
    return re.sub(r"^interval ?|\(\d\)", "", interval.name) if interval.name.startswith("interval") else ""


def _integer(source: ColumnType, destination: ColumnType) -> str | None:
    if destination.base in INTEGER_ORDER:
        if INTEGER_ORDER.index(source.base) <= INTEGER_ORDER.index(destination.base):
            return None
    elif destination.base == "numeric":
        digits = None if destination.precision is None else destination.precision - (destination.scale or 0)
        if digits is None or digits >= INTEGER_DIGITS[source.base]:
            return None
    elif source.base in EXACT_FLOAT.get(destination.base, ()):
        return None
    return f"{destination.name} is narrower than {source.name}"
